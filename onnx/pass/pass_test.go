package pass_test

import (
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
)

var update = flag.Bool("update", false, "write the texts in testdata anew")

func vector(v ...float32) *onnx.Tensor { return onnx.Of(v, int64(len(v))) }

// images adds an input [1,1,2,2].
func images(b *op.Builder) *onnx.Value { return b.Input("x", onnx.Float, onnx.Dims(1, 1, 2, 2)) }

// conv adds a 1×1 convolution to two channels.
func conv(b *op.Builder, x *onnx.Value, bias *onnx.Value) *onnx.Value {
	return b.Conv(x, b.Param("w", onnx.Of([]float32{2, -3}, 2, 1, 1, 1)), bias, op.Square(1, 1, 0))
}

// norm adds a BatchNormalization of two channels: (x-mean)·scale/2 + bias.
func norm(b *op.Builder, x *onnx.Value) *onnx.Value {
	return b.BatchNorm(x, b.Param("scale", vector(2, 4)), b.Param("bias", vector(1, 1)), b.Param("mean", vector(0.5, -1)), b.Param("var", vector(3, 3)), 1)
}

// cases are graphs before a pass; testdata holds their text before and after.
var cases = []struct {
	pass, name string
	build      func(b *op.Builder)
	tolerance  float64 // of the outputs, to their largest entry
}{
	{"fold-batchnorm", "folds", func(b *op.Builder) { b.Output("y", norm(b, conv(b, images(b), nil))) }, 1e-7},
	{"fold-batchnorm", "with a bias, twice", func(b *op.Builder) {
		y := b.Op("Relu", nil, norm(b, conv(b, images(b), b.Param("b", vector(5, 7)))))
		b.Output("y", b.SiLU(y))
	}, 1e-7},
	{"fold-batchnorm", "keeps the window", func(b *op.Builder) {
		w := op.Window{Kernel: [2]int64{1, 2}, Stride: [2]int64{2, 1}, Dilation: [2]int64{1, 2}, Pads: [4]int64{0, 1, 0, 1}, Groups: 2}
		x := b.Input("x", onnx.Float, onnx.Dims(1, 2, 3, 3))
		b.Output("y", norm(b, b.Conv(x, b.Param("w", onnx.Of([]float32{2, -3, 1, 4}, 2, 1, 1, 2)), nil, w)))
	}, 1e-7},
	{"fold-batchnorm", "not when the Conv is read elsewhere", func(b *op.Builder) {
		y := conv(b, images(b), nil)
		b.Output("y", b.Add(norm(b, y), y))
	}, 0},
	{"fold-batchnorm", "not when the Conv is an output", func(b *op.Builder) {
		y := b.Output("raw", conv(b, images(b), nil))
		b.Output("y", norm(b, y))
	}, 0},
	{"fold-batchnorm", "not when something trains", func(b *op.Builder) {
		y := b.Conv(images(b), b.Input("w", onnx.Float, onnx.Dims(2, 1, 1, 1)), nil, op.Square(1, 1, 0))
		b.Output("y", norm(b, y))
	}, 0},
	{"lower-batchnorm", "by the batch's statistics", func(b *op.Builder) { b.Output("y", training(b, b.Input("x", onnx.Float, onnx.Dims(2, 2, 2, 3)))) }, 1e-12},
	{"lower-batchnorm", "not the inference form", func(b *op.Builder) { b.Output("y", norm(b, conv(b, images(b), nil))) }, 0},
	{"lower-atan", "by arithmetic", func(b *op.Builder) {
		b.Output("y", b.Op("Atan", nil, b.Scale(b.Input("x", onnx.Float, onnx.Dims(64)), 2)))
	}, 1e-7},
	{"lower-maxpool-indices", "by comparisons along columns, then rows", func(b *op.Builder) {
		x := b.Input("x", onnx.Float, onnx.Dims(1, 1, 4, 4))
		p := b.MaxPool(x, op.Square(3, 1, 1))
		p.Node.Outputs = append(p.Node.Outputs, &onnx.Value{Name: "argmax", Type: onnx.Type{DType: onnx.Int64, Shape: p.Type.Shape}, Node: p.Node})
		zeros := b.Op("Expand", nil, b.Float(0), b.Ints(16))
		b.Output("y", b.Op("ScatterElements", op.Attrs{"axis": int64(0), "reduction": "add"}, zeros, b.Reshape(p.Node.Outputs[1], -1), b.Reshape(b.Scale(p, 3), -1)))
	}, 1e-7},
	{"lower-maxpool-indices", "not another scattering, nor another use of the indices", func(b *op.Builder) {
		p := b.Ops("MaxPool", 2, op.Attrs{"kernel_shape": []int64{2, 2}}, b.Input("x", onnx.Float, onnx.Dims(1, 1, 2, 2)))
		zeros := b.Op("Expand", nil, b.Float(0), b.Ints(4))
		b.Output("y", b.Op("ScatterElements", op.Attrs{"axis": int64(0), "reduction": "add"}, zeros, b.Ints(2), b.Reshape(p[0], -1)))
		b.Output("z", p[1])
	}, 0},
	{"lower-sign", "by two comparisons", func(b *op.Builder) { b.Output("y", b.Op("Sign", nil, images(b))) }, 0},
	{"lower-spacetodepth", "by a transposition", func(b *op.Builder) { b.Output("y", b.SpaceToDepth(b.Input("x", onnx.Float, onnx.Dims(2, 3, 4, 6)), 2)) }, 0},
	{"own-scatter-data", "zeros that the graph computes", func(b *op.Builder) {
		zeros := b.Op("Expand", nil, b.Float(0), b.Ints(4))
		b.Output("y", b.Op("ScatterND", op.Attrs{"reduction": "add"}, zeros, b.Reshape(b.Ints(3, 1, 3), 3, 1), b.Input("x", onnx.Float, onnx.Dims(3))))
	}, 0},
	{"own-scatter-data", "not data that are no constant zeros", func(b *op.Builder) {
		ones := b.Op("Expand", nil, b.Float(1), b.Ints(4))
		x := b.Input("x", onnx.Float, onnx.Dims(3))
		b.Output("y", b.Op("ScatterND", nil, ones, b.Reshape(b.Ints(3, 1, 2), 3, 1), x))
		b.Output("z", b.Op("ScatterND", nil, b.Neg(x), b.Reshape(b.Ints(1), 1, 1), b.Const(vector(2))))
	}, 0},
	{"split-reductions", "over pixels, then pictures", func(b *op.Builder) {
		x := b.Input("x", onnx.Float, onnx.Dims(2, 3, 2, 2))
		b.Output("y", b.ReduceSum(x, true, 0, 2, 3))
		b.Output("z", b.ReduceMean(x, true, 0, 2, 3))
	}, 1e-7},
	{"split-reductions", "not other axes, nor without them", func(b *op.Builder) {
		x := b.Input("x", onnx.Float, onnx.Dims(2, 3, 2, 2))
		b.Output("y", b.ReduceSum(x, true, 2, 3))
		b.Output("z", b.ReduceSum(x, false, 0, 2, 3))
		b.Output("all", b.ReduceMean(x, true))
	}, 0},
	{"join-affine", "a number for each channel", func(b *op.Builder) {
		x, y := b.Input("x", onnx.Float, onnx.Dims(2, 3, 2, 2)), b.Input("y", onnx.Float, onnx.Dims(2, 3, 2, 2))
		a, c := b.Input("a", onnx.Float, onnx.Dims(1, 3, 1, 1)), b.Input("c", onnx.Float, onnx.Dims(1, 3, 1, 1))
		b.Output("z", b.Add(b.Add(b.Mul(x, a), y), c))
		b.Output("inverse", b.Op("Reciprocal", nil, b.Sqrt(b.Shift(b.Square(a), 1e-3))))
	}, 1e-6},
	{"join-affine", "not a number for each picture, what others read, or a small divisor", func(b *op.Builder) {
		x, y := b.Input("x", onnx.Float, onnx.Dims(2, 3, 2, 2)), b.Input("y", onnx.Float, onnx.Dims(2, 3, 2, 2))
		a, c := b.Input("a", onnx.Float, onnx.Dims(1, 3, 1, 1)), b.Input("c", onnx.Float, onnx.Dims(2, 1, 1, 1))
		b.Output("z", b.Add(b.Add(b.Mul(x, a), y), c))
		product := b.Mul(y, a)
		b.Output("u", b.Add(b.Add(product, x), a))
		b.Output("v", product)
		b.Output("inverse", b.Op("Reciprocal", nil, b.Sqrt(b.Shift(b.Square(a), 1e-7))))
	}, 0},
	{"fold-constants", "a chain", func(b *op.Builder) {
		y := b.Transpose(b.Reshape(b.Param("w", vector(1, 2, 3, 4, 5, 6)), 2, 3), 1, 0)
		b.Output("y", b.Add(b.Input("x", onnx.Float, onnx.Dims(3, 2)), b.Scale(y, 0.5)))
	}, 0},
	{"fold-constants", "several outputs, integers", func(b *op.Builder) {
		p := b.Split(b.Op("Range", nil, b.Const(onnx.Scalar(int64(0))), b.Const(onnx.Scalar(int64(5))), b.Const(onnx.Scalar(int64(1)))), 0, 2, 3)
		q := b.Split(b.Ints(1, 2, 3, 4, 5), 0, 2, 3)
		b.Output("y", b.Gather(b.Input("x", onnx.Float, onnx.Dims(9)), b.Add(q[0], p[0]), 0))
	}, 0},
	{"fold-constants", "an output", func(b *op.Builder) {
		b.Output("y", b.Scale(b.Param("w", vector(1, 2)), 3))
		b.Output("z", b.Neg(b.Input("x", onnx.Float, onnx.Dims(2))))
	}, 0},
	{"fold-constants", "not Expand", func(b *op.Builder) {
		b.Output("y", b.Add(images(b), b.Op("Expand", nil, b.Float(1), b.Ints(1, 1, 2, 2))))
	}, 0},
	{"merge-equal", "equal chains", func(b *op.Builder) {
		x := images(b)
		b.Output("y", b.Add(b.Neg(b.Sigmoid(x)), b.Neg(b.Sigmoid(x))))
	}, 0},
	{"merge-equal", "not other attributes or inputs", func(b *op.Builder) {
		x := images(b)
		leaky := func(alpha float32) *onnx.Value { return b.Op("LeakyRelu", op.Attrs{"alpha": alpha}, x) }
		b.Output("y", b.Add(b.Sub(leaky(0.1), leaky(0.2)), b.Sub(leaky(0.2), leaky(0.1))))
	}, 0},
	{"merge-equal", "outputs keep their names", func(b *op.Builder) {
		x := images(b)
		b.Output("y", b.Neg(x))
		b.Output("z", b.Neg(x))
		b.Output("w", b.Square(b.Neg(x)))
	}, 0},
	{"merge-equal", "not into a node that omits an output", func(b *op.Builder) {
		x := images(b)
		p := b.Split(x, 3, 1, 1)
		p[0].Node.Outputs[0] = nil
		q := b.Split(x, 3, 1, 1)
		b.Output("y", b.Add(p[1], q[0]))
	}, 0},
	{"drop-unused", "nodes, initializers, not inputs", func(b *op.Builder) {
		x := images(b)
		b.Input("unread", onnx.Float, onnx.Dims(2))
		b.Neg(b.Mul(x, b.Param("w", onnx.Scalar(float32(2)))))
		p := b.Split(x, 3, 1, 1)
		b.Output("y", p[1])
	}, 0},
	{"drop-unused", "omitted inputs and outputs", func(b *op.Builder) {
		x := images(b)
		b.Split(x, 3, 1, 1)[0].Node.Outputs[1] = nil
		b.Output("y", b.Op("Clip", nil, x, nil, b.Float(1)))
	}, 0},
}

// training adds a training-mode BatchNormalization of two channels.
func training(b *op.Builder, x *onnx.Value) *onnx.Value {
	attrs := op.Attrs{"epsilon": float32(1e-3), "training_mode": int64(1)}
	return b.Ops("BatchNormalization", 3, attrs, x, b.Param("scale", vector(2, 4)), b.Param("bias", vector(1, 1)), b.Param("mean", vector(0.5, -1)), b.Param("var", vector(3, 3)))[0]
}

// all are the standard passes and those that only some provider needs.
var all = slices.Concat(pass.For(pass.WebGPU), pass.For(pass.CUDA))

func passNamed(t *testing.T, name string) pass.Pass {
	i := slices.IndexFunc(all, func(p pass.Pass) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("no pass is called %s", name)
	}
	return all[i]
}

func TestPasses(t *testing.T) {
	texts, tested := map[string]string{}, map[string]bool{}
	for _, c := range cases {
		t.Run(c.pass+"/"+c.name, func(t *testing.T) {
			p := passNamed(t, c.pass)
			tested[c.pass] = true
			m := build(t, c.build)
			before := m.String()
			feeds := feeds(m)
			want := run(t, m, feeds)
			apply(t, m, p)
			after := m.String()
			equal(t, run(t, m, feeds), want, c.tolerance)
			if after == before {
				after = "as it was\n"
			}
			texts[c.pass] += "# " + c.name + "\n" + before + "# becomes\n" + after + "\n"
			apply(t, m, pass.Standard...)
			equal(t, run(t, m, feeds), want, c.tolerance)
		})
	}
	for name, text := range texts {
		golden(t, name, text)
	}
	for _, p := range all {
		if !tested[p.Name] {
			t.Errorf("pass %s has no case", p.Name)
		}
	}
}

func TestRunNamesThePass(t *testing.T) {
	broken := pass.Pass{Name: "broken", Run: func(*onnx.Model) error { return errors.New("no") }}
	if err := pass.Run(&onnx.Model{}, pass.Standard[0], broken); err == nil || err.Error() != "pass broken: no" {
		t.Error(err)
	}
}

// TestRunChecks: in tests a pass gets no graph that is not sound, and leaves none.
func TestRunChecks(t *testing.T) {
	m := build(t, func(b *op.Builder) { b.Output("y", b.Mul(b.Param("w", vector(1, 2)), b.Param("v", vector(3, 4)))) })
	breaking := pass.Pass{Name: "breaking", Run: func(m *onnx.Model) error {
		m.Nodes[0].Outputs[0].Type.DType = onnx.Int64
		return nil
	}}
	if err := pass.Run(m, breaking); err == nil || !strings.HasPrefix(err.Error(), `after pass breaking: node "Mul": output "y" is int64[2]`) {
		t.Error(err)
	}
	if err := pass.Run(m, passNamed(t, "drop-unused")); err == nil || !strings.HasPrefix(err.Error(), "before pass drop-unused: ") {
		t.Error(err)
	}
}

// TestFoldingFails: an error of what folding runs names the pass and the node.
func TestFoldingFails(t *testing.T) {
	m := build(t, func(b *op.Builder) { b.Output("y", b.Mul(b.Param("w", vector(1, 2)), b.Param("v", vector(3, 4)))) })
	m.Nodes[0].Inputs[0].Const = vector(1, 2, 3) // unlike its type
	if err := passNamed(t, "fold-constants").Run(m); err == nil || !strings.HasPrefix(err.Error(), "Mul: ") {
		t.Error(err)
	}
}

func build(t *testing.T, f func(b *op.Builder)) *onnx.Model {
	t.Helper()
	b := op.NewBuilder("case")
	f(b)
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	if err := testkit.Sound(b.Model); err != nil {
		t.Fatal(err)
	}
	return b.Model
}

// apply runs passes, which Run holds to leaving sound graphs.
func apply(t *testing.T, m *onnx.Model, passes ...pass.Pass) {
	t.Helper()
	if err := pass.Run(m, passes...); err != nil {
		t.Fatalf("%v\n%s", err, m)
	}
}

func feeds(m *onnx.Model) map[string]*ref.Array {
	random, fed := rand.New(rand.NewPCG(1, 1)), map[string]*ref.Array{}
	for _, in := range m.Inputs {
		sizes, _ := in.Type.Static()
		fed[in.Name] = ref.FromTensor(testkit.Random(random, sizes...))
	}
	return fed
}

func run(t *testing.T, m *onnx.Model, fed map[string]*ref.Array) map[string]*ref.Array {
	t.Helper()
	out, err := ref.Run(m, fed)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, got, want map[string]*ref.Array, tolerance float64) {
	t.Helper()
	for name, w := range want {
		top := 0.0
		for _, v := range w.Data {
			top = max(top, math.Abs(v))
		}
		for i, v := range w.Data {
			if g := got[name]; g == nil || !(math.Abs(g.Data[i]-v) <= tolerance*top) {
				t.Errorf("output %s[%d] was %v, the graph now gives %v", name, i, v, g)
				return
			}
		}
	}
}

// golden holds a text against testdata/<name>.txt.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(text, "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("%s, line %d: %q is no longer what the pass gives; go test -update and read the difference", path, i+1, line)
		}
	}
	if len(got) != strings.Count(string(want), "\n")+1 {
		t.Errorf("%s is shorter than what the pass gives", path)
	}
}
