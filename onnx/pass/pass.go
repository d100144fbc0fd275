// Package pass rewrites graphs: it folds what is constant, merges what is
// equal, and replaces what some provider cannot run. One file per rewrite; Run
// applies them in one fixed order:
//
//	err := pass.Run(m, pass.Standard...)            // for any provider
//	err := pass.Run(m, pass.For(pass.WebGPU)...)    // and around what one of them lacks
//	err := pass.Run(m, pass.Half)                   // a form of an export
package pass

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Pass is a named rewrite of a model in place.
type Pass struct {
	Name string
	Run  func(*onnx.Model) error
}

// Standard are the passes of every emitted graph, in order.
var Standard = []Pass{
	{"fold-batchnorm", FoldBatchNorm},
	{"lower-batchnorm", LowerBatchNorm},
	{"lower-atan", LowerAtan},
	{"fold-constants", FoldConstants},
	{"merge-equal", MergeEqual},
	{"drop-unused", DropUnused},
}

// Check is asked of a graph before each pass of Run and after it, if it is set:
// package testkit does so for tests, with Sound.
var Check func(*onnx.Model) error

// Run applies passes in order. Errors name the pass.
func Run(m *onnx.Model, passes ...Pass) error {
	for _, p := range passes {
		if err := check(m); err != nil {
			return fmt.Errorf("before pass %s: %w", p.Name, err)
		}
		if err := p.Run(m); err != nil {
			return fmt.Errorf("pass %s: %w", p.Name, err)
		}
		if err := check(m); err != nil {
			return fmt.Errorf("after pass %s: %w", p.Name, err)
		}
	}
	return nil
}

func check(m *onnx.Model) error {
	if Check == nil {
		return nil
	}
	return Check(m)
}

// rewrite walks the nodes in order. Where replace answers true, the values it
// returns stand in for the node's outputs from there on; nodes it builds take
// the node's place.
func rewrite(m *onnx.Model, replace func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool)) error {
	b := op.Extend(m)
	nodes := m.Nodes
	m.Nodes = nil
	instead := map[*onnx.Value]*onnx.Value{}
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if r := instead[in]; r != nil {
				n.Inputs[i] = r
			}
		}
		var values []*onnx.Value
		var ok bool
		b.In(n.Name, func() { values, ok = replace(b, n) })
		if !ok {
			m.Nodes = append(m.Nodes, n)
			continue
		}
		for i, out := range n.Outputs {
			if out != nil && i < len(values) {
				instead[out] = values[i]
			}
		}
	}
	for i, out := range m.Outputs {
		if r := instead[out]; r != nil {
			if r.Node == nil { // an output needs a node of its own to carry its name
				r = b.Op("Identity", nil, r)
			}
			r.Name = out.Name
			m.Outputs[i] = r
		}
	}
	return b.Err()
}

// uses counts the readers of each value, graph outputs included.
func uses(m *onnx.Model) map[*onnx.Value]int {
	count := map[*onnx.Value]int{}
	for _, n := range m.Nodes {
		for _, in := range n.Inputs {
			count[in]++
		}
	}
	for _, out := range m.Outputs {
		count[out]++
	}
	return count
}
