package op_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/wire"
)

type values = []*onnx.Value

var dice = rand.New(rand.NewPCG(7, 11))

// normal draws numbers around 0.
func normal(shape ...int64) *onnx.Tensor { return testkit.Random(dice, shape...) }

// away draws numbers around 0 that keep away from the given kinks.
func away(kinks []float64, shape ...int64) *onnx.Tensor {
	t := normal(shape...)
	for i, v := range onnx.Data[float32](t) {
		for _, k := range kinks {
			if d := float64(v) - k; math.Abs(d) < 0.01 {
				onnx.Data[float32](t)[i] = float32(k + math.Copysign(0.02, d))
			}
		}
	}
	return t
}

// between draws numbers from low to high.
func between(low, high float64, shape ...int64) *onnx.Tensor {
	data := make([]float32, onnx.NumElements(shape))
	for i := range data {
		data[i] = float32(low + (high-low)*dice.Float64())
	}
	return onnx.Of(data, shape...)
}

func inputs(t ...*onnx.Tensor) []*onnx.Tensor { return t }

// apply applies one operator to all inputs.
func apply(name string, attrs op.Attrs) func(*op.Builder, values) values {
	return func(b *op.Builder, x values) values { return values{b.Op(name, attrs, x...)} }
}

func window(k, stride, pad int64) func(*op.Builder, values) values {
	return func(b *op.Builder, x values) values {
		return values{b.Conv(x[0], x[1], append(x, nil)[2], op.Square(k, stride, pad))}
	}
}

func grouped(k, stride, groups int64) func(*op.Builder, values) values {
	return func(b *op.Builder, x values) values {
		w := op.Square(k, stride, k/2)
		w.Groups = groups
		return values{b.Conv(x[0], x[1], append(x, nil)[2], w)}
	}
}

func trainingNorm(b *op.Builder, x values) *onnx.Value {
	return b.Ops("BatchNormalization", 3, op.Attrs{"epsilon": float32(1e-3), "training_mode": int64(1)}, x...)[0]
}

type gradientCase struct {
	name string // an operator, and what is particular
	testkit.Function
}

func graphOf(name string, in []*onnx.Tensor, build func(*op.Builder, values) values) gradientCase {
	return gradientCase{name, testkit.Function{Inputs: in, Build: build}}
}

var gradientCases = slices.Concat(convolutionCases, compositeCases, normCases, elementwiseCases, shapeGradientCases)

var convolutionCases = []gradientCase{
	graphOf("Conv 1×1", inputs(normal(2, 3, 4, 5), normal(4, 3, 1, 1)), window(1, 1, 0)),
	graphOf("Conv 1×1 bias", inputs(normal(2, 3, 4, 5), normal(4, 3, 1, 1), normal(4)), window(1, 1, 0)),
	graphOf("Conv 1×1 stride 2", inputs(normal(1, 2, 6, 4), normal(3, 2, 1, 1)), window(1, 2, 0)),
	graphOf("Conv 3×3", inputs(normal(2, 3, 5, 4), normal(2, 3, 3, 3), normal(2)), window(3, 1, 1)),
	graphOf("Conv 3×3 unpadded", inputs(normal(1, 2, 5, 6), normal(3, 2, 3, 3)), window(3, 1, 0)),
	graphOf("Conv 3×3 padded by 2", inputs(normal(1, 2, 3, 4), normal(3, 2, 3, 3)), window(3, 1, 2)),
	graphOf("Conv 3×3 padded by 3", inputs(normal(1, 2, 3, 4), normal(3, 2, 3, 3)), window(3, 1, 3)),
	graphOf("Conv 3×3 stride 2, even sizes", inputs(normal(2, 3, 6, 8), normal(2, 3, 3, 3), normal(2)), window(3, 2, 1)),
	graphOf("Conv 3×3 stride 2, size 2", inputs(normal(1, 2, 2, 2), normal(2, 2, 3, 3)), window(3, 2, 1)),
	graphOf("Conv 3×3 stride 2, odd sizes", inputs(normal(2, 2, 5, 7), normal(3, 2, 3, 3)), window(3, 2, 1)),
	graphOf("Conv 3×3 stride 2, odd and even", inputs(normal(1, 2, 5, 6), normal(3, 2, 3, 3)), window(3, 2, 1)),
	graphOf("Conv 3×3 stride 2, unpadded", inputs(normal(1, 2, 8, 7), normal(3, 2, 3, 3)), window(3, 2, 0)),
	graphOf("Conv 5×5", inputs(normal(2, 2, 6, 5), normal(3, 2, 5, 5)), window(5, 1, 2)),
	graphOf("Conv 6×6 stride 2 pad 2", inputs(normal(2, 3, 8, 12), normal(2, 3, 6, 6)), window(6, 2, 2)),
	graphOf("Conv 6×6 stride 2 pad 2, odd sizes", inputs(normal(1, 3, 9, 11), normal(2, 3, 6, 6)), window(6, 2, 2)),
	graphOf("Conv 2×3, pads unlike", inputs(normal(1, 2, 5, 6), normal(3, 2, 2, 3)), func(b *op.Builder, x values) values {
		w := op.Window{Kernel: [2]int64{2, 3}, Stride: [2]int64{1, 1}, Dilation: [2]int64{1, 1}, Pads: [4]int64{0, 1, 1, 2}, Groups: 1}
		return values{b.Conv(x[0], x[1], nil, w)}
	}),
	{"Conv dilated, grouped: the input's gradient", testkit.Function{
		Inputs: inputs(normal(1, 4, 9, 8), normal(6, 2, 3, 3)), Fixed: []int{1},
		Build: func(b *op.Builder, x values) values {
			w := op.Window{Kernel: [2]int64{3, 3}, Stride: [2]int64{2, 2}, Dilation: [2]int64{2, 2}, Pads: [4]int64{1, 1, 1, 1}, Groups: 2}
			return values{b.Conv(x[0], x[1], nil, w)}
		}}},
	graphOf("Conv 3×3 in 2 groups", inputs(normal(2, 4, 5, 4), normal(6, 2, 3, 3), normal(6)), grouped(3, 1, 2)),
	graphOf("Conv 1×1 in 3 groups", inputs(normal(2, 6, 3, 4), normal(3, 2, 1, 1)), grouped(1, 1, 3)),
	graphOf("Conv 5×5 depthwise", inputs(normal(2, 3, 6, 5), normal(3, 1, 5, 5)), grouped(5, 1, 3)),
	graphOf("Conv 3×3 stride 2 depthwise", inputs(normal(2, 4, 6, 8), normal(4, 1, 3, 3)), grouped(3, 2, 4)),
	graphOf("Conv 3×3 stride 2 depthwise, odd sizes, two outputs each", inputs(normal(1, 2, 5, 7), normal(4, 1, 3, 3)), grouped(3, 2, 2)),
	{"Conv: the kernel's gradient alone", testkit.Function{
		Inputs: inputs(normal(1, 2, 4, 4), normal(3, 2, 3, 3)), Fixed: []int{0}, Build: window(3, 2, 1)}},
	graphOf("Conv chained", inputs(normal(1, 2, 4, 4), normal(3, 2, 3, 3), normal(2, 3, 1, 1)), func(b *op.Builder, x values) values {
		y := b.SiLU(b.Conv(x[0], x[1], nil, op.Square(3, 2, 1)))
		return values{b.Conv(y, x[2], nil, op.Square(1, 1, 0))}
	}),
}

var normCases = []gradientCase{
	{"BatchNormalization inference", testkit.Function{
		Inputs: inputs(normal(2, 3, 4, 2), normal(3), normal(3), normal(3), between(0.5, 2, 3)), Fixed: []int{3, 4},
		Build: apply("BatchNormalization", op.Attrs{"epsilon": float32(1e-3)})}},
	{"BatchNormalization training", testkit.Function{
		Inputs: inputs(normal(2, 3, 4, 2), normal(3), normal(3), normal(3), between(0.5, 2, 3)), Fixed: []int{3, 4},
		Build: func(b *op.Builder, x values) values { return values{trainingNorm(b, x)} }}},
	{"BatchNormalization training, then SiLU", testkit.Function{
		Inputs: inputs(normal(3, 2, 2, 2), normal(2), normal(2), normal(2), between(0.5, 2, 2)), Fixed: []int{3, 4},
		Build: func(b *op.Builder, x values) values {
			return values{b.SiLU(trainingNorm(b, x))}
		}}},
	graphOf("ReduceMean: batch statistics", inputs(normal(2, 3, 4, 2)), func(b *op.Builder, x values) values {
		mean, variance, centred := b.BatchStatistics(x[0])
		return values{mean, variance, centred}
	}),
	graphOf("MaxPool 5×5 stride 1 pad 2", inputs(normal(2, 2, 7, 6)), func(b *op.Builder, x values) values { return values{b.MaxPool(x[0], op.Square(5, 1, 2))} }),
	graphOf("MaxPool 2×2 stride 2", inputs(normal(2, 2, 4, 6)), func(b *op.Builder, x values) values { return values{b.MaxPool(x[0], op.Square(2, 2, 0))} }),
	graphOf("MaxPool chained", inputs(normal(1, 2, 5, 6)), func(b *op.Builder, x values) values {
		y := b.MaxPool(x[0], op.Square(3, 1, 1))
		return values{b.Concat(1, x[0], y, b.MaxPool(y, op.Square(3, 1, 1)))}
	}),
}

var shapeGradientCases = []gradientCase{
	graphOf("Reshape", inputs(normal(2, 3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.Reshape(x[0], 0, -1))} }),
	{"Reshape of unknown length", testkit.Function{Inputs: inputs(normal(4, 6)), Shapes: map[int][]onnx.Dim{0: {onnx.Sym("m"), {Size: 6}}},
		Build: func(b *op.Builder, x values) values { return values{b.Square(b.Reshape(x[0], -1, 3))} }}},
	graphOf("Transpose", inputs(normal(2, 3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.Transpose(x[0], 2, 0, 1))} }),
	graphOf("Concat", inputs(normal(2, 1, 3), normal(2, 4, 3), normal(2, 2, 3)), func(b *op.Builder, x values) values { return values{b.Square(b.Concat(-2, x...))} }),
	graphOf("Concat of one thing twice", inputs(normal(2, 3)), func(b *op.Builder, x values) values { return values{b.Square(b.Concat(0, x[0], b.Neg(x[0]), x[0]))} }),
	graphOf("Split", inputs(normal(2, 6)), func(b *op.Builder, x values) values {
		p := b.Split(x[0], 1, 1, 2, 3)
		return values{b.Square(p[0]), b.Scale(p[1], 3), b.Mul(p[2], p[0])}
	}),
	graphOf("Split, a part unused", inputs(normal(6, 2)), func(b *op.Builder, x values) values { return values{b.Split(x[0], 0, 1, 2, 3)[1]} }),
	graphOf("Slice", inputs(normal(5, 4)), func(b *op.Builder, x values) values {
		return values{b.Square(b.Slice(b.Slice(x[0], 0, 1, -1), 1, -3, 99))}
	}),
	graphOf("Pad", inputs(normal(3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.Pad(x[0], 1, 0, 0, 2))} }),
	graphOf("Pad that crops", inputs(normal(3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.Pad(x[0], -1, 2, 0, -1))} }),
	graphOf("Expand", inputs(normal(3, 1)), func(b *op.Builder, x values) values {
		return values{b.Square(b.Op("Expand", nil, x[0], b.Ints(2, 3, 4)))}
	}),
	graphOf("Squeeze", inputs(normal(1, 3, 1)), func(b *op.Builder, x values) values { return values{b.Square(b.Squeeze(x[0], 0, -1))} }),
	graphOf("Unsqueeze", inputs(normal(3, 2)), func(b *op.Builder, x values) values { return values{b.Square(b.Unsqueeze(x[0], 0, -1))} }),
	graphOf("DepthToSpace", inputs(normal(2, 8, 2, 3)), func(b *op.Builder, x values) values { return values{b.Square(b.DepthToSpace(x[0], 2))} }),
	graphOf("SpaceToDepth", inputs(normal(2, 2, 4, 6)), func(b *op.Builder, x values) values { return values{b.Square(b.SpaceToDepth(x[0], 2))} }),
	graphOf("Resize", inputs(normal(2, 2, 2, 3)), func(b *op.Builder, x values) values { return values{b.Upsample2(x[0])} }),
	graphOf("Gather with repeats", inputs(normal(4, 2), onnx.Of([]int64{2, 0, 2, -1, 3, 2}, 6)), func(b *op.Builder, x values) values { return values{b.Square(b.Gather(x[0], x[1], 0))} }),
	{"Gather of unknown length", testkit.Function{Inputs: inputs(normal(4), onnx.Of([]int64{1, 1, 3}, 3), normal(3)),
		Shapes: map[int][]onnx.Dim{0: {onnx.Sym("m")}, 1: {onnx.Sym("k")}, 2: {onnx.Sym("k")}},
		Build:  func(b *op.Builder, x values) values { return values{b.Mul(x[2], b.Square(b.Gather(x[0], x[1], 0)))} }}},
	graphOf("ReduceSum kept", inputs(normal(2, 3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.ReduceSum(x[0], true, 0, -1))} }),
	graphOf("ReduceSum dropped", inputs(normal(2, 3, 4)), func(b *op.Builder, x values) values { return values{b.Square(b.ReduceSum(x[0], false, 1))} }),
	graphOf("ReduceSum of all", inputs(normal(2, 3)), func(b *op.Builder, x values) values { return values{b.Square(b.ReduceSum(b.Square(x[0]), false))} }),
	{"ReduceSum of unknown length", testkit.Function{Inputs: inputs(normal(4, 3)), Shapes: map[int][]onnx.Dim{0: {onnx.Sym("m"), {Size: 3}}},
		Build: func(b *op.Builder, x values) values { return values{b.Square(b.ReduceSum(x[0], false, 0))} }}},
	graphOf("ReduceMean", inputs(normal(2, 3, 4)), func(b *op.Builder, x values) values {
		return values{b.Square(b.ReduceMean(x[0], true, 0, 2)), b.Square(b.ReduceMean(x[0], false, -1)), b.ReduceMean(x[0], false)}
	}),
	graphOf("MatMul", inputs(normal(3, 4), normal(4, 2)), apply("MatMul", nil)),
	graphOf("MatMul batched, broadcast", inputs(normal(2, 1, 3, 4), normal(5, 4, 2)), apply("MatMul", nil)),
}

func TestGradients(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range gradientCases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.CheckGradients(); err != nil {
				t.Error(err)
			}
		})
		m, err := c.Graph(true)
		if err != nil {
			continue
		}
		for _, n := range m.Nodes {
			if strings.Fields(c.name)[0] == n.Op || strings.HasPrefix(c.name, n.Op+":") {
				tested[n.Op] = true
			}
		}
	}
	for _, name := range op.Names() {
		o, _ := op.Lookup(name)
		if o.Grad.Rule != nil && !tested[name] {
			t.Errorf("%s has a gradient, but no case in gradientCases", name)
		}
	}
}

// TestGradientsOnRuntime: ONNX Runtime computes in float32 what the reference does in float64.
func TestGradientsOnRuntime(t *testing.T) {
	if err := ort.Init(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
	for _, c := range gradientCases {
		t.Run(c.name, func(t *testing.T) { onRuntime(t, c.Function, 1, 0) })
	}
}

// onRuntime holds a function and its gradients on the runtime against the reference.
func onRuntime(t *testing.T, f testkit.Function, threads int, slack float64) {
	t.Helper()
	m, err := f.Graph(true, f.Smooth()...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ref.Run(m, f.Feeds())
	if err != nil {
		t.Fatal(err)
	}
	got := runtimeOutputs(t, m, f, threads)
	largest := func(list ...*ref.Array) float64 {
		top := 1e-3
		for _, a := range list {
			for _, v := range a.Data {
				top = max(top, math.Abs(v))
			}
		}
		return top
	}
	for name, w := range want {
		top := largest(w)
		if name == "loss" { // a sum over all outputs, which may cancel as no gradient does: these are its measure
			top = largest(slices.Collect(maps.Values(want))...)
		}
		g := got[name]
		if !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s is %v, want %v", name, g.Shape, w.Shape)
			continue
		}
		for i, v := range g.Float64s() {
			if d := math.Abs(v - w.Data[i]); !(d <= 2e-5*top+slack) {
				t.Errorf("%s[%d] is %g, want %g", name, i, v, w.Data[i])
				break
			}
		}
	}
}

// runtimeOutputs are what the runtime makes of a function's graph.
func runtimeOutputs(t *testing.T, m *onnx.Model, f testkit.Function, threads int) map[string]*onnx.Tensor {
	t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	native := m.Domains[op.Domain] > 0
	if err := ort.InitNative(); native && err != nil {
		t.Skipf("tier native: %v", err)
	}
	s, err := ort.Open(data, ort.Options{Threads: threads, Native: native})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	feeds := map[string]*onnx.Tensor{}
	for i, in := range m.Inputs {
		feeds[in.Name] = f.Inputs[i]
	}
	got, err := s.Run(feeds)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
