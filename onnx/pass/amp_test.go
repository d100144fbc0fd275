package pass_test

import (
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
)

// TestMixedPrecision: a convolution and its gradients multiply the narrow type, the
// unfolding between them moves it, where CUDA has kernels for that, and the rest
// is float32.
func TestMixedPrecision(t *testing.T) {
	for _, c := range []struct {
		products  onnx.DType
		narrow    []string // operators
		tolerance float64
	}{
		{onnx.Float16, []string{"Conv", "ConvTranspose", "MatMul", "Pad", "Slice"}, 1e-2},
		{onnx.BFloat16, []string{"Conv", "MatMul", "Slice"}, 5e-2},
	} {
		t.Run(c.products.String(), func(t *testing.T) {
			m := convolutions(t)
			want := run(t, m, feeds(m))
			apply(t, m, pass.Mixed(c.products, pass.AnyProvider)...)
			casts := 0
			for _, n := range m.Nodes {
				d, want := n.Inputs[0].Type.DType, onnx.Float
				if slices.Contains(c.narrow, n.Op) {
					want = c.products
				}
				switch n.Op {
				case "Conv", "ConvTranspose", "MatMul", "Pad", "Slice", "Add", "Mul", "Sigmoid", "ReduceMean", "ReduceSum":
					if d != want {
						t.Errorf("%s %q works on %v", n.Op, n.Name, d)
					}
				}
				if n.Op == "Cast" && n.Outputs[0].Type.DType == c.products {
					casts++
				}
			}
			if casts > 5 { // x, w, hidden, dy twice
				t.Errorf("%d casts to %v\n%s", casts, c.products, m)
			}
			got := run(t, m, feeds(m))
			equal(t, got, want, c.tolerance)
			if slices.Equal(got["dw"].Data, want["dw"].Data) {
				t.Error("nothing was rounded, so this test shows nothing")
			}
		})
	}
}

// convolutions is a graph of two, with the gradient of the first.
func convolutions(t *testing.T) *onnx.Model {
	t.Helper()
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(2, 3, 8, 8))
	w := b.Input("w", onnx.Float, onnx.Dims(4, 3, 3, 3))
	hidden := b.SiLU(b.Conv(x, w, nil, op.Square(3, 1, 1)))
	fixed := make([]float32, 4*8*4)
	for i := range fixed {
		fixed[i] = float32(i%7) - 3
	}
	y := b.Conv(b.Concat(1, hidden, hidden), b.Param("fixed", onnx.Of(fixed, 4, 8, 2, 2)), nil, op.Square(2, 2, 0))
	g, err := grad.Build(b, b.ReduceMean(b.Square(y), false), []*onnx.Value{w}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Output("y", y)
	b.Output("dw", g[0])
	apply(t, b.Model, pass.Standard...)
	return b.Model
}

func arrays(tensors map[string]*onnx.Tensor) map[string]*ref.Array {
	all := map[string]*ref.Array{}
	for name, t := range tensors {
		all[name] = ref.FromTensor(t)
	}
	return all
}

// TestBeyondFloat16: a product with a constant that float16 cannot hold stays as it is.
func TestBeyondFloat16(t *testing.T) {
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(2, 2))
	b.Output("large", b.MatMul(x, b.Const(onnx.Of([]float32{1e5, 0, 0, 1}, 2, 2))))
	b.Output("small", b.MatMul(b.Transpose(x, 1, 0), b.Const(onnx.Of([]float32{3, 0, 0, 1}, 2, 2))))
	m := b.Model
	want := run(t, m, feeds(m))
	apply(t, m, pass.Mixed(onnx.Float16, pass.AnyProvider)...)
	equal(t, run(t, m, feeds(m)), want, 1e-3)
	var types []onnx.DType
	for _, n := range m.Nodes {
		if n.Op == "MatMul" {
			types = append(types, n.Inputs[0].Type.DType)
		}
	}
	if !slices.Equal(types, []onnx.DType{onnx.Float, onnx.Float16}) {
		t.Errorf("products of %v\n%s", types, m)
	}
}
