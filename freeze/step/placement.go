package step

import (
	"fmt"
	"slices"

	"yolofreeze/onnx/ort"
)

// Fallback is a node that runs on the CPU provider although another device was asked for.
type Fallback struct {
	Graph string `json:"graph"`
	Node  string `json:"node"`
	Op    string `json:"op"`
	Why   string `json:"why"` // "" when nobody expected it
}

// Placement says where the nodes of a run's graphs are executed. Those that are
// not listed as fallbacks run on the device.
type Placement struct {
	Device     ort.Device `json:"device"`
	Training   int        `json:"training_nodes"` // of the graph as it was written
	Optimizer  int        `json:"optimizer_nodes"`
	Evaluation int        `json:"evaluation_nodes"` // 0 on the CPU provider, where nothing can fall back
	Fallbacks  []Fallback `json:"fallbacks"`
}

func (p *Placement) String() string {
	return fmt.Sprintf("%d nodes of training, %d of the optimizer, %d of evaluation on %s; %d of them fell back to the CPU provider",
		p.Training, p.Optimizer, p.Evaluation, p.Device, len(p.Fallbacks))
}

// Placement looks at the engine's graphs and, on a device, at the evaluation
// graph of its network; the engine must have been made with ort.Options.Placement.
func (e *Engine) Placement() (*Placement, error) {
	list, err := e.Fallbacks()
	if err != nil {
		return nil, err
	}
	p := &Placement{Device: e.Device(), Training: e.training.nodes, Optimizer: e.optimizer.nodes, Fallbacks: append([]Fallback{}, list...)}
	if e.Device().Kind == ort.CPU {
		return p, nil
	}
	d, err := NewDetectorFor(e.spec.Net, e.spec.State, Cut{}, e.spec.AMP, e.runner.uncaptured())
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if list, err = d.Fallbacks(); err != nil {
		return nil, err
	}
	p.Evaluation, p.Fallbacks = d.graph.nodes, append(p.Fallbacks, list...)
	return p, nil
}

// fallbacks are the operators that a kind of device is known to leave to the
// CPU provider, and why no pass replaces them. Training and optimizer graphs
// have none of them.
var fallbacks = map[ort.Kind]map[string]string{
	ort.WebGPU: {"SpaceToDepth": "WebGPU lacks it, and pass lower-spacetodepth needs pictures of known size: one node, before the first layer of v5 models that are evaluated"},
}

// Fallbacks lists the nodes of the engine's graphs that fell back to the CPU
// provider; the engine must have been made with ort.Options.Placement.
func (e *Engine) Fallbacks() ([]Fallback, error) {
	var list []Fallback
	for _, g := range []struct {
		name string
		b    *Bound
	}{{"training", e.training}, {"gathering", e.gather}, {"norm", e.norm}, {"optimizer", e.optimizer}, {"clearing", e.clearing}} {
		if g.b == nil { // norms are measured apart with a scaled loss only, and gradients cleared so on a device
			continue
		}
		found, err := g.b.fallbacks(g.name)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

// Fallbacks is Engine.Fallbacks of the evaluation graph.
func (d *Detector) Fallbacks() ([]Fallback, error) {
	return d.graph.fallbacks("evaluation")
}

func (b *Bound) fallbacks(graph string) ([]Fallback, error) {
	kind := b.session.Device().Kind
	if kind == ort.CPU {
		return nil, nil
	}
	placed, err := b.session.Placement()
	if err != nil {
		return nil, fmt.Errorf("the %s graph on %s: %w", graph, b.session.Device(), err)
	}
	var list []Fallback
	for _, p := range placed {
		if p.OnCPU() {
			list = append(list, Fallback{graph, p.Node, p.Op, fallbacks[kind][p.Op]})
		}
	}
	slices.SortFunc(list, func(a, b Fallback) int {
		return slices.Compare([]string{a.Op, a.Node}, []string{b.Op, b.Node})
	})
	return list, nil
}
