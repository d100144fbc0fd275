package pass_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/wire"
)

// onRuntime runs a model in float32.
func onRuntime(t *testing.T, m *onnx.Model, feeds map[string]*onnx.Tensor) map[string]*onnx.Tensor {
	t.Helper()
	if err := ort.Init(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.Open(data, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(feeds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAtanInFloat32: the arithmetic for Atan keeps float32's accuracy from ±1e-6
// to ±1e6, where its two reductions meet, and at the ends.
func TestAtanInFloat32(t *testing.T) {
	x := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38, -3e38, 1e-30}
	for e := -6.0; e <= 6; e += 0.0005 {
		x = append(x, float32(math.Pow(10, e)), float32(-math.Pow(10, e)))
	}
	for _, edge := range []float32{0.41421357, 1, 2.4142137} {
		for low, high := edge, edge; edge-low < 1e-3*edge; low, high = math.Nextafter32(low, 0), math.Nextafter32(high, 9) {
			x = append(x, low, high)
			low, high = low-1e-6*edge, high+1e-6*edge
		}
	}
	m := build(t, func(b *op.Builder) {
		b.Output("y", b.Op("Atan", nil, b.Input("x", onnx.Float, onnx.Dims(int64(len(x))))))
	})
	apply(t, m, pass.Standard...)
	for _, n := range m.Nodes {
		if n.Op == "Atan" {
			t.Fatal("Atan is still there")
		}
	}
	got := onnx.Data[float32](onRuntime(t, m, map[string]*onnx.Tensor{"x": vector(x...)})["y"])
	worst, at := 0.0, float32(0)
	for i, v := range x {
		want := math.Atan(float64(v))
		if d := math.Abs(float64(got[i])-want) / max(math.Abs(want), 1e-37); d > worst || math.IsNaN(d) {
			worst, at = d, v
		}
	}
	if !(worst < 3e-7) {
		t.Errorf("relative error %.3g at %g", worst, at)
	}
	t.Logf("%d values, worst relative error %.3g at %g", len(x), worst, at)
}

// TestBatchStatisticsInFloat32: where the mean is a thousand deviations,
// E[x²]-E[x]² would leave nothing of the variance.
func TestBatchStatisticsInFloat32(t *testing.T) {
	const mean, deviation = 100, 0.1
	random := rand.New(rand.NewPCG(5, 5))
	data := make([]float32, 4*2*40*40)
	var sum, squares [2]float64
	for i := range data {
		data[i] = float32(mean + deviation*random.NormFloat64())
		c := i / 1600 % 2
		sum[c] += float64(data[i])
	}
	for i, v := range data {
		c := i / 1600 % 2
		squares[c] += math.Pow(float64(v)-sum[c]/6400, 2)
	}
	m := build(t, func(b *op.Builder) {
		x := b.Input("x", onnx.Float, onnx.Dims(4, 2, 40, 40))
		_, variance, _ := b.BatchStatistics(x)
		b.Output("variance", variance)
		b.Output("y", training(b, x))
	})
	apply(t, m, pass.Standard...)
	out := onRuntime(t, m, map[string]*onnx.Tensor{"x": onnx.Of(data, 4, 2, 40, 40)})
	for c, got := range onnx.Data[float32](out["variance"]) {
		if want := squares[c] / 6400; math.Abs(float64(got)/want-1) > 1e-3 {
			t.Errorf("variance of channel %d is %g, want %g", c, got, want)
		}
	}
	scale, worst := [2]float64{2, 4}, 0.0
	for i, got := range onnx.Data[float32](out["y"]) {
		c := i / 1600 % 2
		want := (float64(data[i])-sum[c]/6400)/math.Sqrt(squares[c]/6400+1e-3)*scale[c] + 1
		worst = max(worst, math.Abs(float64(got)-want))
	}
	if !(worst < 1e-3) {
		t.Errorf("normalised values are off by up to %g", worst)
	}
	t.Logf("normalised values are off by up to %.3g", worst)
}

// TestFoldBatchNormExactly: folded weights are the products, rounded once.
func TestFoldBatchNormExactly(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	draw := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(math.Exp(2 * random.NormFloat64()))
		}
		return v
	}
	weight, scale, bias, mean, variance := draw(3*2*9), draw(3), draw(3), draw(3), draw(3)
	m := build(t, func(b *op.Builder) {
		y := b.Conv(b.Input("x", onnx.Float, onnx.Dims(1, 2, 4, 4)), b.Param("w", onnx.Of(weight, 3, 2, 3, 3)), nil, op.Square(3, 1, 1))
		b.Output("y", b.BatchNorm(y, b.Param("scale", vector(scale...)), b.Param("bias", vector(bias...)), b.Param("mean", vector(mean...)), b.Param("var", vector(variance...)), 1e-3))
	})
	apply(t, m, pass.Standard...)
	if len(m.Nodes) != 1 || m.Nodes[0].Op != "Conv" || len(m.Initializers) != 2 {
		t.Fatalf("not one Conv:\n%s", m)
	}
	kernel, shift := m.Nodes[0].Inputs[1].Const.Float64s(), m.Nodes[0].Inputs[2].Const.Float64s()
	for c := range 3 {
		f := float64(scale[c]) / math.Sqrt(float64(variance[c])+float64(float32(1e-3)))
		if want := float64(float32(float64(bias[c]) - float64(mean[c])*f)); !within(shift[c], want) {
			t.Errorf("shift %d is %v, want %v", c, shift[c], want)
		}
		for i := c * 18; i < (c+1)*18; i++ {
			if want := float64(float32(float64(weight[i]) * f)); !within(kernel[i], want) {
				t.Errorf("weight %d is %v, want %v", i, kernel[i], want)
			}
		}
	}
}

// within allows for a product that lies between two float32 numbers.
func within(got, want float64) bool { return math.Abs(got-want) <= math.Abs(want)/(1<<23) }
