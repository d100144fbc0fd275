package testkit

import (
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// TestCheckGradients: the check passes what is right and refuses what is wrong.
func TestCheckGradients(t *testing.T) {
	type values = []*onnx.Value
	x, zero := onnx.Of([]float32{0.5, -2, 3}, 3), onnx.Of([]float32{0, 1, 2}, 3)
	for name, c := range map[string]struct {
		f    Function
		want string // "" when the gradients are right
	}{
		"cube":    {Function{Inputs: []*onnx.Tensor{x}, Build: func(b *op.Builder, v values) values { return values{b.Mul(b.Square(v[0]), v[0])} }}, ""},
		"product": {Function{Inputs: []*onnx.Tensor{x, zero}, Build: func(b *op.Builder, v values) values { return values{b.Mul(v[0], v[1])} }}, ""},
		"kink":    {Function{Inputs: []*onnx.Tensor{zero}, Build: func(b *op.Builder, v values) values { return values{b.Op("Relu", nil, v[0])} }}, "input 0: "},
		"hidden": {Function{Inputs: []*onnx.Tensor{x, x}, Build: func(b *op.Builder, v values) values {
			floor := b.Op("Floor", nil, b.Mul(v[0], b.Float(0.5))) // passes no gradient
			return values{b.Add(floor, v[1])}
		}}, "does not depend"},
		"unlike": {Function{Inputs: []*onnx.Tensor{x}, Build: func(b *op.Builder, v values) values {
			return values{b.Mul(v[0], b.Op("Identity", nil, mislabelled(b, v[0])))}
		}}, "by the rule of"},
		"senseless": {Function{Inputs: []*onnx.Tensor{x, x}, Build: func(b *op.Builder, v values) values { return values{b.MatMul(v[0], v[1])} }}, "multiplies"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.f.CheckGradients()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// mislabelled claims a wrong shape for a value.
func mislabelled(b *op.Builder, x *onnx.Value) *onnx.Value {
	y := b.Op("Neg", nil, x)
	y.Type.Shape = onnx.Dims(1)
	return y
}

func TestSmooth(t *testing.T) {
	f := Function{Inputs: []*onnx.Tensor{onnx.Scalar(int64(1)), onnx.Scalar(float32(1)), onnx.Scalar(float32(1)), onnx.Scalar(true)}, Fixed: []int{1}}
	if got := f.Smooth(); len(got) != 1 || got[0] != 2 {
		t.Errorf("smooth inputs %v, want [2]", got)
	}
}
