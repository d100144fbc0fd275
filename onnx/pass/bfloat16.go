package pass

import (
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// bfloat16Opset is the first version of ai.onnx whose Conv takes bfloat16.
const bfloat16Opset = 22

// RaiseOpset restates a graph in the opset that has convolutions in bfloat16.
// Of the operators that are emitted, reductions alone are written otherwise
// there: with their axes as an input.
func RaiseOpset(m *onnx.Model) error {
	m.Opset = bfloat16Opset
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		axes := n.Ints("axes", nil)
		if !strings.HasPrefix(n.Op, "Reduce") || axes == nil {
			return nil, false
		}
		attrs := attrsOf(n)
		delete(attrs, "axes")
		return []*onnx.Value{b.Op(n.Op, attrs, n.Inputs[0], b.Ints(axes...))}, true
	})
}
