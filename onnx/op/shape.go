package op

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

var shapes = []Op{
	{"Reshape", 2, []int64{5, 13, 14, 19, 21}, inferReshape, rule(gradReshape)},
	{"Transpose", 1, []int64{1, 13, 21}, inferTranspose, rule(gradTranspose)},
	{"Concat", 1, []int64{4, 11, 13}, inferConcat, rule(gradConcat)},
	{"Split", 1, []int64{2, 11, 13, 18}, inferSplit, rule(gradSplit)},
	{"Slice", 3, []int64{10, 11, 13}, inferSlice, rule(gradSlice)},
	{"Pad", 2, []int64{2, 11, 13, 18, 19, 21}, inferPad, rule(gradPad)},
	{"Expand", 2, []int64{8, 13}, inferExpand, rule(func(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value { return dy })},
	{"Squeeze", 2, []int64{1, 11, 13, 21}, inferSqueeze, rule(gradSqueeze)},
	{"Unsqueeze", 2, []int64{1, 11, 13, 21}, inferUnsqueeze, rule(gradSqueeze)},
	{"DepthToSpace", 1, []int64{1, 11, 13}, inferDepthToSpace, rule(gradDepthToSpace)},
	{"SpaceToDepth", 1, []int64{1, 13}, inferSpaceToDepth, rule(gradSpaceToDepth)},
	{"Resize", 1, []int64{10, 11, 13, 18, 19}, inferResize, rule(gradResize)},
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
func (o Layout) Reshape(x *onnx.Value, shape ...int64) *onnx.Value {
	return o.b.Op("Reshape", nil, x, o.b.Ints(shape...))
}

// reshapeLike gives x the shape of a type with at most one unknown dimension.
func (o Layout) reshapeLike(x *onnx.Value, t onnx.Type) *onnx.Value {
	b := o.b
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
func (o Layout) Transpose(x *onnx.Value, perm ...int64) *onnx.Value {
	return o.b.Op("Transpose", Attrs{"perm": perm}, x)
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
func (o Layout) Concat(axis int64, xs ...*onnx.Value) *onnx.Value {
	b := o.b
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
func (o Layout) Split(x *onnx.Value, axis int64, sizes ...int64) []*onnx.Value {
	return o.b.Ops("Split", len(sizes), Attrs{"axis": axis}, x, o.b.Ints(sizes...))
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
func (o Layout) Squeeze(x *onnx.Value, axes ...int64) *onnx.Value {
	return o.b.Op("Squeeze", nil, x, o.b.Ints(axes...))
}

// Unsqueeze inserts dimensions of size 1.
func (o Layout) Unsqueeze(x *onnx.Value, axes ...int64) *onnx.Value {
	return o.b.Op("Unsqueeze", nil, x, o.b.Ints(axes...))
}

func gradSqueeze(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	axes, _ := constInts(n, 1, "axes")
	if n.Op == "Squeeze" {
		return []*onnx.Value{b.Unsqueeze(dy[0], axes...), nil}
	}
	return []*onnx.Value{b.Squeeze(dy[0], axes...), nil}
}
