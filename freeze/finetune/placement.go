package finetune

import (
	"fmt"
	"slices"
)

// Fallback is a node that runs on the CPU provider although another device was asked for.
type Fallback struct {
	Graph, Node, Op string
	Why             string // "" when nobody expected it
}

// fallbacks are the operators that a kind of device is known to leave to the
// CPU provider, and why no pass replaces them. Training and optimizer graphs
// have none of them.
var fallbacks = map[string]map[string]string{
	"webgpu": {"SpaceToDepth": "WebGPU lacks it, and pass lower-spacetodepth needs pictures of known size: one node, before the first layer of v5 models that are evaluated"},
}

// Fallbacks lists the nodes of the engine's graphs that fell back to the CPU
// provider; the engine must have been made with ort.Options.Placement.
func (e *Engine) Fallbacks() ([]Fallback, error) {
	var list []Fallback
	for _, g := range []struct {
		name string
		b    *bound
	}{{"training", e.training}, {"optimizer", e.optimizer}} {
		found, err := g.b.fallbacks(g.name, e.spec.Device)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// Fallbacks is Engine.Fallbacks of the evaluation graph.
func (d *Detector) Fallbacks() ([]Fallback, error) {
	return d.graph.fallbacks("evaluation", d.graph.session.Kind())
}

func (b *bound) fallbacks(graph, kind string) ([]Fallback, error) {
	if kind == "cpu" {
		return nil, nil
	}
	placed, err := b.session.Placement()
	if err != nil {
		return nil, fmt.Errorf("the %s graph on %s: %w", graph, b.session.Device(), err)
	}
	var list []Fallback
	for _, p := range placed {
		if p.Provider == "CPUExecutionProvider" {
			list = append(list, Fallback{graph, p.Node, p.Op, fallbacks[kind][p.Op]})
		}
	}
	slices.SortFunc(list, func(a, b Fallback) int {
		return slices.Compare([]string{a.Op, a.Node}, []string{b.Op, b.Node})
	})
	return list, nil
}
