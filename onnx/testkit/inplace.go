package testkit

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// InPlaceHazards returns a line for each reader of a state input that may still
// want the old value when the output that replaces it, named out(input), is
// written to the same memory: a reader on which that output does not depend, or
// one that writes it and does not work element by element.
func InPlaceHazards(m *onnx.Model, out func(input string) string) []string {
	outputs := map[string]*onnx.Value{}
	for _, v := range m.Outputs {
		outputs[v.Name] = v
	}
	readers, place := map[*onnx.Value][]*onnx.Node{}, map[*onnx.Node]int{}
	for i, n := range m.Nodes {
		place[n] = i
		for _, v := range n.Inputs {
			readers[v] = append(readers[v], n)
		}
	}
	var lines []string
	for _, in := range m.Inputs {
		next := outputs[out(in.Name)]
		if next == nil || len(readers[in]) == 0 {
			continue
		}
		before := map[*onnx.Node]bool{}
		ancestors(next.Node, place, place[readers[in][0]], before)
		for _, n := range readers[in] {
			switch {
			case !before[n]:
				lines = append(lines, fmt.Sprintf("%s: %s %q may read it after %s is written", in.Name, n.Op, n.Name, next.Name))
			case n == next.Node && !(op.Elementwise(n.Op) && in.Type.Equal(next.Type)):
				lines = append(lines, fmt.Sprintf("%s: %s %q reads it while it writes %s", in.Name, n.Op, n.Name, next.Name))
			}
		}
	}
	return lines
}

// ancestors gathers a node and all that it depends on, but those placed before first.
func ancestors(n *onnx.Node, place map[*onnx.Node]int, first int, found map[*onnx.Node]bool) {
	if n == nil || found[n] || place[n] < first {
		return
	}
	found[n] = true
	for _, v := range n.Inputs {
		if v != nil {
			ancestors(v.Node, place, first, found)
		}
	}
}
