package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
)

// foldLimit bounds what FoldConstants may add to a model by one node, in elements.
const foldLimit = 1 << 24

// FoldConstants computes nodes whose inputs are all constants. It leaves
// Expand alone, which is cheaper to run than to store.
func FoldConstants(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Domain != "" || n.Op == "Expand" || !ref.Supported(n.Op) || !foldable(n) {
			return nil, false
		}
		in := make([]*ref.Array, len(n.Inputs))
		for i, v := range n.Inputs {
			if v != nil {
				in[i] = ref.FromTensor(v.Const)
			}
		}
		out, err := ref.Eval(n, m.Opset, in)
		if err != nil {
			b.Fail("%s: %w", n.Op, err)
			return nil, false
		}
		values := make([]*onnx.Value, len(n.Outputs))
		for i, v := range n.Outputs {
			if v != nil {
				values[i] = b.Const(out[i].Tensor(v.Type.DType))
			}
		}
		return values, true
	})
}

func foldable(n *onnx.Node) bool {
	for _, v := range n.Inputs {
		if v != nil && v.Const == nil {
			return false
		}
	}
	for _, v := range n.Outputs {
		if v == nil {
			continue
		}
		if s, ok := v.Type.Static(); !ok || onnx.NumElements(s) > foldLimit {
			return false
		}
	}
	return true
}
