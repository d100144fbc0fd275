package op

import (
	"fmt"

	"yolofreeze/onnx"
)

var products = []Op{
	{"MatMul", 2, []int64{1, 9, 13}, inferMatMul, rule(gradMatMul)},
}

func inferMatMul(n *onnx.Node) ([]onnx.Type, error) {
	x, y := n.Inputs[0].Type, n.Inputs[1].Type
	if len(x.Shape) < 2 || len(y.Shape) < 2 {
		return nil, fmt.Errorf("multiplies %v by %v", x, y)
	}
	rx, ry := len(x.Shape), len(y.Shape)
	if inner, other := x.Shape[rx-1], y.Shape[ry-2]; inner.Known() && other.Known() && inner.Size != other.Size {
		return nil, fmt.Errorf("multiplies %v by %v", x, y)
	}
	batch, err := broadcast(x.Shape[:rx-2], y.Shape[:ry-2])
	if err != nil {
		return nil, err
	}
	shape := append(append([]onnx.Dim{}, batch...), x.Shape[rx-2], y.Shape[ry-1])
	return []onnx.Type{{DType: x.DType, Shape: shape}}, nil
}

// MatMul multiplies matrices, batched over leading dimensions.
func (o Layers) MatMul(x, y *onnx.Value) *onnx.Value { return o.b.Op("MatMul", nil, x, y) }

// swapLast transposes the last two dimensions.
func (o Layout) swapLast(x *onnx.Value) *onnx.Value {
	b := o.b
	rank := len(x.Type.Shape)
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	return b.Transpose(x, perm...)
}

func gradMatMul(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := make([]*onnx.Value, 2)
	if b.Needs[0] {
		dx[0] = b.MatMul(dy[0], b.swapLast(n.Inputs[1]))
	}
	if b.Needs[1] {
		dx[1] = b.MatMul(b.swapLast(n.Inputs[0]), dy[0])
	}
	return dx
}
