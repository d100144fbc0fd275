package pass_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
)

// twoConvs is images to Conv, SiLU, MaxPool, Conv and, behind it, Sigmoid.
func twoConvs(t *testing.T) *onnx.Model {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	kernel := func(shape ...int64) *onnx.Tensor {
		w := onnx.NewTensor(onnx.Float, shape...)
		for i := range onnx.Data[float32](w) {
			onnx.Data[float32](w)[i] = random.Float32() - 0.5
		}
		return w
	}
	b := op.NewBuilder("two convolutions")
	first, second := kernel(4, 3, 3, 3), kernel(2, 4, 1, 1)
	for i := range 27 { // a channel that is all but dead: its bias is not to overflow
		onnx.Data[float32](first)[i] *= 1e-12
	}
	x := b.Input("images", onnx.Float, onnx.Dims(1, 3, 6, 6))
	y := b.SiLU(b.Conv(x, b.Param("w1", first), b.Param("b1", vector(3, 0, -1, 0.5)), op.Square(3, 1, 1)))
	y = b.Conv(b.MaxPool(y, op.Square(3, 1, 1)), b.Param("w2", second), b.Param("b2", vector(0.25, 0)), op.Square(1, 1, 0))
	b.Output("raw", y)
	b.Output("y", b.Sigmoid(y))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return b.Model
}

func answer(t *testing.T, m *onnx.Model) *ref.Array {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	x := &ref.Array{Shape: []int64{1, 3, 6, 6}, Data: make([]float64, 108)}
	for i := range x.Data {
		x.Data[i] = random.Float64()
	}
	out, err := ref.Run(m, map[string]*ref.Array{"images": x})
	if err != nil {
		t.Fatal(err)
	}
	return out["y"]
}

func TestQuantise(t *testing.T) {
	want := answer(t, twoConvs(t))
	m := twoConvs(t)
	ranges, names := map[string]pass.Range{}, []string{}
	for _, v := range pass.Activations(m) {
		ranges[v.Name] = pass.Range{Low: -3, High: 4}
		names = append(names, v.Name)
	}
	if len(names) != 5 || names[0] != "images" || slices.Contains(names, "raw") {
		t.Errorf("activations: %q, want the pictures and the outputs of Conv, Sigmoid, Mul and MaxPool", names)
	}
	if err := pass.Quantise(m, ranges); err != nil {
		t.Fatal(err)
	}
	if err := op.Check(m); err != nil {
		t.Error(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	near := func(what string, m *onnx.Model, tolerance float64) {
		t.Helper()
		for i, v := range answer(t, m).Data {
			if math.Abs(v-want.Data[i]) > tolerance {
				t.Errorf("%s: element %d is %g, in float %g", what, i, v, want.Data[i])
			}
		}
	}
	near("on integers", m, 0.02)
	var pool *onnx.Node
	for _, n := range m.Nodes {
		if n.Op == "MaxPool" {
			pool = n
		}
		if n.Op != "Conv" {
			continue
		}
		w := n.Inputs[1].Node
		if w == nil || w.Op != "DequantizeLinear" || w.Inputs[0].Const.DType != onnx.Int8 || w.Inputs[1].Const.Len() != int(w.Inputs[0].Const.Shape[0]) {
			t.Errorf("node %q: its kernel is not int8 with a scale for each channel", n.Name)
		}
	}
	if scale := m.Initializer("w1_scale").Const.Float32s()[0]; 3/(float64(scale)*7/255) > math.MaxInt32 {
		t.Errorf("the scale %g lets the bias 3 overflow", scale)
	}
	behind := slices.IndexFunc(m.Nodes, func(n *onnx.Node) bool { return n.Op == "QuantizeLinear" && n.Inputs[0] == pool.Outputs[0] })
	if behind < 0 || m.Nodes[behind].Inputs[1] != pool.Inputs[0].Node.Inputs[1] {
		t.Error("MaxPool changes the scale")
	}
	if err := pass.Dequantise(m); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(m.Nodes, func(n *onnx.Node) bool { return strings.HasSuffix(n.Op, "quantizeLinear") || n.Op == "QuantizeLinear" }) {
		t.Error("Dequantise leaves nodes behind")
	}
	near("floats again", m, 0.01)
}

func TestQuantiseRefuses(t *testing.T) {
	for name, r := range map[string]map[string]pass.Range{
		"no range":       {},
		"not a number":   {"images": {Low: math.NaN(), High: 1}},
		"infinite":       {"images": {Low: 0, High: math.Inf(1)}},
		"the wrong way":  {"images": {Low: 2, High: 1}},
		"one is missing": {"images": {Low: 0, High: 1}},
	} {
		if err := pass.Quantise(twoConvs(t), r); err == nil || !strings.Contains(err.Error(), "has no range of values") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
