package yolov5

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Decode appends the decoding of the raw outputs of Forward, of static height
// and width: [N, Σ anchors·H·W, 5+nc] of centre x, y, width, height in pixels,
// objectness, class probabilities; levels, anchors, rows, columns in that order.
func (net *Network) Decode(b *op.Builder, heads []*onnx.Value) (*onnx.Value, error) {
	parts := make([]*onnx.Value, len(heads))
	detect := net.Layers[net.Head()].Name()
	b.In(detect, func() {
		for i, head := range heads {
			parts[i] = net.decodeLevel(b, head, i)
		}
		parts[0] = b.Concat(1, parts...)
	})
	return parts[0], b.Err()
}

func (net *Network) decodeLevel(b *op.Builder, head *onnx.Value, level int) *onnx.Value {
	s := head.Type.Shape
	if len(s) != 4 || !s[2].Known() || !s[3].Known() {
		return b.Fail("decoding needs a fixed height and width, not %v", head.Type)
	}
	h, w := s[2].Size, s[3].Size
	na, no, stride := int64(len(net.Anchors[level])), net.Outputs(), float64(net.Strides[level])
	grid := make([]float32, 0, 2*h*w)
	for y := range h {
		for x := range w {
			grid = append(grid, float32((float64(x)-0.5)*stride), float32((float64(y)-0.5)*stride))
		}
	}
	anchors := make([]float32, 0, 2*na)
	for _, a := range net.Anchors[level] {
		anchors = append(anchors, float32(4*a[0]), float32(4*a[1]))
	}
	y := b.Transpose(b.Reshape(head, 0, na, no, h*w), 0, 1, 3, 2)
	p := b.Split(b.Sigmoid(y), 3, 2, 2, no-4)
	xy := b.Add(b.Scale(p[0], 2*stride), b.Const(onnx.Of(grid, 1, 1, h*w, 2)))
	wh := b.Mul(b.Square(p[1]), b.Const(onnx.Of(anchors, 1, na, 1, 2)))
	return b.Reshape(b.Concat(3, xy, wh, p[2]), 0, na*h*w, no)
}
