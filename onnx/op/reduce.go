package op

import (
	"yolofreeze/onnx"
)

var reductions = []Op{
	{"ReduceSum", 1, []int64{1, 11, 13}, inferReduce, rule(gradReduceSum)},
	{"ReduceMean", 1, []int64{1, 11, 13, 18}, inferReduce, rule(gradReduceMean)},
	{"ReduceSumSquare", 1, []int64{1, 11, 13, 18}, inferReduce, Unsupported("only norms of gradients are taken")},
	{"ReduceMax", 1, []int64{1, 11, 12, 13, 18, 20}, inferReduce, Unsupported("nothing trainable passes through a maximum over axes")},
}

// reduceAxes reads the axes from the input that newer schemas have, or from the attribute; all axes when absent.
func reduceAxes(n *onnx.Node) (map[int]bool, error) {
	rank := len(n.Inputs[0].Type.Shape)
	axes := n.Ints("axes", nil)
	if n.Input(1) != nil {
		var err error
		if axes, err = constInts(n, 1, "axes"); err != nil {
			return nil, err
		}
	}
	over := map[int]bool{}
	for _, a := range axes {
		axis, err := axisOf(a, rank)
		if err != nil {
			return nil, err
		}
		over[axis] = true
	}
	for i := 0; len(axes) == 0 && i < rank; i++ {
		over[i] = true
	}
	return over, nil
}

func inferReduce(n *onnx.Node) ([]onnx.Type, error) {
	over, err := reduceAxes(n)
	if err != nil {
		return nil, err
	}
	in := n.Inputs[0].Type
	shape := []onnx.Dim{}
	for i, d := range in.Shape {
		switch {
		case !over[i]:
			shape = append(shape, d)
		case n.Int("keepdims", 1) == 1:
			shape = append(shape, onnx.Dim{Size: 1})
		}
	}
	return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
}

// ReduceSum adds over axes, which it keeps as 1 or drops; no axes means all of them.
func (o Arithmetic) ReduceSum(x *onnx.Value, keep bool, axes ...int64) *onnx.Value {
	b := o.b
	var list *onnx.Value
	if len(axes) > 0 {
		list = b.Ints(axes...)
	}
	return b.Op("ReduceSum", Attrs{"keepdims": toInt(keep)}, x, list)
}

// ReduceMean averages over axes, which it keeps as 1 or drops.
func (o Arithmetic) ReduceMean(x *onnx.Value, keep bool, axes ...int64) *onnx.Value {
	b := o.b
	attrs := Attrs{"keepdims": toInt(keep)}
	if len(axes) > 0 {
		attrs["axes"] = axes
	}
	return b.Op("ReduceMean", attrs, x)
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// gradReduceSum hands dy to every element: it needs the shape, which must be static or dy's by broadcasting.
func gradReduceSum(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.spread(n, dy[0]), nil}
}

func gradReduceMean(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	over, _ := reduceAxes(n)
	count := int64(1)
	for i, d := range n.Inputs[0].Type.Shape {
		if over[i] {
			count *= d.Size
			if !d.Known() {
				return []*onnx.Value{b.Fail("the gradient of ReduceMean needs the size of dimension %d of %v", i, n.Inputs[0].Type)}
			}
		}
	}
	return []*onnx.Value{b.Scale(b.spread(n, dy[0]), 1/float64(count))}
}

// spread puts reduced dimensions back as 1 and leaves the repetition to the
// broadcasting of whoever uses the gradient: the walk expands it if nobody does.
func (b *Backward) spread(n *onnx.Node, dy *onnx.Value) *onnx.Value {
	if n.Int("keepdims", 1) == 1 {
		return dy
	}
	over, _ := reduceAxes(n)
	axes := []int64{}
	for i := range n.Inputs[0].Type.Shape {
		if over[i] {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) == 0 {
		return dy
	}
	return b.Unsqueeze(dy, axes...)
}
