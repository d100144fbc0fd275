package op

import (
	"fmt"

	"yolofreeze/onnx"
)

var indexing = []Op{
	{"Gather", 2, []int64{1, 11, 13}, inferGather, rule(gradGather)},
	{"ScatterND", 3, []int64{11, 13, 16, 18}, inferScatter, Unsupported("only gradients and detached targets are scattered")},
	{"ScatterElements", 3, []int64{11, 13, 16, 18}, inferScatter, Unsupported("only gradients are scattered")},
	{"Constant", 0, []int64{1, 9, 11, 12, 13, 19, 21}, inferConstant, NoGrad},
	{"Shape", 1, []int64{1, 13, 15, 19, 21}, inferShape, NoGrad},
	{"Range", 3, []int64{11}, inferRange, NoGrad},
	{"ConstantOfShape", 1, []int64{9, 20, 21}, inferConstantOfShape, NoGrad},
}

func inferGather(n *onnx.Node) ([]onnx.Type, error) {
	data, indices := n.Inputs[0].Type, n.Inputs[1].Type
	axis, err := axisOf(n.Int("axis", 0), len(data.Shape))
	if err != nil {
		return nil, err
	}
	shape := append([]onnx.Dim{}, data.Shape[:axis]...)
	shape = append(append(shape, indices.Shape...), data.Shape[axis+1:]...)
	return []onnx.Type{{DType: data.DType, Shape: shape}}, nil
}

// Gather picks slices of data along an axis.
func (o Layout) Gather(data, indices *onnx.Value, axis int64) *onnx.Value {
	return o.b.Op("Gather", Attrs{"axis": axis}, data, indices)
}

// gradGather adds rows up where an index occurs several times; rows of axis 0 only.
func gradGather(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	if n.Int("axis", 0) != 0 || len(n.Inputs[1].Type.Shape) != 1 {
		return []*onnx.Value{b.Fail("the gradient of Gather is built for a vector of indices along axis 0")}
	}
	zeros := b.zerosLike(n.Inputs[0])
	dx := b.Op("ScatterND", Attrs{"reduction": "add"}, zeros, b.Unsqueeze(n.Inputs[1], 1), dy[0])
	return []*onnx.Value{dx, nil}
}

// zerosLike is a tensor of zeros of the shape of x: a constant where the shape is static.
func (o Layout) zerosLike(x *onnx.Value) *onnx.Value {
	b := o.b
	if sizes, ok := x.Type.Static(); ok {
		return b.Op("Expand", nil, b.Const(onnx.NewTensor(x.Type.DType)), b.Ints(sizes...))
	}
	return b.Sub(x, x)
}

func inferScatter(n *onnx.Node) ([]onnx.Type, error) {
	if d, u := n.Inputs[0].Type.DType, n.Inputs[2].Type.DType; d != u {
		return nil, fmt.Errorf("scatters %v into %v", u, d)
	}
	return []onnx.Type{n.Inputs[0].Type}, nil
}

func inferConstant(n *onnx.Node) ([]onnx.Type, error) {
	switch v := n.Attr("value").(type) {
	case *onnx.Tensor:
		return []onnx.Type{onnx.TypeOf(v)}, nil
	}
	switch {
	case n.Attr("value_int") != nil:
		return []onnx.Type{{DType: onnx.Int64, Shape: []onnx.Dim{}}}, nil
	case n.Attr("value_float") != nil:
		return []onnx.Type{{DType: onnx.Float, Shape: []onnx.Dim{}}}, nil
	case n.Attr("value_ints") != nil:
		return []onnx.Type{{DType: onnx.Int64, Shape: onnx.Dims(int64(len(n.Ints("value_ints", nil))))}}, nil
	}
	return nil, fmt.Errorf("carries no tensor")
}

func inferShape(n *onnx.Node) ([]onnx.Type, error) {
	return []onnx.Type{{DType: onnx.Int64, Shape: onnx.Dims(int64(len(n.Inputs[0].Type.Shape)))}}, nil
}

func inferRange(n *onnx.Node) ([]onnx.Type, error) {
	return []onnx.Type{{DType: n.Inputs[0].Type.DType, Shape: []onnx.Dim{{Size: onnx.Unknown}}}}, nil
}

func inferConstantOfShape(n *onnx.Node) ([]onnx.Type, error) {
	dtype := onnx.Float
	if t, ok := n.Attr("value").(*onnx.Tensor); ok {
		dtype = t.DType
	}
	if n.Inputs[0].Const != nil {
		sizes, err := constSizes(n, 0, "the shape")
		return []onnx.Type{{DType: dtype, Shape: onnx.Dims(sizes...)}}, err
	}
	return []onnx.Type{{DType: dtype}}, nil
}
