package op_test

import (
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
)

var elementwiseCases = slices.Concat(
	broadcasts("Add", normal), broadcasts("Sub", normal), broadcasts("Mul", normal),
	broadcasts("Div", func(shape ...int64) *onnx.Tensor { return between(0.5, 2, shape...) }),
	broadcasts("Max", apart()), broadcasts("Min", apart()),
	[]gradientCase{
		pow("Pow", 3, between(-2, 2, 3, 4)), pow("Pow 1.5", 1.5, between(0.5, 2, 3, 4)), pow("Pow 2", 2, normal(3, 4)),
		unary("Exp", nil, normal(2, 3)), unary("Log", nil, between(0.2, 3, 2, 3)), unary("Sqrt", nil, between(0.2, 3, 2, 3)),
		unary("Neg", nil, normal(2, 3)), unary("Abs", nil, away([]float64{0}, 2, 3)), unary("Reciprocal", nil, between(0.5, 2, 2, 3)),
		unary("Atan", nil, normal(2, 3)), unary("Sigmoid", nil, normal(2, 3)), unary("Tanh", nil, normal(2, 3)), unary("Softplus", nil, normal(2, 3)),
		unary("Relu", nil, away([]float64{0}, 3, 4)),
		unary("LeakyRelu", op.Attrs{"alpha": float32(0.1)}, away([]float64{0}, 3, 4)), unary("LeakyRelu by default", nil, away([]float64{0}, 3, 4)),
		unary("HardSigmoid", op.Attrs{"alpha": float32(1) / 6, "beta": float32(0.5)}, onnx.Of([]float32{-5, -3.2, -2.9, -1, 0, 1, 2.9, 3.2, 5}, 9)),
		unary("HardSigmoid by default", nil, onnx.Of([]float32{-5, -2.6, -2.4, 0, 2.4, 2.6}, 6)),
		unary("HardSwish", nil, onnx.Of([]float32{-5, -3.2, -2.9, -1, 0, 1, 2.9, 3.2, 5}, 9)),
		unary("Identity", nil, normal(2, 3)), unary("Cast", op.Attrs{"to": int64(onnx.Float)}, normal(2, 3)),
		graphOf("Clip", inputs(away([]float64{-0.5, 0.5}, 4, 5)), func(b *op.Builder, x values) values {
			return values{b.Op("Clip", nil, x[0], b.Float(-0.5), b.Float(0.5)), b.Op("Clip", nil, x[0], nil, b.Float(0.5)), b.Op("Clip", nil, x[0], b.Float(-0.5)), b.Op("Clip", nil, x[0])}
		}),
		graphOf("Where", inputs(onnx.Of([]bool{true, false}, 2, 1), normal(3), normal(2, 3)), apply("Where", nil)),
		graphOf("Where of a scalar", inputs(onnx.Of([]bool{true, false, false}, 3), normal(2, 3), normal()), apply("Where", nil)),
		graphOf("Mul: square", inputs(normal(2, 3)), func(b *op.Builder, x values) values { return values{b.Square(x[0])} }),
		graphOf("Mul: SiLU", inputs(normal(2, 3)), func(b *op.Builder, x values) values { return values{b.SiLU(x[0])} }),
		graphOf("Mul: SiLU the other way round", inputs(normal(2, 3)), func(b *op.Builder, x values) values { return values{b.Mul(b.Sigmoid(x[0]), x[0])} }),
		graphOf("Mul: SiLU whose sigmoid is read again", inputs(normal(2, 3)), func(b *op.Builder, x values) values {
			s := b.Sigmoid(x[0])
			return values{b.Mul(x[0], s), b.Square(s)}
		}),
		graphOf("Add: one value in many places", inputs(normal(2, 3), normal(3)), func(b *op.Builder, x values) values {
			y := b.Mul(x[0], x[1])
			return values{b.Add(y, x[0]), b.Add(y, y), b.Add(b.Square(y), x[1]), b.Sub(x[1], x[1])}
		}),
		graphOf("Mul: sums of different reach", inputs(normal(2, 3)), func(b *op.Builder, x values) values {
			y := b.Scale(x[0], 2)
			return values{b.ReduceSum(b.Square(b.ReduceSum(y, true, 0)), false), b.Square(b.ReduceSum(y, true, 1)), b.ReduceSum(y, false), y}
		}),
	})

// broadcasts are the ways in which one side, both or neither is repeated.
func broadcasts(name string, draw func(shape ...int64) *onnx.Tensor) []gradientCase {
	var list []gradientCase
	for _, c := range []struct {
		how  string
		x, y []int64
	}{
		{"alike", []int64{2, 3}, []int64{2, 3}},
		{"right", []int64{2, 3, 4}, []int64{3, 1}},
		{"left", []int64{4}, []int64{2, 3, 4}},
		{"both", []int64{2, 1, 4}, []int64{3, 1}},
		{"a scalar right", []int64{2, 3}, []int64{}},
		{"a scalar left", []int64{}, []int64{2, 3}},
		{"leading ones", []int64{1, 1, 3}, []int64{3}},
	} {
		list = append(list, graphOf(name+" "+c.how, inputs(draw(c.x...), draw(c.y...)), apply(name, nil)))
	}
	return append(list, gradientCase{name + " of unknown length", testkit.Function{
		Inputs: inputs(draw(4, 3), draw(4, 1)), Shapes: map[int][]onnx.Dim{0: {onnx.Sym("m"), {Size: 3}}, 1: {onnx.Sym("m"), {Size: 1}}},
		Build: apply(name, nil)}})
}

// apart draws numbers of which the even draws and the odd draws never come close.
func apart() func(shape ...int64) *onnx.Tensor {
	odd := float32(0)
	return func(shape ...int64) *onnx.Tensor {
		t := onnx.NewTensor(onnx.Float, shape...)
		for i := range onnx.Data[float32](t) {
			onnx.Data[float32](t)[i] = float32(dice.IntN(5)) + odd
		}
		odd = 0.5 - odd
		return t
	}
}

func unary(name string, attrs op.Attrs, x *onnx.Tensor) gradientCase {
	operator := name
	for i, r := range name {
		if r == ' ' {
			operator = name[:i]
			break
		}
	}
	return graphOf(name, inputs(x), apply(operator, attrs))
}

func pow(name string, exponent float64, x *onnx.Tensor) gradientCase {
	return graphOf(name, inputs(x), func(b *op.Builder, v values) values { return values{b.Op("Pow", nil, v[0], b.Float(exponent))} })
}

// TestGradientsAtKinks: what the rules choose where differences cannot tell.
func TestGradientsAtKinks(t *testing.T) {
	vector := func(v ...float32) *onnx.Tensor { return onnx.Of(v, int64(len(v))) }
	for _, c := range []struct {
		name  string
		in    []*onnx.Tensor
		build func(*op.Builder, values) values
		want  [][]float64
	}{
		{"Max ties", inputs(vector(1, 2, 3), vector(1, 3, 2)), apply("Max", nil), [][]float64{{0.5, 0, 1}, {0.5, 1, 0}}},
		{"Min ties", inputs(vector(1, 2, 3), vector(1, 3, 2)), apply("Min", nil), [][]float64{{0.5, 1, 0}, {0.5, 0, 1}}},
		{"Max against a scalar", inputs(vector(0, -1, 1), onnx.Scalar(float32(0))), apply("Max", nil), [][]float64{{0.5, 0, 1}, {1.5}}},
		{"Clip ends", inputs(vector(-2, -1, 0, 1, 2)), func(b *op.Builder, x values) values {
			return values{b.Op("Clip", nil, x[0], b.Float(-1), b.Float(1))}
		}, [][]float64{{0, 1, 1, 1, 0}}},
		{"Relu", inputs(vector(-1, 0, 1)), apply("Relu", nil), [][]float64{{0, 0, 1}}},
		{"LeakyRelu", inputs(vector(-1, 0, 1)), apply("LeakyRelu", op.Attrs{"alpha": float32(0.25)}), [][]float64{{0.25, 0.25, 1}}},
		{"Abs", inputs(vector(-1, 0, 1)), apply("Abs", nil), [][]float64{{-1, 0, 1}}},
		{"HardSigmoid", inputs(vector(-2, 0, 2)), apply("HardSigmoid", op.Attrs{"alpha": float32(0.25)}), [][]float64{{0, 0.25, 0}}},
		{"HardSwish", inputs(vector(-3, 3)), apply("HardSwish", nil), [][]float64{{0, 1}}},
		{"MaxPool ties: the first", inputs(onnx.Of([]float32{1, 1, 1, 1}, 1, 1, 2, 2)), func(b *op.Builder, x values) values {
			return values{b.MaxPool(x[0], op.Square(2, 1, 0))}
		}, [][]float64{{1, 0, 0, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := testkit.Function{Inputs: c.in, Build: c.build}
			m, err := f.Graph(false, f.Smooth()...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ref.Run(m, f.Feeds())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if g := got[[]string{"dx0", "dx1"}[i]]; !slices.Equal(g.Data, want) {
					t.Errorf("gradient %d is %v, want %v", i, g.Data, want)
				}
			}
		})
	}
}
