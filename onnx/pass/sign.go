package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerSign replaces Sign, which WebGPU lacks, by (x > 0) - (x < 0). NaN gives 0.
func LowerSign(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "Sign" {
			return nil, false
		}
		x := n.Inputs[0]
		zero := b.Const(onnx.NewTensor(x.Type.DType))
		side := func(comparison string) *onnx.Value {
			return b.Cast(b.Op(comparison, nil, x, zero), x.Type.DType)
		}
		return []*onnx.Value{b.Sub(side("Greater"), side("Less"))}, true
	})
}
