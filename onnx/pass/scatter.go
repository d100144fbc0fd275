package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// OwnScatterData has scatters write into zeros that the graph computes, not into
// a constant. A constant is copied first, and what the WebGPU plugin 0.4.0
// repeats of a captured run are its kernels without the copies between them.
// The zero is the indices' sum less itself, which the runtime does not see through.
func OwnScatterData(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "ScatterND" && n.Op != "ScatterElements" {
			return nil, false
		}
		filled := n.Inputs[0].Node
		if filled == nil || filled.Op != "Expand" || filled.Inputs[0].Const == nil || filled.Inputs[0].Const.Float64s()[0] != 0 {
			return nil, false
		}
		sum := b.ReduceSum(b.Cast(n.Inputs[1], n.Inputs[0].Type.DType), false)
		n.Inputs[0] = b.Op("Expand", nil, b.Sub(sum, sum), filled.Inputs[1])
		return nil, false
	})
}
