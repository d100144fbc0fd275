package grad_test

import (
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
)

type values = []*onnx.Value

func vector(v ...float32) *onnx.Tensor { return onnx.Of(v, int64(len(v))) }

// differentiate builds the sum of what build makes of parameters
// of given values and its gradients "d0" …, and evaluates them.
func differentiate(t *testing.T, params []*onnx.Tensor, build func(b *op.Builder, x values) (y *onnx.Value, detached values)) ([]*ref.Array, error) {
	t.Helper()
	b := op.NewBuilder("test")
	x, feeds := make(values, len(params)), map[string]*ref.Array{}
	for i, p := range params {
		name := "p" + string(rune('0'+i))
		x[i], feeds[name] = b.Input(name, p.DType, onnx.Dims(p.Shape...)), ref.FromTensor(p)
	}
	y, detached := build(b, x)
	grads, err := grad.Build(b, b.ReduceSum(y, false), x, detached)
	if err != nil {
		return nil, err
	}
	for i, g := range grads {
		if !g.Type.Equal(x[i].Type) {
			t.Errorf("gradient %d is %v, its parameter %v", i, g.Type, x[i].Type)
		}
		b.Output("d"+string(rune('0'+i)), g)
	}
	if err := testkit.Sound(b.Model); err != nil {
		t.Fatal(err)
	}
	out, err := ref.Run(b.Model, feeds)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]*ref.Array, len(params))
	for i := range list {
		list[i] = out["d"+string(rune('0'+i))]
	}
	return list, nil
}

// TestDetached: what is detached counts as a constant, wherever it is read.
func TestDetached(t *testing.T) {
	x := vector(-1, 0.5, 2)
	sigma := []float64{0.2689414213699951, 0.6224593312018546, 0.8807970779778823}
	for _, c := range []struct {
		name  string
		build func(b *op.Builder, x values) (*onnx.Value, values)
		want  []float64
	}{
		{"a factor", func(b *op.Builder, x values) (*onnx.Value, values) {
			f := b.Square(x[0])
			return b.Mul(x[0], f), values{f}
		}, []float64{1, 0.25, 4}},
		{"and what follows it", func(b *op.Builder, x values) (*onnx.Value, values) {
			f := b.Square(x[0])
			return b.Mul(x[0], b.Scale(f, 3)), values{f}
		}, []float64{3, 0.75, 12}},
		{"the gate of SiLU", func(b *op.Builder, x values) (*onnx.Value, values) {
			gate := b.Sigmoid(x[0])
			return b.Mul(x[0], gate), values{gate}
		}, sigma},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := differentiate(t, []*onnx.Tensor{x}, c.build)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range c.want {
				if d := got[0].Data[i] - w; d > 1e-12 || d < -1e-12 {
					t.Errorf("entry %d is %v, want %v", i, got[0].Data[i], w)
				}
			}
		})
	}
}

// TestIntegersPassNothing: rounding to an integer and back is flat.
func TestIntegersPassNothing(t *testing.T) {
	got, err := differentiate(t, []*onnx.Tensor{vector(1.5, 2.5)}, func(b *op.Builder, x values) (*onnx.Value, values) {
		rounded := b.Cast(b.Cast(x[0], onnx.Int64), onnx.Float)
		return b.Mul(b.Scale(x[0], 0.5), rounded), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{0.5, 1}; !slices.Equal(got[0].Data, want) {
		t.Errorf("gradient %v, want %v", got[0].Data, want)
	}
}

// TestSmallGradients: a gradient that the rules left as one number reaches its parameter in full.
func TestSmallGradients(t *testing.T) {
	for name, build := range map[string]func(b *op.Builder, x values) (*onnx.Value, values){
		"at once": func(b *op.Builder, x values) (*onnx.Value, values) { return x[0], nil },
		"by a mean": func(b *op.Builder, x values) (*onnx.Value, values) {
			return b.Scale(b.ReduceMean(x[0], true, 0, 1), 8), nil
		},
		"by columns": func(b *op.Builder, x values) (*onnx.Value, values) { return b.ReduceSum(x[0], false, 0), nil },
		"two ways": func(b *op.Builder, x values) (*onnx.Value, values) {
			return b.Add(b.Scale(x[0], 3), b.Scale(b.ReduceSum(x[0], true, 0), -1)), nil
		},
	} {
		got, err := differentiate(t, []*onnx.Tensor{onnx.Of([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 2, 4)}, build)
		if err != nil {
			t.Fatal(err)
		}
		if want := slices.Repeat([]float64{1}, 8); !slices.Equal(got[0].Data, want) {
			t.Errorf("%s: %v, want %v", name, got[0].Data, want)
		}
	}
}

// stack is three convolutions, each of its own kernel.
func stack(b *op.Builder, kernels values) *onnx.Value {
	y := b.Input("images", onnx.Float, onnx.Dims(1, 2, 4, 4))
	for i, k := range kernels {
		b.In("model."+string(rune('0'+i)), func() { y = b.SiLU(b.Conv(y, k, nil, op.Square(3, 1, 1))) })
	}
	return b.ReduceSum(y, false)
}

// TestNothingForConstants: backward nodes stand only where they lead to a parameter.
func TestNothingForConstants(t *testing.T) {
	for trained, wantConvs := range []int{2, 1, 0} { // convolutions that carry the gradient back
		b := op.NewBuilder("test")
		kernels := make(values, 3)
		for i := range kernels {
			name := "w" + string(rune('0'+i))
			if i == trained {
				kernels[i] = b.Input(name, onnx.Float, onnx.Dims(2, 2, 3, 3))
			} else {
				kernels[i] = b.Param(name, onnx.NewTensor(onnx.Float, 2, 2, 3, 3))
			}
		}
		loss := stack(b, kernels)
		forward := len(b.Model.Nodes)
		if _, err := grad.Build(b, loss, values{kernels[trained]}, nil); err != nil {
			t.Fatal(err)
		}
		convs := 0
		for _, n := range b.Model.Nodes[forward:] {
			layer, ok := strings.CutPrefix(n.Name, "grad/model.")
			switch {
			case !strings.HasPrefix(n.Name, "grad/"):
				t.Errorf("backward node %s does not say so", n.Name)
			case ok && int(layer[0]-'0') < trained:
				t.Errorf("kernel %d trains, yet there is %s", trained, n.Name)
			case n.Op == "Conv":
				convs++
			}
			if strings.HasSuffix(n.Outputs[0].Name, "/dW") && !strings.HasPrefix(n.Name, "grad/model."+string(rune('0'+trained))) {
				t.Errorf("kernel %d trains, yet there is %s", trained, n.Outputs[0].Name)
			}
		}
		if convs != wantConvs {
			t.Errorf("kernel %d trains: %d convolutions backwards, want %d", trained, convs, wantConvs)
		}
	}
}

// refusals are graphs that have no gradient here, and why not.
var refusals = []struct {
	name  string // an operator first
	in    []*onnx.Tensor
	build func(b *op.Builder, x values) *onnx.Value
	want  string
}{
	{"ConvTranspose", tensors(1, 2, 3, 3), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("ConvTranspose", nil, x[0], b.Const(onnx.NewTensor(onnx.Float, 2, 1, 2, 2)))
	}, "only gradients are transposed convolutions"},
	{"AveragePool", tensors(1, 2, 4, 4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("AveragePool", op.Attrs{"kernel_shape": []int64{2, 2}}, x[0])
	}, "only the gradient of Resize averages"},
	{"ScatterND", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("ScatterND", nil, x[0], b.Const(onnx.Of([]int64{1}, 1, 1)), b.Const(vector(1)))
	}, "scattered"},
	{"ScatterElements", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("ScatterElements", nil, x[0], b.Ints(1), b.Const(vector(1)))
	}, "scattered"},
	{"ReduceSumSquare", tensors(4), func(b *op.Builder, x values) *onnx.Value { return b.Op("ReduceSumSquare", nil, x[0]) }, "norms"},
	{"ReduceMax", tensors(4), func(b *op.Builder, x values) *onnx.Value { return b.Op("ReduceMax", nil, x[0]) }, "maximum"},
	{"CumSum", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("CumSum", nil, x[0], b.Const(onnx.Scalar(int64(0))))
	}, "constants only"},
	{"Pow of a power", tensors(4), func(b *op.Builder, x values) *onnx.Value { return b.Op("Pow", nil, b.Float(2), x[0]) }, "exponent"},
	{"Clip by a bound", tensors(), func(b *op.Builder, x values) *onnx.Value { return b.Op("Clip", nil, b.Const(vector(1, 2)), x[0]) }, "bounds of Clip"},
	{"BatchNormalization by a mean", tensors(2), func(b *op.Builder, x values) *onnx.Value {
		one := b.Const(vector(1, 1))
		return b.BatchNorm(b.Const(onnx.NewTensor(onnx.Float, 1, 2, 3, 3)), one, one, x[0], one, 1e-3)
	}, "mean and variance"},
	{"Slice by steps", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("Slice", nil, x[0], b.Ints(0), b.Ints(4), b.Ints(0), b.Ints(2))
	}, "step 1, not 2"},
	{"Pad by reflection", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("Pad", op.Attrs{"mode": "reflect"}, x[0], b.Ints(1, 1))
	}, "mode constant, not reflect"},
	{"Gather along axis 1", tensors(2, 3), func(b *op.Builder, x values) *onnx.Value { return b.Gather(x[0], b.Ints(0), 1) }, "along axis 0"},
	{"Resize, linear", tensors(1, 1, 2, 2), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("Resize", op.Attrs{"mode": "linear"}, x[0], nil, b.Const(vector(1, 1, 2, 2)))
	}, "nearest ×2 only"},
	{"DepthToSpace, CRD", tensors(1, 4, 1, 1), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("DepthToSpace", op.Attrs{"blocksize": int64(2), "mode": "CRD"}, x[0])
	}, "mode DCR, not CRD"},
	{"Conv, dilated", tensors(1, 1, 2, 2), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("Conv", op.Attrs{"dilations": []int64{2, 2}}, b.Const(onnx.NewTensor(onnx.Float, 1, 1, 5, 5)), x[0])
	}, "dilations [2 2]"},
	{"Conv by steps of 3", tensors(2, 2, 3, 3), func(b *op.Builder, x values) *onnx.Value {
		return b.Conv(b.Const(onnx.NewTensor(onnx.Float, 1, 2, 9, 9)), x[0], nil, op.Square(3, 3, 0))
	}, "strides [3 3] is not built"},
	{"TopK", tensors(4), func(b *op.Builder, x values) *onnx.Value { best, _ := b.TopK(x[0], 2, 0); return best }, "in exported models only"},
	{"GatherND", tensors(4), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("GatherND", nil, x[0], b.Const(onnx.Of([]int64{1}, 1, 1)))
	}, "in exported models only"},
	{"GatherElements", tensors(4), func(b *op.Builder, x values) *onnx.Value { return b.Op("GatherElements", nil, x[0], b.Ints(1, 1)) }, "in exported models only"},
	{"DequantizeLinear by a scale", tensors(), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("DequantizeLinear", nil, b.Const(onnx.Of([]int8{1, 2}, 2)), x[0])
	}, "in exported models only"},
	{"ConvBatchNormGrad", tensors(1, 2, 2, 1), func(b *op.Builder, x values) *onnx.Value {
		w, c := b.Const(onnx.NewTensor(onnx.Float, 1, 1, 1, 1)), b.Const(onnx.NewTensor(onnx.Float, 1))
		return b.Op("ConvBatchNormGrad", nil, x[0], x[0], w, c, c, x[0], c, c)
	}, "is itself a gradient"},
	{"ConvActGrad", tensors(1, 2, 2, 1), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("ConvActGrad", nil, x[0], x[0], b.Const(onnx.NewTensor(onnx.Float, 1, 1, 1, 1)))
	}, "is itself a gradient"},
	{"LargestOfGrad", tensors(1, 2, 2, 1), func(b *op.Builder, x values) *onnx.Value {
		return b.Op("LargestOfGrad", op.Attrs{"kernel_shape": []int64{1, 1}}, x[0], x[0])
	}, "is itself a gradient"},
	{"DoubledGrad", tensors(1, 2, 2, 1), func(b *op.Builder, x values) *onnx.Value { return b.Op("DoubledGrad", nil, x[0]) }, "is itself a gradient"},
	{"Floor: nothing arrives", tensors(2), func(b *op.Builder, x values) *onnx.Value { return b.Op("Floor", nil, x[0]) }, "grad/p0: the loss does not depend on it"},
}

// tensors is one tensor of zeros.
func tensors(sizes ...int64) []*onnx.Tensor {
	return []*onnx.Tensor{onnx.NewTensor(onnx.Float, sizes...)}
}

func TestRefuses(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range refusals {
		tested[strings.Fields(c.name)[0]] = true
		t.Run(c.name, func(t *testing.T) {
			_, err := differentiate(t, c.in, func(b *op.Builder, x values) (*onnx.Value, values) { return c.build(b, x), nil })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	for _, name := range op.Names() {
		if o, _ := op.Lookup(name); o.Grad.Reason != "" && !tested[name] {
			t.Errorf("no case shows that %s is refused", name)
		}
	}
}

func TestNotAScalar(t *testing.T) {
	b := op.NewBuilder("test")
	x := b.Input("x", onnx.Float, onnx.Dims(2))
	if _, err := grad.Build(b, b.Neg(x), values{x}, nil); err == nil || !strings.Contains(err.Error(), `"Neg": float32[2] is not a scalar`) {
		t.Error(err)
	}
}
