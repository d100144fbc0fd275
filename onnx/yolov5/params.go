package yolov5

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Params lists the tensors of the network's state dict that a graph uses, in
// the order of the forward pass. The anchors, a constant, are not among them.
func (n *Network) Params() ([]Param, error) {
	var list []Param
	b := op.NewBuilder("params")
	g := Graph{Builder: b, Net: n, Param: func(p Param) *onnx.Value {
		list = append(list, p)
		return b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...))
	}}
	side := n.MaxStride() * 2
	_, err := g.Forward(b.Input("images", onnx.Float, onnx.Dims(1, 3, side, side)))
	return list, err
}

// MaxStride is the coarsest level's stride: picture sides are multiples of it.
func (n *Network) MaxStride() int64 {
	stride := int64(32)
	for _, s := range n.Strides {
		stride = max(stride, s)
	}
	return stride
}
