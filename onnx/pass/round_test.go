package pass_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
)

// TestRoundNarrow: ONNX Runtime's optimizers keep the pairs of Casts that round.
// Products come out as numbers of the narrow type, those that package ref finds
// with sums in float64; but for one in twenty, since a few of the first convolution
// lie between two such numbers, come out as the other, and are read by many.
func TestRoundNarrow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, products := range []onnx.DType{onnx.Float16, onnx.BFloat16} {
		t.Run(products.String(), func(t *testing.T) {
			b := op.NewBuilder("case")
			x := b.Input("x", onnx.Float, onnx.Dims(2, 8, 9, 9))
			w := b.Param("w", normal(random, 8, 8, 3, 3))
			v := b.Input("v", onnx.Float, onnx.Dims(8, 8, 3, 3))
			hidden := b.SiLU(b.Conv(x, w, nil, op.Square(3, 1, 1)))
			b.Output("conv", b.Conv(b.Concat(1, b.Slice(hidden, 1, 0, 4), b.Slice(hidden, 1, 4, 8)), v, nil, op.Square(3, 1, 1)))
			rows := b.Reshape(x, 2, 8, 81)
			b.Output("product", b.MatMul(rows, b.Transpose(rows, 0, 2, 1)))
			m := b.Model
			fed := map[string]*onnx.Tensor{"x": normal(random, 2, 8, 9, 9), "v": normal(random, 8, 8, 3, 3)}
			wide := arrays(onRuntime(t, m, fed))
			apply(t, m, pass.Mixed(products, pass.CPUProvider)...)
			for _, n := range m.Nodes {
				if n.Op != "Cast" && n.Inputs[0].Type.DType == products {
					t.Errorf("%s %q works on %v", n.Op, n.Name, products)
				}
			}
			got, want := arrays(onRuntime(t, m, fed)), run(t, m, arrays(fed))
			for name, a := range got {
				if slices.Equal(a.Data, wide[name].Data) {
					t.Errorf("%s: nothing was rounded", name)
				}
				if rounded := ref.FromTensor(a.Tensor(products)); !slices.Equal(a.Data, rounded.Data) {
					t.Errorf("%s: not all are %v", name, products)
				}
				other := 0
				for i, g := range a.Data {
					if g != want[name].Data[i] {
						other++
					}
				}
				if other*20 > len(a.Data) {
					t.Errorf("%s: %d of %d numbers are not those of package ref", name, other, len(a.Data))
				}
				t.Logf("%s: %d of %d numbers rounded the other way", name, other, len(a.Data))
			}
		})
	}
}

func normal(random *rand.Rand, shape ...int64) *onnx.Tensor {
	data := make([]float32, onnx.NumElements(shape))
	for i := range data {
		data[i] = float32(random.NormFloat64())
	}
	return onnx.Of(data, shape...)
}

// TestLowerMaxPool: maxima of shifted slices are those of the pool, for sizes that
// are known and that are not.
func TestLowerMaxPool(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, dims := range [][]onnx.Dim{onnx.Dims(2, 3, 7, 11), {onnx.Sym("n"), {Size: 3}, onnx.Sym("h"), onnx.Sym("w")}} {
		b := op.NewBuilder("case")
		x := b.Input("x", onnx.Float, dims)
		for name, w := range map[string]op.Window{
			"5": op.Square(5, 1, 2), "9": op.Square(9, 1, 4), "13": op.Square(13, 1, 6), "even": op.Square(2, 1, 0), "1": op.Square(1, 1, 0),
			"row": {Kernel: [2]int64{1, 3}, Stride: [2]int64{1, 1}, Dilation: [2]int64{1, 1}, Pads: [4]int64{0, 1, 0, 1}, Groups: 1},
		} {
			b.Output(name, b.MaxPool(x, w))
		}
		m := b.Model
		fed := map[string]*onnx.Tensor{"x": normal(random, 2, 3, 7, 11)}
		for i, v := range onnx.Data[float32](fed["x"]) { // padding never wins, however low they are
			onnx.Data[float32](fed["x"])[i] = v - 1e6
		}
		want := arrays(onRuntime(t, m, fed))
		apply(t, m, pass.Pass{Name: "lower-maxpool", Run: pass.LowerMaxPool}, pass.Pass{Name: "raise-opset", Run: pass.RaiseOpset})
		for _, n := range m.Nodes {
			if n.Op == "MaxPool" {
				t.Errorf("%q is still there", n.Name)
			}
		}
		equal(t, arrays(onRuntime(t, m, fed)), want, 0)
		equal(t, run(t, m, arrays(fed)), want, 0)
	}
	b := op.NewBuilder("case")
	b.Output("y", b.MaxPool(b.Input("x", onnx.Float, onnx.Dims(1, 1, 4, 4)), op.Square(2, 2, 0)))
	if err := pass.LowerMaxPool(b.Model); err == nil {
		t.Error("a stride of 2 passed")
	}
}

// TestRaiseOpset: what reductions over axes mean stays as it was.
func TestRaiseOpset(t *testing.T) {
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(2, 3, 4, 5))
	b.Output("mean", b.ReduceMean(x, true, 0, 2, 3))
	b.Output("of all", b.ReduceMean(x, false))
	b.Output("sum", b.ReduceSum(x, false, 1))
	b.Output("squares", b.Op("ReduceSumSquare", op.Attrs{"axes": []int64{1, -1}, "keepdims": int64(0)}, x))
	b.Output("largest", b.Op("ReduceMax", op.Attrs{"axes": []int64{2}}, x))
	m := b.Model
	fed := map[string]*onnx.Tensor{"x": normal(rand.New(rand.NewPCG(5, 6)), 2, 3, 4, 5)}
	want := arrays(onRuntime(t, m, fed))
	apply(t, m, pass.Pass{Name: "raise-opset", Run: pass.RaiseOpset})
	if m.Opset != 22 {
		t.Errorf("opset %d", m.Opset)
	}
	equal(t, arrays(onRuntime(t, m, fed)), want, 0)
	equal(t, run(t, m, arrays(fed)), want, 1e-6)
}

// TestInfinity: what float16 cannot hold becomes infinite on its way, as on a GPU.
func TestInfinity(t *testing.T) {
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(1, 2))
	b.Output("y", b.MatMul(x, b.Input("w", onnx.Float, onnx.Dims(2, 1))))
	apply(t, b.Model, pass.Mixed(onnx.Float16, pass.CPUProvider)...)
	y := onRuntime(t, b.Model, map[string]*onnx.Tensor{"x": onnx.Of([]float32{300, 300}, 1, 2), "w": onnx.Of([]float32{300, 300}, 2, 1)})["y"]
	if got := y.Float64s()[0]; !math.IsInf(got, 1) {
		t.Errorf("180000 in float16 is %g", got)
	}
}
