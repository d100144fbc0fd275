package op

import (
	"fmt"

	"yolofreeze/onnx"
)

var norms = []Op{
	{"BatchNormalization", 5, []int64{1, 6, 7, 9, 14, 15}, inferBatchNorm, rule(gradBatchNorm)},
}

func inferBatchNorm(n *onnx.Node) ([]onnx.Type, error) {
	if len(n.Inputs) != 5 {
		return nil, fmt.Errorf("has %d inputs, not 5", len(n.Inputs))
	}
	x := n.Inputs[0].Type
	types := []onnx.Type{x}
	if n.Int("training_mode", 0) == 1 {
		types = append(types, n.Inputs[3].Type, n.Inputs[4].Type)
	}
	return types, nil
}

// BatchNorm normalises x [N,C,H,W] by the given mean and variance [C] (Ioffe and Szegedy, arXiv:1502.03167).
func (o Layers) BatchNorm(x, scale, bias, mean, variance *onnx.Value, epsilon float32) *onnx.Value {
	return o.b.Op("BatchNormalization", Attrs{"epsilon": epsilon}, x, scale, bias, mean, variance)
}

// BatchStatistics returns the mean and the biased variance of x [N,C,H,W] over
// all but its channels, as [1,C,1,1], and x minus that mean. The variance is
// that of the centred values: E[x²]-E[x]² cancels where |mean| ≫ deviation.
func (o Layers) BatchStatistics(x *onnx.Value) (mean, variance, centred *onnx.Value) {
	b := o.b
	mean = b.ReduceMean(x, true, 0, 2, 3)
	centred = b.Sub(x, mean)
	return mean, b.ReduceMean(b.Square(centred), true, 0, 2, 3), centred
}

// gradBatchNorm: with a = scale/√(variance+ε), the inference form gives
// dX = a·dY. In training mode mean and variance depend on X as well:
// dX = a·(dY - mean(dY) - x̂·mean(dY·x̂)).
func gradBatchNorm(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	x, scale, mean, variance := n.Inputs[0], n.Inputs[1], n.Inputs[3], n.Inputs[4]
	training := n.Int("training_mode", 0) == 1
	if b.Needs[3] || b.Needs[4] {
		b.Fail("no gradient is built for the mean and variance of BatchNormalization")
	}
	var centred *onnx.Value
	switch {
	case training:
		_, variance, centred = b.BatchStatistics(x)
	case b.Needs[1]:
		centred = b.Sub(x, b.Reshape(mean, 1, -1, 1, 1))
	}
	channel := func(v *onnx.Value) *onnx.Value { return b.Reshape(v, 1, -1, 1, 1) }
	inverse := b.Op("Reciprocal", nil, b.Sqrt(b.Shift(channel(variance), float64(n.Float("epsilon", 1e-5)))))
	dx := make([]*onnx.Value, 5)
	var sum, product *onnx.Value // ΣdY and ΣdY·x̂ per channel
	if training || b.Needs[2] {
		sum = b.ReduceSum(dy[0], true, 0, 2, 3)
	}
	if training || b.Needs[1] {
		product = b.Mul(b.ReduceSum(b.Mul(dy[0], centred), true, 0, 2, 3), inverse)
	}
	if b.Needs[1] {
		dx[1] = b.Reshape(product, -1)
	}
	if b.Needs[2] {
		dx[2] = b.Reshape(sum, -1)
	}
	if !b.Needs[0] {
		return dx
	}
	a := b.Mul(channel(scale), inverse)
	if !training {
		dx[0] = b.Mul(dy[0], a)
		return dx
	}
	s, ok := x.Type.Static()
	if !ok {
		dx[0] = b.Fail("the gradient of BatchNormalization in training mode needs a static shape, not %v", x.Type)
		return dx
	}
	share := b.Scale(a, -1/float64(s[0]*s[2]*s[3]))
	slope := b.Mul(b.Mul(share, product), inverse)
	dx[0] = b.Add(b.Add(b.Mul(dy[0], a), b.Mul(centred, slope)), b.Mul(share, sum))
	return dx
}
