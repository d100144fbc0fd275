package pass_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
)

// half16 is what rounding to float16 may cost: half a unit in the last of 11 digits, some times over.
const half16 = 1e-3

// exportCases are graphs before a pass of exports; testdata holds their texts.
// All inputs take pictures; bytes are fed where a graph wants them.
var exportCases = []struct {
	pass      pass.Pass
	name      string
	build     func(b *op.Builder)
	tolerance float64
}{
	{pass.NameFolded, "a folded Conv, twice the same", func(b *op.Builder) {
		x := images(b)
		for _, module := range []string{"model.0", "model.1.cv1"} {
			b.In(module+".bn/BatchNormalization", func() {
				x = b.Conv(x, b.Const(onnx.Of([]float32{2}, 1, 1, 1, 1)), b.Const(vector(0)), op.Square(1, 1, 0))
			})
		}
		b.Output("y", b.Neg(x))
	}, 0},
	{pass.NameFolded, "not another Conv", func(b *op.Builder) { b.Output("y", conv(b, images(b), nil)) }, 0},
	{pass.Half, "constants, casts and inputs", func(b *op.Builder) {
		y := b.Cast(b.Op("Greater", nil, images(b), b.Float(0.5)), onnx.Float)
		b.Output("y", b.Add(y, b.Param("w", onnx.Of([]float32{0.1, 3}, 1, 1, 1, 2))))
		b.Output("i", b.Reshape(y, 2, -1))
	}, half16},
	{pass.Half, "not the scales of Resize", func(b *op.Builder) { b.Output("y", b.Upsample2(images(b))) }, half16},
	{pass.Restate(20), "nothing is written otherwise", splitAndResize, 0},
	{pass.Restate(13), "HardSwish", hardSwish, 1e-7},
	{pass.Restate(14), "HardSwish is there", hardSwish, 0},
	{pass.Restate(12), "Split and Resize", splitAndResize, 0},
	{pass.TakePixels, "pictures in 0…1", func(b *op.Builder) {
		x := b.Input("images", onnx.Float, onnx.Dims(2, 3, 2, 4))
		b.Output("y", b.Neg(x))
		b.Output("z", b.Square(x))
	}, 1e-7},
	{pass.TakePixels, "of any size, in float16", func(b *op.Builder) {
		b.Output("y", b.Neg(b.Input("images", onnx.Float16, pass.AnyPictures())))
	}, half16},
	{pass.Evaluate([]string{"raw", "other"}), "an export", func(b *op.Builder) {
		x := b.Input("images", onnx.Float, onnx.Dims(1, 3, 2, 2))
		raw := b.Output("raw", b.Square(x))
		b.Output("head0", b.Neg(raw)) // a name that is wanted
		b.Output("other", b.Sigmoid(x))
	}, 1e-7},
	{pass.Evaluate([]string{"raw"}), "in float16", func(b *op.Builder) {
		b.Output("raw", b.Square(b.Input("images", onnx.Float16, onnx.Dims(1, 3, 2, 2))))
	}, half16},
	{pass.Evaluate([]string{"raw"}), "of bytes", func(b *op.Builder) {
		x := b.Input("images", onnx.Uint8, onnx.Dims(1, 2, 2, 3))
		b.Output("raw", b.Cast(b.Transpose(x, 0, 3, 1, 2), onnx.Float))
	}, 0},
}

func splitAndResize(b *op.Builder) {
	p := b.Split(images(b), 3, 1, 1)
	b.Output("y", b.Upsample2(p[0]))
	b.Output("z", b.Neg(p[1]))
}

func hardSwish(b *op.Builder) { b.Output("y", b.Op("HardSwish", nil, images(b))) }

func TestExportPasses(t *testing.T) {
	texts := map[string]string{}
	for _, c := range exportCases {
		t.Run(c.pass.Name+"/"+c.name, func(t *testing.T) {
			m := build(t, c.build)
			before := m.String()
			want := run(t, m, pictures(t, m))
			apply(t, m, c.pass)
			after := m.String()
			got := run(t, m, pictures(t, m))
			if c.pass.Name == "evaluate" {
				want["head0"] = want["raw"]
				delete(want, "raw")
				if other, ok := want["other"]; ok {
					want["head1"] = other
					delete(want, "other")
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d outputs, want %d", len(got), len(want))
			}
			equal(t, got, want, c.tolerance)
			if after == before {
				after = "as it was\n"
			}
			texts[c.pass.Name] += "# " + c.name + "\n" + before + "# becomes\n" + after + "\n"
		})
	}
	for name, text := range texts {
		golden(t, name, text)
	}
}

// pictures feeds a graph's one input: the same ones whether it takes planes or
// rows of pixels, bytes or 0…1.
func pictures(t *testing.T, m *onnx.Model) map[string]*ref.Array {
	t.Helper()
	in := m.Inputs[0]
	shape := make([]int64, 4)
	for i, d := range in.Type.Shape {
		if shape[i] = d.Size; !d.Known() {
			shape[i] = 2
		}
	}
	last := in.Type.DType == onnx.Uint8 && shape[3] == 3
	if in.Type.Shape[0].Name != "" {
		shape[0] = 1
	}
	n, channels, area := shape[0], shape[1], shape[2]*shape[3]
	if last {
		channels, area = shape[3], shape[1]*shape[2]
	}
	random := rand.New(rand.NewPCG(1, 1))
	fed := &ref.Array{Shape: shape, Data: make([]float64, n*channels*area)}
	for i := range fed.Data {
		at := int64(i) // as planes
		if last {
			picture, rest := at/(channels*area), at%(channels*area)
			at = (picture*area+rest%area)*channels + rest/area
		}
		if fed.Data[at] = float64(random.IntN(256)); in.Type.DType != onnx.Uint8 {
			fed.Data[at] /= 255
		}
	}
	return map[string]*ref.Array{in.Name: fed}
}

func TestHalfRefuses(t *testing.T) {
	b := op.NewBuilder("case")
	b.Output("y", b.Mul(images(b), b.Param("w", vector(1, -65536))))
	if err := pass.Run(b.Model, pass.Half); err == nil || err.Error() != "pass half: w holds -65536 at 1, float16 ends at ±65504" {
		t.Error(err)
	}
	if h, err := pass.HalfTensor("w", vector(65504, float32(math.NaN()))); err != nil || h.Float32s()[0] != 65504 {
		t.Error(err)
	}
}

func TestRestateRefuses(t *testing.T) {
	for opset, want := range map[int64]string{
		10: "pass restate: opset 10: want 11 to 20", 21: "pass restate: opset 21: want 11 to 20",
		11: `pass restate: opset 11 has no GreaterOrEqual, which node "GreaterOrEqual" is`,
	} {
		m := build(t, func(b *op.Builder) { b.Output("y", b.Op("GreaterOrEqual", nil, images(b), b.Float(0))) })
		if err := pass.Run(m, pass.Restate(opset)); err == nil || err.Error() != want {
			t.Errorf("opset %d: %v, want %s", opset, err, want)
		}
	}
}

func TestEvaluateRefuses(t *testing.T) {
	for want, f := range map[string]func(b *op.Builder){
		`"raw", a raw output, is nowhere`: func(b *op.Builder) { b.Output("y", b.Neg(images(b))) },
		"want one input, pictures":        func(b *op.Builder) { b.Output("raw", b.Neg(b.Input("x", onnx.Float, onnx.Dims(3)))) },
	} {
		if err := pass.Run(build(t, f), pass.Evaluate([]string{"raw"})); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
