package pass

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// The opsets that Restate writes: below 11 Resize means something else, above
// 20 CUDA builds of ONNX Runtime lack kernels.
const (
	OldestOpset = 11
	NewestOpset = 20
)

// Restate writes a model of op.Opset in another version of ai.onnx, from
// OldestOpset to NewestOpset. Nodes that this version lacks are an error.
func Restate(opset int64) Pass {
	return Pass{"restate", func(m *onnx.Model) error { return restate(m, opset) }}
}

func restate(m *onnx.Model, opset int64) error {
	if opset < OldestOpset || opset > NewestOpset {
		return fmt.Errorf("opset %d: want %d to %d", opset, OldestOpset, NewestOpset)
	}
	if opset < 14 {
		spellHardSwish(m)
	}
	roi := &onnx.Value{Name: "roi", Type: onnx.Type{DType: onnx.Float, Shape: onnx.Dims(0)}, Const: onnx.NewTensor(onnx.Float, 0)}
	m.Initializers = append(m.Initializers, roi)
	for _, n := range m.Nodes {
		if _, ok := op.Since(n.Op, opset); !ok {
			return fmt.Errorf("opset %d has no %s, which node %q is", opset, n.Op, n.Name)
		}
		switch {
		case opset >= 13:
		case n.Op == "Split": // its sizes were an attribute
			n.Attrs = append(n.Attrs, onnx.Attr{Name: "split", Value: n.Inputs[1].Const.Int64s()})
			n.Inputs = n.Inputs[:1]
		case n.Op == "Resize": // its region was not optional
			n.Inputs[1] = roi
		}
	}
	m.Opset = opset
	return DropUnused(m)
}

// spellHardSwish writes HardSwish, which opset 14 brought, as x·HardSigmoid(x).
func spellHardSwish(m *onnx.Model) {
	var nodes []*onnx.Node
	for _, n := range m.Nodes {
		if n.Op == "HardSwish" {
			gate := &onnx.Value{Name: n.Outputs[0].Name + "/gate", Type: n.Outputs[0].Type}
			gate.Node = &onnx.Node{Name: gate.Name, Op: "HardSigmoid", Inputs: n.Inputs[:1:1], Outputs: []*onnx.Value{gate},
				Attrs: []onnx.Attr{{Name: "alpha", Value: float32(1) / 6}, {Name: "beta", Value: float32(0.5)}}}
			nodes = append(nodes, gate.Node)
			n.Op, n.Inputs = "Mul", []*onnx.Value{n.Inputs[0], gate}
		}
		nodes = append(nodes, n)
	}
	m.Nodes = nodes
}
