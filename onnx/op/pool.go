package op

import (
	"fmt"

	"yolofreeze/onnx"
)

var pools = []Op{
	{"MaxPool", 1, []int64{1, 8, 10, 11, 12, 22}, inferPool, rule(gradMaxPool)},
	{"AveragePool", 1, []int64{1, 7, 10, 11, 19, 22}, inferPool, Unsupported("only the gradient of Resize averages")},
}

func inferPool(n *onnx.Node) ([]onnx.Type, error) {
	x := n.Inputs[0].Type
	if len(x.Shape) != 4 {
		return nil, fmt.Errorf("takes NCHW, not %v", x)
	}
	w, err := ReadWindow(n, nil)
	if err != nil {
		return nil, err
	}
	if n.Int("ceil_mode", 0) != 0 {
		return nil, fmt.Errorf("ceil_mode is not known")
	}
	space, err := w.slide(x.Shape[2:])
	if err != nil {
		return nil, err
	}
	shape := []onnx.Dim{x.Shape[0], x.Shape[1], space[0], space[1]}
	types := []onnx.Type{{DType: x.DType, Shape: shape}}
	if len(n.Outputs) > 1 {
		types = append(types, onnx.Type{DType: onnx.Int64, Shape: shape})
	}
	return types, nil
}

// MaxPool takes the maximum over each window; padding never wins.
func (o Layers) MaxPool(x *onnx.Value, w Window) *onnx.Value {
	return o.b.Op("MaxPool", w.attrs(), x)
}

// gradMaxPool sends each gradient to the place of its maximum: the node gets
// its second output, the flat index of that place in the whole tensor.
func gradMaxPool(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	x := n.Inputs[0].Type
	s, ok := x.Static()
	if !ok {
		return []*onnx.Value{b.Fail("the gradient of MaxPool needs a static shape, not %v", x)}
	}
	if n.Output(1) == nil {
		index := onnx.Type{DType: onnx.Int64, Shape: n.Outputs[0].Type.Shape}
		n.Outputs = append(n.Outputs[:1], &onnx.Value{Name: b.unique("argmax"), Type: index, Node: n})
	}
	zeros := b.Op("Expand", nil, b.Float(0), b.Ints(onnx.NumElements(s)))
	flat := b.Op("ScatterElements", Attrs{"axis": int64(0), "reduction": "add"},
		zeros, b.Reshape(n.Outputs[1], -1), b.Reshape(dy[0], -1))
	return []*onnx.Value{b.Reshape(flat, s...)}
}
