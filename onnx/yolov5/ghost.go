package yolov5

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// convolve is how a block ends: Graph.conv with the activation, Graph.affine without.
type convolve func(prefix string, x *onnx.Value, out int64, w op.Window) *onnx.Value

// ghost makes half of the channels by a convolution and the other half from
// them, each by a 5×5 of its own (Han et al., arXiv:1911.11907).
func (g *Graph) ghost(prefix string, x *onnx.Value, out int64, w op.Window, conv convolve) (y *onnx.Value) {
	half := out / 2
	whole := conv(prefix+".cv1", x, half, w)
	cheap := conv(prefix+".cv2", whole, half, depthwise(half, 5, 1))
	g.In(prefix, func() { y = g.Concat(1, whole, cheap) })
	return y
}

// ghostBottleneck is two ghost convolutions, a strided depthwise one between
// them where the stride is 2, and a shortcut around it all.
func (g *Graph) ghostBottleneck(prefix string, x *onnx.Value, out, k, stride int64) (y *onnx.Value) {
	if g.Err() != nil {
		return x
	}
	in, hidden, one := x.Type.Shape[1].Size, out/2, op.Square(1, 1, 0)
	y = g.ghost(prefix+".conv.0", x, hidden, one, g.conv)
	if stride == 2 {
		y = g.affine(prefix+".conv.1", y, hidden, depthwise(hidden, k, stride))
	}
	y = g.ghost(prefix+".conv.2", y, out, one, g.affine)
	if stride == 2 {
		x = g.affine(prefix+".shortcut.0", x, in, depthwise(in, k, stride))
		x = g.affine(prefix+".shortcut.1", x, out, one)
	}
	g.In(prefix, func() { y = g.Add(y, x) })
	return y
}

// c3ghost is c3 with ghost bottlenecks.
func (g *Graph) c3ghost(l Layer, prefix string, x []*onnx.Value) *onnx.Value {
	return g.stage(l, prefix, x[0], l.hidden(2), func(x *onnx.Value, hidden int64) *onnx.Value {
		for i := range l.Repeat {
			x = g.ghostBottleneck(fmt.Sprintf("%s.m.%d", prefix, i), x, hidden, 3, 1)
		}
		return x
	})
}

// depthwise is the window of a k×k convolution of each channel by itself.
func depthwise(channels, k, stride int64) op.Window {
	w := op.Square(k, stride, k/2)
	w.Groups = channels
	return w
}

// divisor is the greatest common divisor.
func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
