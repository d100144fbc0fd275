package ref

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
)

// chain is y = Relu(x·w), z = y + y.
func chain() *onnx.Model {
	w := onnx.Of([]float32{1, -1, 2, 0.5}, 2, 2)
	in := &onnx.Value{Name: "x", Type: onnx.Type{DType: onnx.Float, Shape: []onnx.Dim{onnx.Sym("n"), {Size: 2}}}}
	weight := &onnx.Value{Name: "w", Type: onnx.TypeOf(w), Const: w}
	m := &onnx.Model{Opset: 17, Inputs: []*onnx.Value{in}, Initializers: []*onnx.Value{weight}}
	apply := func(op, out string, inputs ...*onnx.Value) *onnx.Value {
		n := &onnx.Node{Name: op, Op: op, Inputs: inputs}
		v := &onnx.Value{Name: out, Node: n, Type: in.Type}
		n.Outputs = []*onnx.Value{v}
		m.Nodes = append(m.Nodes, n)
		return v
	}
	y := apply("Relu", "y", apply("MatMul", "h", in, weight))
	m.Outputs = []*onnx.Value{y, apply("Add", "z", y, y)}
	return m
}

func TestRun(t *testing.T) {
	x := arr([]int64{3, 2}, 1, 0, 0, 1, 1, 1)
	got, err := Run(chain(), map[string]*Array{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	expectClose(t, "y", got["y"], arr([]int64{3, 2}, 1, 0, 2, 0.5, 3, 0), 0)
	expectClose(t, "z", got["z"], arr([]int64{3, 2}, 2, 0, 4, 1, 6, 0), 0)
	if len(got) != 2 {
		t.Errorf("%d outputs", len(got))
	}
	if got, err := Run(chain(), map[string]*Array{"x": arr([]int64{0, 2})}); err != nil || !slices.Equal(got["z"].Shape, []int64{0, 2}) {
		t.Errorf("no rows: %v, %v", got["z"], err)
	}
}

func TestRunRefuses(t *testing.T) {
	x := arr([]int64{1, 2}, 1, 2)
	for name, c := range map[string]struct {
		spoil func(*onnx.Model)
		feeds map[string]*Array
		want  string
	}{
		"not fed":        {nil, nil, `input "x" is not fed`},
		"fed too much":   {nil, map[string]*Array{"x": x, "q": x}, `fed ["q" "x"]`},
		"wrong size":     {nil, map[string]*Array{"x": arr([]int64{1, 3}, 1, 2, 3)}, `"x" has shape [1 3], its type is float32[n 2]`},
		"wrong rank":     {nil, map[string]*Array{"x": arr([]int64{2}, 1, 2)}, `"x" has shape [2]`},
		"wrong type":     {func(m *onnx.Model) { m.Nodes[1].Outputs[0].Type.Shape = onnx.Dims(7, 2) }, map[string]*Array{"x": x}, `op Relu, node "Relu": output: "y" has shape [1 2], its type is float32[7 2]`},
		"no kernel":      {func(m *onnx.Model) { m.Nodes[1].Op = "Loop" }, map[string]*Array{"x": x}, "no reference"},
		"order":          {func(m *onnx.Model) { slices.Reverse(m.Nodes) }, map[string]*Array{"x": x}, `input "y" has no value yet`},
		"dangling":       {func(m *onnx.Model) { m.Outputs[0] = &onnx.Value{Name: "q"} }, map[string]*Array{"x": x}, `nothing produces output "q"`},
		"outputs":        {func(m *onnx.Model) { m.Nodes[1].Outputs = append(m.Nodes[1].Outputs, nil) }, map[string]*Array{"x": x}, "2 outputs, it gives 1"},
		"damaged weight": {func(m *onnx.Model) { m.Initializers[0].Const.Shape = []int64{4, 1} }, map[string]*Array{"x": x}, "do not multiply"},
	} {
		t.Run(name, func(t *testing.T) {
			m := chain()
			if c.spoil != nil {
				c.spoil(m)
			}
			if _, err := Run(m, c.feeds); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestTensor(t *testing.T) {
	a := arr([]int64{4}, 1.75, -1.75, 1e300, nan)
	for _, c := range []struct {
		dtype onnx.DType
		want  []float64
	}{
		{onnx.Double, []float64{1.75, -1.75, 1e300, nan}},
		{onnx.Float, []float64{1.75, -1.75, inf, nan}},
		{onnx.Float16, []float64{1.75, -1.75, inf, nan}},
		{onnx.BFloat16, []float64{1.75, -1.75, inf, nan}},
		{onnx.Bool, []float64{1, 1, 1, 1}},
		{onnx.Int8, []float64{1, -1, 127, 0}},
		{onnx.Uint8, []float64{1, 0, 255, 0}},
		{onnx.Int16, []float64{1, -1, math.MaxInt16, 0}},
		{onnx.Uint16, []float64{1, 0, math.MaxUint16, 0}},
		{onnx.Int32, []float64{1, -1, math.MaxInt32, 0}},
		{onnx.Uint32, []float64{1, 0, math.MaxUint32, 0}},
		{onnx.Int64, []float64{1, -1, math.MaxInt64, 0}},
		{onnx.Uint64, []float64{1, 0, math.MaxUint64, 0}},
	} {
		got := a.Tensor(c.dtype)
		if got.DType != c.dtype {
			t.Errorf("%v became %v", c.dtype, got.DType)
		}
		expectClose(t, c.dtype.String(), FromTensor(got), arr([]int64{4}, c.want...), 0)
	}
	// ties go to even: 1+2⁻⁸ lies between two bfloat16 numbers, as does 1+3·2⁻⁸
	ties := arr([]int64{2}, 1+1.0/256, 1+3.0/256).Tensor(onnx.BFloat16)
	expectClose(t, "bfloat16", FromTensor(ties), arr([]int64{2}, 1, 1+4.0/256), 0)
}

func random(r *rand.Rand, shape ...int64) *Array {
	a := newArray(shape)
	for i := range a.Data {
		a.Data[i] = r.NormFloat64()
	}
	return a
}

// TestConvTransposeIsAdjoint checks <conv(x), y> = <x, convTranspose(y)> over windows.
func TestConvTransposeIsAdjoint(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		group, stride, dilation := 1+r.Int64N(2), 1+r.Int64N(3), 1+r.Int64N(2)
		attrs := []onnx.Attr{{Name: "group", Value: group}, ints("strides", stride, stride), ints("dilations", dilation, dilation),
			ints("pads", r.Int64N(2), r.Int64N(2), r.Int64N(2), r.Int64N(2))}
		x := random(r, 2, 2*group, 7+r.Int64N(3), 8)
		w := random(r, 3*group, 2, 1+r.Int64N(3), 1+r.Int64N(3))
		forward := mustEval(t, "Conv", attrs, x, w)
		y := random(r, forward.Shape...)
		// the size that strides leave out comes back as output_padding
		plain := mustEval(t, "ConvTranspose", attrs, y, w)
		rest := ints("output_padding", x.Shape[2]-plain.Shape[2], x.Shape[3]-plain.Shape[3])
		if max(rest.Value.([]int64)[0], rest.Value.([]int64)[1]) >= max(stride, dilation) {
			t.Fatalf("%v leaves %v", attrs, rest)
		}
		back := mustEval(t, "ConvTranspose", append(attrs, rest), y, w)
		if a, b := inner(forward, y), inner(x, back); math.Abs(a-b) > 1e-9*(1+math.Abs(a)) {
			t.Errorf("%v: <conv(x), y> = %v, <x, convTranspose(y)> = %v", attrs, a, b)
		}
	}
}

func mustEval(t *testing.T, op string, attrs []onnx.Attr, in ...*Array) *Array {
	t.Helper()
	out, err := Eval(&onnx.Node{Op: op, Attrs: attrs}, 17, in)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func inner(a, b *Array) (sum float64) {
	for i, v := range a.Data {
		sum += v * b.Data[i]
	}
	return sum
}

// TestInverses undoes operators by their inverses.
func TestInverses(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := random(r, 2, 4, 6, 4)
	block := onnx.Attr{Name: "blocksize", Value: int64(2)}
	deep := mustEval(t, "SpaceToDepth", []onnx.Attr{block}, x)
	expectClose(t, "DepthToSpace", mustEval(t, "DepthToSpace", []onnx.Attr{block}, deep), x, 0)
	turned := mustEval(t, "Transpose", []onnx.Attr{ints("perm", 2, 0, 3, 1)}, x)
	expectClose(t, "Transpose", mustEval(t, "Transpose", []onnx.Attr{ints("perm", 1, 3, 0, 2)}, turned), x, 0)
	padded := mustEval(t, "Pad", nil, x, list([]int64{0, 1, 2, 0, 1, 0, 1, 3}))
	expectClose(t, "Pad", mustEval(t, "Pad", nil, padded, list([]int64{0, -1, -2, 0, -1, 0, -1, -3})), x, 0)
}
