package pass

import (
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// SplitReductions takes sums and means over pictures and pixels in two: over the pixels of
// each channel of a picture, then over the pictures. CUDA's provider has kernels of its own
// for axes that lie together; for others it calls cuDNN, at half the speed.
func SplitReductions(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		axes, keeps := reducedAxes(n), n.Int("keepdims", 1) == 1
		if len(n.Inputs[0].Type.Shape) != 4 || !keeps || !slices.Equal(axes, []int64{0, 2, 3}) {
			return nil, false
		}
		reduce := b.ReduceMean
		if n.Op == "ReduceSum" {
			reduce = b.ReduceSum
		}
		return []*onnx.Value{reduce(reduce(n.Inputs[0], true, 2, 3), true, 0)}, true
	})
}

// reducedAxes are the axes of a sum or a mean, nil of any other node or where they are not told.
func reducedAxes(n *onnx.Node) []int64 {
	switch axes := n.Input(1); {
	case n.Op == "ReduceMean":
		return n.Ints("axes", nil)
	case n.Op == "ReduceSum" && axes != nil && axes.Const != nil:
		return onnx.Data[int64](axes.Const)
	}
	return nil
}
