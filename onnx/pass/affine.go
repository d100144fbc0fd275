package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// JoinAffine writes what the gradient of BatchNormalization computes for each channel in fewer nodes,
// as BatchNormalization of fixed statistics, each of which is one kernel on CUDA: a·x + y + c,
// where a and c are numbers of channels, as BatchNormalization(x) + y, one pass over
// memory less; and 1/√(v+ε) as one of ones.
func JoinAffine(m *onnx.Model) error {
	readers, of := uses(m), channels{}
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		switch n.Op {
		case "Add":
			return of.joinSum(b, n, readers)
		case "Reciprocal":
			return of.joinDeviation(b, n)
		}
		return nil, false
	})
}

// channels keeps vectors of one number, of which layers of a width share one.
type channels map[filling]*onnx.Value

type filling struct {
	number float32
	n      int64
}

func (c channels) filled(b *op.Builder, number float32, n int64) *onnx.Value {
	v := c[filling{number, n}]
	if v == nil {
		t := onnx.NewTensor(onnx.Float, n)
		for i := range onnx.Data[float32](t) {
			onnx.Data[float32](t)[i] = number
		}
		v = b.Const(t)
		c[filling{number, n}] = v
	}
	return v
}

// joinSum replaces (a·x + y) + c.
func (of channels) joinSum(b *op.Builder, n *onnx.Node, readers map[*onnx.Value]int) ([]*onnx.Value, bool) {
	sum, c := byChannel(n)
	if c == nil || sum.Node == nil || sum.Node.Op != "Add" || readers[sum] != 1 {
		return nil, false
	}
	for i, product := range sum.Node.Inputs {
		y := sum.Node.Inputs[1-i]
		if product.Node == nil || product.Node.Op != "Mul" || readers[product] != 1 || !y.Type.Equal(sum.Type) {
			continue
		}
		if x, a := byChannel(product.Node); a != nil && x.Type.Equal(sum.Type) {
			n := a.Type.Shape[1].Size
			const epsilon = 1e-5 // cuDNN takes none below
			mean, variance := of.filled(b, 0, n), of.filled(b, 1-epsilon, n)
			return []*onnx.Value{b.Add(b.BatchNorm(x, b.Reshape(a, n), b.Reshape(c, n), mean, variance, epsilon), y)}, true
		}
	}
	return nil, false
}

// joinDeviation replaces 1/√(v+ε) of channels.
func (of channels) joinDeviation(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
	root := n.Inputs[0].Node
	if root == nil || root.Op != "Sqrt" || root.Inputs[0].Node == nil || root.Inputs[0].Node.Op != "Add" {
		return nil, false
	}
	for i, epsilon := range root.Inputs[0].Node.Inputs {
		v := root.Inputs[0].Node.Inputs[1-i]
		if n := channelsOf(v); n > 0 && epsilon.Const != nil && len(epsilon.Const.Shape) == 0 && epsilon.Const.Float64s()[0] >= 1e-5 {
			zeros, ones := of.filled(b, 0, n), of.filled(b, 1, n)
			return []*onnx.Value{b.BatchNorm(b.Reshape(ones, 1, n, 1, 1), ones, zeros, zeros, b.Reshape(v, n), float32(epsilon.Const.Float64s()[0]))}, true
		}
	}
	return nil, false
}

// byChannel finds which of a node's two inputs are pictures of known size and which one number for each of their channels.
func byChannel(n *onnx.Node) (pictures, numbers *onnx.Value) {
	for i, numbers := range n.Inputs {
		pictures := n.Inputs[1-i]
		shape, ok := pictures.Type.Static()
		if ok && len(shape) == 4 && channelsOf(numbers) == shape[1] && channelsOf(pictures) == 0 && pictures.Type.DType == onnx.Float {
			return pictures, numbers
		}
	}
	return nil, nil
}

// channelsOf is C of a value of shape [1,C,1,1], 0 of any other.
func channelsOf(v *onnx.Value) int64 {
	shape, ok := v.Type.Static()
	if !ok || len(shape) != 4 || shape[0] != 1 || shape[2] != 1 || shape[3] != 1 || v.Type.DType != onnx.Float {
		return 0
	}
	return shape[1]
}
