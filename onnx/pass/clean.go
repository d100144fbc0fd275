package pass

import (
	"fmt"
	"slices"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// MergeEqual lets nodes of the same operator, attributes and inputs be one.
func MergeEqual(m *onnx.Model) error {
	seen := map[string]*onnx.Node{}
	outputs := map[*onnx.Value]bool{}
	for _, v := range m.Outputs {
		outputs[v] = true
	}
	return rewrite(m, func(_ *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		key := nodeKey(n)
		first := seen[key]
		if first == nil {
			seen[key] = n
			return nil, false
		}
		for i, v := range n.Outputs {
			if outputs[v] || v != nil && first.Output(i) == nil {
				return nil, false
			}
		}
		return first.Outputs, true
	})
}

func nodeKey(n *onnx.Node) string {
	var key strings.Builder
	fmt.Fprintf(&key, "%s.%s(", n.Domain, n.Op)
	for _, v := range n.Inputs {
		fmt.Fprintf(&key, "%p,", v)
	}
	for _, a := range n.Attrs {
		fmt.Fprintf(&key, ")%s=%v", a.Name, a.Value)
	}
	return key.String()
}

// DropUnused removes nodes and initializers that no output depends on.
func DropUnused(m *onnx.Model) error {
	live := map[*onnx.Value]bool{}
	for _, v := range m.Outputs {
		live[v] = true
	}
	kept := make([]*onnx.Node, 0, len(m.Nodes))
	for _, n := range slices.Backward(m.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return v != nil && live[v] }) {
			continue
		}
		for _, v := range n.Inputs {
			live[v] = true
		}
		kept = append(kept, n)
	}
	slices.Reverse(kept)
	m.Nodes = kept
	m.Initializers = slices.DeleteFunc(m.Initializers, func(v *onnx.Value) bool { return !live[v] })
	return nil
}
