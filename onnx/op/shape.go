package op

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

var shapes = []Op{
	{"Reshape", 2, []int64{5, 13, 14}, inferReshape, rule(gradReshape)},
	{"Transpose", 1, []int64{1, 13}, inferTranspose, rule(gradTranspose)},
	{"Concat", 1, []int64{4, 11, 13}, inferConcat, rule(gradConcat)},
	{"Split", 1, []int64{2, 11, 13}, inferSplit, rule(gradSplit)},
	{"Slice", 3, []int64{10, 11, 13}, inferSlice, rule(gradSlice)},
	{"Pad", 2, []int64{2, 11, 13}, inferPad, rule(gradPad)},
	{"Expand", 2, []int64{8, 13}, inferExpand, rule(func(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value { return dy })},
	{"Squeeze", 2, []int64{1, 11, 13}, inferSqueeze, rule(gradSqueeze)},
	{"Unsqueeze", 2, []int64{1, 11, 13}, inferUnsqueeze, rule(gradSqueeze)},
	{"DepthToSpace", 1, []int64{1, 11, 13}, inferDepthToSpace, rule(gradDepthToSpace)},
	{"SpaceToDepth", 1, []int64{1, 13}, inferSpaceToDepth, rule(gradSpaceToDepth)},
	{"Resize", 1, []int64{10, 11, 13}, inferResize, rule(gradResize)},
	{"CumSum", 2, []int64{11, 14}, unary, Unsupported("used on constants only")},
}

// constInts returns the constant integers of an input that describes a shape.
func constInts(n *onnx.Node, i int, what string) ([]int64, error) {
	v := n.Input(i)
	if v == nil || v.Const == nil {
		return nil, fmt.Errorf("%s is not a constant", what)
	}
	return v.Const.Int64s(), nil
}

// constSizes is constInts for sizes, of which none may be negative.
func constSizes(n *onnx.Node, i int, what string) ([]int64, error) {
	sizes, err := constInts(n, i, what)
	for _, s := range sizes {
		if s < 0 {
			return nil, fmt.Errorf("%s is %v", what, sizes)
		}
	}
	return sizes, err
}

func axisOf(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d of a tensor of rank %d", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

func inferReshape(n *onnx.Node) ([]onnx.Type, error) {
	want, err := constInts(n, 1, "the new shape")
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	shape := onnx.Dims(want...)
	rest, known := int64(1), true // of the input's dimensions not copied by a 0
	copied := map[int]bool{}
	for i, d := range want {
		if d < -1 || d == -1 && slices.Contains(want[:i], -1) {
			return nil, fmt.Errorf("new shape %v", want)
		}
		if d == 0 && n.Int("allowzero", 0) == 0 {
			if i >= len(in.Shape) {
				return nil, fmt.Errorf("new shape %v copies dimension %d of %v", want, i, in)
			}
			shape[i], copied[i] = in.Shape[i], true
		}
	}
	for i, d := range in.Shape {
		if copied[i] {
			continue
		}
		if known = known && d.Known(); known {
			rest *= d.Size
		}
	}
	given, wild := int64(1), -1
	for i, d := range want {
		switch {
		case d == -1:
			wild = i
		case !copied[i]:
			given *= d
		}
	}
	switch {
	case wild >= 0 && known && given > 0 && rest%given == 0:
		shape[wild] = onnx.Dim{Size: rest / given}
	case wild >= 0 && known:
		return nil, fmt.Errorf("cannot reshape %v to %v", in, want)
	case wild >= 0:
		shape[wild] = onnx.Dim{Size: onnx.Unknown}
	case known && rest != given:
		return nil, fmt.Errorf("cannot reshape %v to %v", in, want)
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Reshape gives x a new shape; 0 copies a dimension, -1 takes what is left.
func (b *Builder) Reshape(x *onnx.Value, shape ...int64) *onnx.Value {
	return b.Op("Reshape", nil, x, b.Ints(shape...))
}

// reshapeLike gives x the shape of a type with at most one unknown dimension.
func (b *Builder) reshapeLike(x *onnx.Value, t onnx.Type) *onnx.Value {
	shape, wild := make([]int64, len(t.Shape)), 0
	for i, d := range t.Shape {
		shape[i] = d.Size
		if !d.Known() {
			shape[i] = -1
			wild++
		}
	}
	if wild > 1 {
		return b.Fail("cannot reshape to %v: more than one dimension is unknown", t)
	}
	y := b.Reshape(x, shape...)
	y.Type = t
	return y
}

func gradReshape(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.reshapeLike(dy[0], n.Inputs[0].Type), nil}
}

func inferTranspose(n *onnx.Node) ([]onnx.Type, error) {
	in := n.Inputs[0].Type
	perm := n.Ints("perm", nil)
	if len(perm) != len(in.Shape) {
		return nil, fmt.Errorf("perm %v of %v", perm, in)
	}
	shape := make([]onnx.Dim, len(perm))
	for i, p := range perm {
		if p < 0 || int(p) >= len(perm) || slices.Contains(perm[:i], p) {
			return nil, fmt.Errorf("perm %v of %v", perm, in)
		}
		shape[i] = in.Shape[p]
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Transpose permutes dimensions.
func (b *Builder) Transpose(x *onnx.Value, perm ...int64) *onnx.Value {
	return b.Op("Transpose", Attrs{"perm": perm}, x)
}

func gradTranspose(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	perm := n.Ints("perm", nil)
	inverse := make([]int64, len(perm))
	for i, p := range perm {
		inverse[p] = int64(i)
	}
	return []*onnx.Value{b.Transpose(dy[0], inverse...)}
}

func inferConcat(n *onnx.Node) ([]onnx.Type, error) {
	if len(n.Inputs) == 0 {
		return nil, fmt.Errorf("has no inputs")
	}
	out := n.Inputs[0].Type
	axis, err := axisOf(n.Int("axis", 0), len(out.Shape))
	if err != nil {
		return nil, err
	}
	out.Shape = append([]onnx.Dim{}, out.Shape...)
	for i, in := range n.Inputs[1:] {
		if in == nil {
			return nil, fmt.Errorf("lacks input %d", i+1)
		}
		if in.Type.DType != out.DType || len(in.Type.Shape) != len(out.Shape) {
			return nil, fmt.Errorf("joins %v and %v", n.Inputs[0].Type, in.Type)
		}
		for i, d := range in.Type.Shape {
			switch {
			case i == axis && d.Known() && out.Shape[i].Known():
				out.Shape[i].Size += d.Size
			case i == axis:
				out.Shape[i] = onnx.Dim{Size: onnx.Unknown}
			case d.Known() && out.Shape[i].Known() && d.Size != out.Shape[i].Size:
				return nil, fmt.Errorf("joins %v and %v along axis %d", n.Inputs[0].Type, in.Type, axis)
			case d.Known():
				out.Shape[i] = d
			}
		}
	}
	return []onnx.Type{out}, nil
}

// Concat joins tensors along an axis.
func (b *Builder) Concat(axis int64, xs ...*onnx.Value) *onnx.Value {
	if len(xs) == 1 {
		return xs[0]
	}
	return b.Op("Concat", Attrs{"axis": axis}, xs...)
}

func gradConcat(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	axis := n.Int("axis", 0)
	sizes := make([]int64, len(n.Inputs))
	for i, x := range n.Inputs {
		a, _ := axisOf(axis, len(x.Type.Shape))
		sizes[i] = x.Type.Shape[a].Size
		if !x.Type.Shape[a].Known() {
			b.Fail("the gradient of Concat needs fixed sizes along axis %d", axis)
		}
	}
	return b.Split(dy[0], axis, sizes...)
}

func inferSplit(n *onnx.Node) ([]onnx.Type, error) {
	in := n.Inputs[0].Type
	axis, err := axisOf(n.Int("axis", 0), len(in.Shape))
	if err != nil {
		return nil, err
	}
	sizes := n.Ints("split", nil) // before opset 13
	if n.Input(1) != nil {
		if sizes, err = constSizes(n, 1, "the list of sizes"); err != nil {
			return nil, err
		}
	} else if d := in.Shape[axis]; sizes == nil && d.Known() {
		for range n.Outputs {
			sizes = append(sizes, d.Size/int64(len(n.Outputs)))
		}
	}
	if len(sizes) != len(n.Outputs) {
		return nil, fmt.Errorf("%d sizes for %d outputs", len(sizes), len(n.Outputs))
	}
	total := int64(0)
	types := make([]onnx.Type, len(sizes))
	for i, s := range sizes {
		total += s
		types[i] = onnx.Type{DType: in.DType, Shape: append([]onnx.Dim{}, in.Shape...)}
		types[i].Shape[axis] = onnx.Dim{Size: s}
	}
	if d := in.Shape[axis]; d.Known() && d.Size != total {
		return nil, fmt.Errorf("sizes %v of %v along axis %d", sizes, in, axis)
	}
	return types, nil
}

// Split cuts x along an axis into parts of the given sizes.
func (b *Builder) Split(x *onnx.Value, axis int64, sizes ...int64) []*onnx.Value {
	return b.Ops("Split", len(sizes), Attrs{"axis": axis}, x, b.Ints(sizes...))
}

func gradSplit(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	parts := make([]*onnx.Value, len(dy))
	for i, d := range dy {
		if parts[i] = d; d == nil {
			parts[i] = b.Scale(n.Outputs[i], 0)
		}
	}
	return []*onnx.Value{b.Concat(n.Int("axis", 0), parts...), nil}
}

// sliceOf is a Slice's range along each dimension, clamped, with positive steps made explicit.
type sliceOf struct{ start, end, step []int64 }

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
	s = sliceOf{make([]int64, len(in)), make([]int64, len(in)), make([]int64, len(in))}
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
			return s, fmt.Errorf("slices dimension %v, whose size is unknown", in[axis])
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
		if d.Known() {
			shape[i] = onnx.Dim{Size: s.size(i)}
		}
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Slice takes x[start:end] along one axis.
func (b *Builder) Slice(x *onnx.Value, axis, start, end int64) *onnx.Value {
	return b.Op("Slice", nil, x, b.Ints(start), b.Ints(end), b.Ints(axis))
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
func (b *Builder) Pad(x *onnx.Value, pads ...int64) *onnx.Value {
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

func inferExpand(n *onnx.Node) ([]onnx.Type, error) {
	to, err := constSizes(n, 1, "the new shape")
	if err != nil {
		return nil, err
	}
	shape, err := broadcast(n.Inputs[0].Type.Shape, onnx.Dims(to...))
	return []onnx.Type{{DType: n.Inputs[0].Type.DType, Shape: shape}}, err
}

func inferSqueeze(n *onnx.Node) ([]onnx.Type, error) {
	axes, err := constInts(n, 1, "axes")
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	drop := map[int]bool{}
	for _, a := range axes {
		axis, err := axisOf(a, len(in.Shape))
		if err != nil {
			return nil, err
		}
		if d := in.Shape[axis]; d.Known() && d.Size != 1 {
			return nil, fmt.Errorf("axis %d of %v is not 1", axis, in)
		}
		drop[axis] = true
	}
	shape := []onnx.Dim{}
	for i, d := range in.Shape {
		if !drop[i] {
			shape = append(shape, d)
		}
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

func inferUnsqueeze(n *onnx.Node) ([]onnx.Type, error) {
	axes, err := constInts(n, 1, "axes")
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	rank := len(in.Shape) + len(axes)
	added := map[int]bool{}
	for _, a := range axes {
		axis, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		added[axis] = true
	}
	shape, rest := make([]onnx.Dim, rank), in.Shape
	for i := range shape {
		if added[i] {
			shape[i] = onnx.Dim{Size: 1}
			continue
		}
		if len(rest) == 0 {
			return nil, fmt.Errorf("axes %v repeat", axes)
		}
		shape[i], rest = rest[0], rest[1:]
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// Squeeze drops dimensions of size 1.
func (b *Builder) Squeeze(x *onnx.Value, axes ...int64) *onnx.Value {
	return b.Op("Squeeze", nil, x, b.Ints(axes...))
}

// Unsqueeze inserts dimensions of size 1.
func (b *Builder) Unsqueeze(x *onnx.Value, axes ...int64) *onnx.Value {
	return b.Op("Unsqueeze", nil, x, b.Ints(axes...))
}

func gradSqueeze(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	axes, _ := constInts(n, 1, "axes")
	if n.Op == "Squeeze" {
		return []*onnx.Value{b.Unsqueeze(dy[0], axes...), nil}
	}
	return []*onnx.Value{b.Squeeze(dy[0], axes...), nil}
}
