package op_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
)

func layerOf(k, stride, pad, groups int64, activation string) op.Layer {
	w := op.Square(k, stride, pad)
	w.Groups = groups
	return op.Layer{Window: w, Epsilon: 1e-3, Activation: activation, Alpha: 0.1}
}

func normLayer(name string, l op.Layer, in []*onnx.Tensor) gradientCase {
	return graphOf("ConvBatchNorm "+name, in, func(b *op.Builder, x values) values {
		y, _, _ := b.ConvBatchNorm(x[0], x[1], x[2], x[3], l)
		return values{y}
	})
}

func plainLayer(name string, l op.Layer, in []*onnx.Tensor) gradientCase {
	return graphOf("ConvAct "+name, in, func(b *op.Builder, x values) values {
		return values{b.ConvAct(x[0], x[1], append(x, nil)[2], l)}
	})
}

// compositeCases have sizes that no block of channels, no register and no number of threads divides.
var compositeCases = []gradientCase{
	normLayer("3×3 SiLU", layerOf(3, 1, 1, 1, "SiLU"), inputs(normal(3, 5, 4, 3), normal(5, 3, 3, 3), normal(5), normal(5))),
	normLayer("3×3 stride 2 SiLU", layerOf(3, 2, 1, 1, "SiLU"), inputs(normal(2, 6, 7, 2), normal(4, 2, 3, 3), normal(4), normal(4))),
	normLayer("6×6 stride 2", layerOf(6, 2, 2, 1, ""), inputs(normal(2, 8, 10, 3), normal(2, 3, 6, 6), normal(2), normal(2))),
	normLayer("1×1 HardSwish", layerOf(1, 1, 0, 1, "HardSwish"), inputs(normal(3, 3, 4, 6), normal(3, 6, 1, 1), normal(3), normal(3))),
	normLayer("depthwise SiLU", layerOf(3, 1, 1, 4, "SiLU"), inputs(normal(2, 4, 5, 4), normal(4, 1, 3, 3), normal(4), normal(4))),
	normLayer("in 2 groups SiLU", layerOf(3, 1, 1, 2, "SiLU"), inputs(normal(2, 4, 3, 4), normal(6, 2, 3, 3), normal(6), normal(6))),
	normLayer("1×1 Relu", layerOf(1, 1, 0, 1, "Relu"), inputs(normal(2, 2, 3, 2), normal(2, 2, 1, 1), normal(2), normal(2))),
	normLayer("1×1 LeakyRelu", layerOf(1, 1, 0, 1, "LeakyRelu"), inputs(normal(2, 2, 3, 2), normal(2, 2, 1, 1), normal(2), normal(2))),
	normLayer("3×3 to 16 SiLU", layerOf(3, 1, 1, 1, "SiLU"), inputs(normal(3, 5, 4, 8), normal(16, 8, 3, 3), normal(16), normal(16))),
	normLayer("3×3 stride 2 to 32", layerOf(3, 2, 1, 1, ""), inputs(normal(3, 5, 7, 9), normal(32, 9, 3, 3), normal(32), normal(32))),
	plainLayer("3×3 stride 2 to 80 SiLU", layerOf(3, 2, 1, 1, "SiLU"), inputs(normal(2, 7, 6, 10), normal(80, 10, 3, 3), normal(80))),
	plainLayer("1×1 bias", layerOf(1, 1, 0, 1, ""), inputs(normal(2, 4, 5, 3), normal(7, 3, 1, 1), normal(7))),
	plainLayer("3×3 stride 2", layerOf(3, 2, 1, 1, ""), inputs(normal(2, 5, 6, 2), normal(3, 2, 3, 3))),
	plainLayer("3×3 bias SiLU", layerOf(3, 1, 1, 1, "SiLU"), inputs(normal(3, 4, 3, 2), normal(5, 2, 3, 3), normal(5))),
	plainLayer("1×1 bias HardSwish", layerOf(1, 1, 0, 1, "HardSwish"), inputs(normal(1, 3, 3, 2), normal(2, 2, 1, 1), normal(2))),
	plainLayer("1×1 bias Relu", layerOf(1, 1, 0, 1, "Relu"), inputs(between(0, 1, 2, 3, 3, 2), between(0, 1, 2, 2, 1, 1), between(1, 2, 2))),
	graphOf("LargestOf 5×5", inputs(normal(3, 4, 6, 5)), func(b *op.Builder, x values) values { return values{b.LargestOf(x[0], op.Square(5, 1, 2))} }),
	graphOf("LargestOf 3×3 stride 2", inputs(normal(2, 5, 6, 9)), func(b *op.Builder, x values) values { return values{b.LargestOf(x[0], op.Square(3, 2, 1))} }),
	graphOf("LargestOf chained", inputs(normal(1, 5, 6, 2)), func(b *op.Builder, x values) values { // among equals, as YOLOv5's SPPF does
		y := b.LargestOf(x[0], op.Square(3, 1, 1))
		return values{b.Concat(3, x[0], y, b.LargestOf(y, op.Square(3, 1, 1)))}
	}),
	graphOf("Doubled", inputs(normal(3, 2, 3, 5)), apply("Doubled", nil)),
	plainLayer("1×1 bias LeakyRelu", layerOf(1, 1, 0, 1, "LeakyRelu"), inputs(between(0, 1, 2, 3, 3, 2), between(-1, 0, 2, 2, 1, 1), between(-2, -1, 2))),
}

// TestCompositeThreads: with several threads, more than pictures too, kernels answer the same.
func TestCompositeThreads(t *testing.T) {
	if err := ort.InitNative(); err != nil {
		t.Skipf("tier native: %v", err)
	}
	for _, threads := range []int{2, 3, 5} {
		for _, c := range compositeCases {
			t.Run(fmt.Sprintf("%s, %d threads", c.name, threads), func(t *testing.T) { onRuntime(t, c.Function, threads, 0) })
		}
		wide := testkit.Function{Inputs: inputs(normal(4, 12, 11, 20), normal(200, 20, 3, 3), normal(200), normal(200)),
			Build: compositeCases[0].Build}
		t.Run(fmt.Sprintf("wide, %d threads", threads), func(t *testing.T) { onRuntime(t, wide, threads, 0) })
	}
}

// TestCompositeFarMean: where the mean is a thousand deviations from zero, neither the
// statistics nor the gradients cancel. The kernel passes a picture on as it is. What may
// be lost is the mean's own rounding, half a unit in the last place of 100 in deviations
// of 0.1, for each of 1,024 gradients, of size 0.9 on average; with a variance of
// E[x²]-E[x]² it would be five times as much.
func TestCompositeFarMean(t *testing.T) {
	if err := ort.InitNative(); err != nil {
		t.Skipf("tier native: %v", err)
	}
	x := normal(4, 16, 16, 1)
	for i, v := range onnx.Data[float32](x) {
		onnx.Data[float32](x)[i] = 100 + 0.1*v
	}
	f := testkit.Function{Inputs: inputs(x, onnx.Of([]float32{1}, 1, 1, 1, 1), normal(1), normal(1)), Fixed: []int{0, 1},
		Build: func(b *op.Builder, x values) values {
			y, _, _ := b.ConvBatchNorm(x[0], x[1], x[2], x[3], layerOf(1, 1, 0, 1, "SiLU"))
			return values{y}
		}}
	if err := f.CheckGradients(); err != nil {
		t.Fatal(err)
	}
	onRuntime(t, f, 2, 0x1p-18/0.1*1024*0.9)
}

// TestCompositeNotANumber: what comes of a picture with a NaN is one, so that a run that
// diverges is seen to.
func TestCompositeNotANumber(t *testing.T) {
	for _, c := range []gradientCase{compositeCases[0], compositeCases[13]} { // both with SiLU
		f := c.Function
		f.Inputs = append(inputs(normal(f.Inputs[0].Shape...)), f.Inputs[1:]...)
		onnx.Data[float32](f.Inputs[0])[7] = float32(math.NaN())
		m, err := f.Graph(true)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range runtimeOutputs(t, m, f, 1) {
			if !slices.ContainsFunc(v.Float64s(), math.IsNaN) {
				t.Errorf("%s: %s has no NaN", c.name, name)
			}
		}
	}
}
