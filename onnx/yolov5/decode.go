package yolov5

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Decode appends the decoding of the raw outputs of Forward:
// [N, Σ anchors·H·W, 5+nc] of centre x, y, width, height in pixels,
// objectness, class probabilities; levels, anchors, rows, columns in that order.
// The rows of branches follow each other, each with the classes of all.
func (net *Network) Decode(b *op.Builder, heads []*onnx.Value) (rows *onnx.Value, err error) {
	if len(heads) != net.Levels() {
		return nil, fmt.Errorf("decode: %d outputs for %d levels", len(heads), net.Levels())
	}
	var parts []*onnx.Value
	for _, branch := range net.Detects() {
		n := len(branch.Anchors)
		b.In(branch.Layers[branch.Head()].Name(), func() { parts = append(parts, branch.decode(b, heads[:n])) })
		heads = heads[n:]
	}
	if rows = parts[0]; len(parts) > 1 {
		b.In("branches", func() { rows = net.join(b, parts) })
	}
	return rows, b.Err()
}

func (net *Network) decode(b *op.Builder, heads []*onnx.Value) *onnx.Value {
	parts := make([]*onnx.Value, len(heads))
	for i, head := range heads {
		parts[i] = net.decodeLevel(b, head, i)
	}
	return b.Concat(1, parts...)
}

func (net *Network) decodeLevel(b *op.Builder, head *onnx.Value, level int) *onnx.Value {
	s := head.Type.Shape
	if len(s) != 4 {
		return b.Fail("decoding takes raw outputs of four dimensions, not %v", head.Type)
	}
	na, no, stride := int64(len(net.Anchors[level])), net.Outputs(), float64(net.Strides[level])
	cells, rows, grid := int64(-1), int64(-1), (*onnx.Value)(nil)
	if h, w := s[2], s[3]; h.Known() && w.Known() {
		cells, rows = h.Size*w.Size, na*h.Size*w.Size
		grid = fixedGrid(b, h.Size, w.Size, stride)
	} else {
		grid = computedGrid(b, head, stride)
	}
	anchors := make([]float32, 0, 2*na)
	for _, a := range net.Anchors[level] {
		anchors = append(anchors, float32(4*a[0]), float32(4*a[1]))
	}
	y := b.Transpose(b.Reshape(head, 0, na, no, cells), 0, 1, 3, 2)
	p := b.Split(b.Sigmoid(y), 3, 2, 2, no-4)
	xy := b.Add(b.Scale(p[0], 2*stride), grid)
	wh := b.Mul(b.Square(p[1]), b.Const(onnx.Of(anchors, 1, na, 1, 2)))
	return b.Reshape(b.Concat(3, xy, wh, p[2]), 0, rows, no)
}

// fixedGrid is, per cell, x and y of its upper left corner less half a cell, in pixels: [1,1,H·W,2].
func fixedGrid(b *op.Builder, h, w int64, stride float64) *onnx.Value {
	grid := make([]float32, 0, 2*h*w)
	for y := range h {
		for x := range w {
			grid = append(grid, float32((float64(x)-0.5)*stride), float32((float64(y)-0.5)*stride))
		}
	}
	return b.Const(onnx.Of(grid, 1, 1, h*w, 2))
}

// computedGrid is fixedGrid for a size that only the run knows: [N,1,H·W,2].
// Running sums over ones count columns and rows, so no node works on shapes,
// which some runtimes compute on the host. "x not less than x" is true of any x, NaN too.
func computedGrid(b *op.Builder, head *onnx.Value, stride float64) *onnx.Value {
	cell := b.Slice(head, 1, 0, 1)
	ones := b.Cast(b.Op("Not", nil, b.Op("Less", nil, cell, cell)), onnx.Float)
	count := func(axis int64) *onnx.Value {
		return b.Op("CumSum", op.Attrs{"exclusive": int64(1)}, ones, b.Const(onnx.Scalar(axis)))
	}
	places := b.Shift(b.Scale(b.Concat(1, count(3), count(2)), stride), -0.5*stride)
	return b.Transpose(b.Reshape(places, 0, 1, 2, -1), 0, 1, 3, 2)
}
