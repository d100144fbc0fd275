package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// RoundNarrow rewrites a graph in mixed precision for the CPU provider, which has
// no convolution of float16 or bfloat16: each number is rounded where it was one
// of these, by a Cast and one back, and computed on in float32. Without it the
// runtime refuses bfloat16, and computes float16 in float32 without rounding what
// comes out: other numbers than a GPU's, and no overflow of a weight's gradient.
func RoundNarrow(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		to := n.Outputs[0].Type.DType
		kind, narrow := narrowTypes[to]
		switch {
		case n.Op == "Cast" && narrow:
			return []*onnx.Value{round(b, n.Inputs[0], to)}, true
		case n.Op == "Cast" && to == n.Inputs[0].Type.DType: // back from what is float32 by now
			return n.Inputs, true
		case !narrow:
			return nil, false
		}
		inputs := make([]*onnx.Value, len(n.Inputs))
		for i, v := range n.Inputs {
			if inputs[i] = v; v != nil && v.Const != nil && v.Const.DType == to {
				inputs[i] = b.Const(v.Const.AsFloat())
			}
		}
		outputs := b.Ops(n.Op, len(n.Outputs), attrsOf(n), inputs...)
		if kind.multiplies(outputs[0].Node) {
			outputs[0] = round(b, outputs[0], to)
		}
		return outputs, true
	})
}

func round(b *op.Builder, v *onnx.Value, to onnx.DType) *onnx.Value {
	return b.Cast(b.Cast(v, to), onnx.Float)
}
