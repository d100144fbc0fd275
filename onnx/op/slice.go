package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// sliceOf is a Slice's range along each dimension, clamped, with positive steps made explicit.
type sliceOf struct {
	start, end, step []int64
	open             map[int]bool // dimensions of unknown size that it slices: their ranges are not known
}

func readSlice(n *onnx.Node) (s sliceOf, err error) {
	in := n.Inputs[0].Type.Shape
	starts, err := constInts(n, 1, "starts")
	if err != nil {
		return s, err
	}
	ends, err := constInts(n, 2, "ends")
	if err != nil {
		return s, err
	}
	axes, steps := make([]int64, len(starts)), make([]int64, len(starts))
	for i := range axes {
		axes[i], steps[i] = int64(i), 1
	}
	if n.Input(3) != nil {
		if axes, err = constInts(n, 3, "axes"); err != nil {
			return s, err
		}
	}
	if n.Input(4) != nil {
		if steps, err = constInts(n, 4, "steps"); err != nil {
			return s, err
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return s, fmt.Errorf("starts %v, ends %v, axes %v, steps %v", starts, ends, axes, steps)
	}
	s = sliceOf{make([]int64, len(in)), make([]int64, len(in)), make([]int64, len(in)), map[int]bool{}}
	for i, d := range in {
		s.start[i], s.end[i], s.step[i] = 0, d.Size, 1
	}
	for i, a := range axes {
		axis, err := axisOf(a, len(in))
		if err != nil {
			return s, err
		}
		size, step := in[axis].Size, steps[i]
		if step == 0 {
			return s, fmt.Errorf("step 0 along axis %d", axis)
		}
		if size < 0 {
			s.open[axis] = true
			continue
		}
		low, high := int64(0), size
		if step < 0 {
			low, high = -1, size-1
		}
		clamp := func(v int64) int64 {
			if v < 0 {
				v += size
			}
			return min(max(v, low), high)
		}
		s.start[axis], s.end[axis], s.step[axis] = clamp(starts[i]), clamp(ends[i]), step
		if step < 0 && ends[i] < -size {
			s.end[axis] = -1
		}
	}
	return s, nil
}

func (s sliceOf) size(i int) int64 {
	if s.step[i] > 0 {
		return max(0, (s.end[i]-s.start[i]+s.step[i]-1)/s.step[i])
	}
	return max(0, (s.start[i]-s.end[i]-s.step[i]-1)/-s.step[i])
}

func inferSlice(n *onnx.Node) ([]onnx.Type, error) {
	s, err := readSlice(n)
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	shape := append([]onnx.Dim{}, in.Shape...)
	for i, d := range in.Shape {
		switch {
		case d.Known():
			shape[i] = onnx.Dim{Size: s.size(i)}
		case s.open[i]:
			shape[i] = onnx.Dim{Size: onnx.Unknown}
		}
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Slice takes x[start:end] along one axis.
func (o Layout) Slice(x *onnx.Value, axis, start, end int64) *onnx.Value {
	return o.b.Op("Slice", nil, x, o.b.Ints(start), o.b.Ints(end), o.b.Ints(axis))
}

// gradSlice pads with zeros; steps other than 1 are not differentiated.
func gradSlice(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	s, err := readSlice(n)
	if err != nil {
		b.Fail("%w", err)
		return []*onnx.Value{nil}
	}
	rank := len(s.start)
	pads := make([]int64, 2*rank)
	for i, d := range n.Inputs[0].Type.Shape {
		if s.step[i] != 1 {
			b.Fail("the gradient of Slice is built for step 1, not %d", s.step[i])
		}
		if s.open[i] {
			b.Fail("the gradient of Slice needs the size of dimension %v", d)
		}
		if d.Known() {
			pads[i], pads[rank+i] = s.start[i], d.Size-s.end[i]
		}
	}
	return []*onnx.Value{b.Pad(dy[0], pads...)}
}

func inferPad(n *onnx.Node) ([]onnx.Type, error) {
	pads, err := constInts(n, 1, "pads")
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	if len(pads) != 2*len(in.Shape) {
		return nil, fmt.Errorf("%d pads for %v", len(pads), in)
	}
	shape := append([]onnx.Dim{}, in.Shape...)
	for i := range shape {
		switch extra := pads[i] + pads[len(shape)+i]; {
		case shape[i].Known() && shape[i].Size+extra < 0:
			return nil, fmt.Errorf("crops %v by %v", in, pads)
		case shape[i].Known():
			shape[i] = onnx.Dim{Size: shape[i].Size + extra}
		case extra != 0:
			shape[i] = onnx.Dim{Size: onnx.Unknown}
		}
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Pad adds zeros around x: all begins, then all ends, as ONNX orders them. Negative pads crop.
func (o Layout) Pad(x *onnx.Value, pads ...int64) *onnx.Value {
	b := o.b
	for _, p := range pads {
		if p != 0 {
			return b.Op("Pad", nil, x, b.Ints(pads...))
		}
	}
	return x
}

func gradPad(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	if mode := n.Str("mode", "constant"); mode != "constant" {
		return []*onnx.Value{b.Fail("the gradient of Pad is built for mode constant, not %s", mode)}
	}
	pads, _ := constInts(n, 1, "pads")
	crop := make([]int64, len(pads))
	for i, p := range pads {
		crop[i] = -p
	}
	return []*onnx.Value{b.Pad(dy[0], crop...)}
}
