package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerAtan replaces Atan, for which ONNX Runtime has no CUDA kernel, by
// arithmetic of the same accuracy. The argument is brought to [0, √2-1] in
// two steps, atan(x) = π/2 - atan(1/x) and atan(x) = π/4 + atan((x-1)/(x+1))
// for positive x, where a polynomial in x² holds fp32 accuracy (the
// coefficients of Moshier's Cephes library, atanf).
func LowerAtan(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "Atan" {
			return nil, false
		}
		return []*onnx.Value{atan(b, n.Inputs[0])}, true
	})
}

func atan(b *op.Builder, x *onnx.Value) *onnx.Value {
	const quarter = 0.7853981633974483 // π/4
	size := b.Op("Abs", nil, x)
	where := func(cond, yes, no *onnx.Value) *onnx.Value { return b.Op("Where", nil, cond, yes, no) }
	steep := b.Op("Greater", nil, size, b.Float(2.414213562373095))
	middle := b.Op("Greater", nil, size, b.Float(0.4142135623730950))
	inverse := b.Neg(b.Op("Reciprocal", nil, b.Max(size, b.Float(1))))
	ratio := b.Div(b.Shift(size, -1), b.Shift(size, 1))
	reduced := where(steep, inverse, where(middle, ratio, size))
	base := where(steep, b.Float(2*quarter), where(middle, b.Float(quarter), b.Float(0)))
	z := b.Square(reduced)
	p := b.Shift(b.Scale(z, 8.05374449538e-2), -1.38776856032e-1)
	p = b.Shift(b.Mul(p, z), 1.99777106478e-1)
	p = b.Shift(b.Mul(p, z), -3.33329491539e-1)
	odd := b.Add(b.Mul(b.Mul(p, z), reduced), reduced)
	return b.Mul(b.Add(base, odd), b.Op("Sign", nil, x))
}
