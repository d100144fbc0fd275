package pass

import (
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerMaxPool writes a MaxPool of stride 1, as SPP and SPPF have them, as maxima
// of shifted Slices: the CUDA provider has no MaxPool at the opset that its
// convolutions in bfloat16 need. A window of k rows is made of two that overlap,
// half as high each, and so on: log2 k maxima for rows, as many for columns.
func LowerMaxPool(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "MaxPool" {
			return nil, false
		}
		w, err := op.ReadWindow(n, nil)
		if err != nil || len(n.Outputs) > 1 || w.Stride != [2]int64{1, 1} || w.Dilation != [2]int64{1, 1} {
			return []*onnx.Value{b.Fail("a MaxPool of stride 1, dilation 1 and one output is expected, not %v, %d (%v)", w, len(n.Outputs), err)}, true
		}
		x := n.Inputs[0]
		if w.Pads != [4]int64{} {
			pads := b.Ints(0, 0, w.Pads[0], w.Pads[1], 0, 0, w.Pads[2], w.Pads[3])
			x = b.Op("Pad", nil, x, pads, b.Float(-math.MaxFloat32))
		}
		return []*onnx.Value{windowMax(b, windowMax(b, x, 2, w.Kernel[0]), 3, w.Kernel[1])}, true
	})
}

// windowMax takes the maxima of each k neighbours along an axis.
func windowMax(b *op.Builder, x *onnx.Value, axis, k int64) *onnx.Value {
	for have := int64(1); have < k; {
		shift := min(have, k-have)
		x = b.Op("Max", nil, b.Slice(x, axis, 0, -shift), b.Slice(x, axis, shift, math.MaxInt64))
		have += shift
	}
	return x
}
