package ref

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

var nan, inf = math.NaN(), math.Inf(1)

// evalCase is one node: inputs, nil where omitted, and the outputs it must give.
type evalCase struct {
	name, op string
	opset    int64
	dtype    onnx.DType // of the node's values, where it matters
	attrs    []onnx.Attr
	in, want []*Array
}

func arr(shape []int64, data ...float64) *Array { return &Array{shape, data} }

// node builds the case's node, with one value for each input and output.
func (c *evalCase) node() *onnx.Node {
	n := &onnx.Node{Name: c.name, Op: c.op, Attrs: c.attrs}
	if _, standard := op.Since(c.op, op.Opset); !standard {
		n.Domain = op.Domain
	}
	for range c.in {
		n.Inputs = append(n.Inputs, &onnx.Value{Type: onnx.Type{DType: c.dtype}})
	}
	for range c.want {
		n.Outputs = append(n.Outputs, &onnx.Value{Node: n, Type: onnx.Type{DType: c.dtype}})
	}
	return n
}

var families = map[string][]evalCase{
	"conv": convCases, "matmul": matmulCases, "norm": normCases, "pool": poolCases,
	"elementwise": elementwiseCases, "shape": shapeCases, "reduce": reduceCases, "gather": gatherCases, "nms": nmsCases, "composite": compositeCases, "quantise": quantiseCases,
}

func TestEval(t *testing.T) {
	tested := map[string]bool{"Scatter": true} // ScatterElements' old name
	for family, cases := range families {
		for _, c := range cases {
			tested[c.op] = true
			t.Run(fmt.Sprintf("%s/%s/%s", family, c.op, c.name), func(t *testing.T) {
				opset := c.opset
				if opset == 0 {
					opset = 17
				}
				got, err := Eval(c.node(), opset, c.in)
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range c.want {
					expectClose(t, fmt.Sprint("output ", i), got[i], want, 1e-6)
				}
			})
		}
	}
	for name := range kernels {
		if !tested[name] {
			t.Errorf("%s has no case", name)
		}
	}
}

// expectClose compares relative to the larger of 1 and the wanted number.
func expectClose(t *testing.T, what string, got, want *Array, tolerance float64) {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) || len(got.Data) != len(want.Data) {
		t.Errorf("%s: shape %v with %d elements, want %v with %d", what, got.Shape, len(got.Data), want.Shape, len(want.Data))
		return
	}
	for i, w := range want.Data {
		g := got.Data[i]
		if g != w && !(g != g && w != w) && !(math.Abs(g-w) <= tolerance*max(1, math.Abs(w))) {
			t.Errorf("%s: element %d is %v, want %v (of %v)", what, i, g, w, want.Data)
			return
		}
	}
}

// TestSupported holds the package against the operators that graphs are made of.
func TestSupported(t *testing.T) {
	for _, name := range op.Names() {
		if !Supported(name) {
			t.Errorf("no reference for %s", name)
		}
	}
	if Supported("NoSuchOperator") {
		t.Error("supports NoSuchOperator")
	}
}

func ints(name string, v ...int64) onnx.Attr { return onnx.Attr{Name: name, Value: v} }

func TestEvalRefuses(t *testing.T) {
	v := func(shape ...int64) *Array { return filled(shape, 1) }
	for name, c := range map[string]struct {
		op    string
		attrs []onnx.Attr
		in    []*Array
		want  string
	}{
		"unknown":            {"NoSuchOperator", nil, nil, `op NoSuchOperator, node "n": no reference`},
		"too few inputs":     {"Add", nil, []*Array{v(1)}, "1 inputs, want 2 to 2"},
		"missing input":      {"Add", nil, []*Array{v(1), nil}, "input 1 is missing"},
		"not an array":       {"Relu", nil, []*Array{{Shape: []int64{2}}}, "input 0 is not an array"},
		"no broadcast":       {"Add", nil, []*Array{v(2), v(3)}, "shapes [[2] [3]] do not broadcast"},
		"matrices":           {"MatMul", nil, []*Array{v(2, 3), v(2, 3)}, "do not multiply"},
		"channels":           {"Conv", nil, []*Array{v(1, 3, 4, 4), v(2, 2, 1, 1)}, "image [1 3 4 4], kernel [2 2 1 1], 1 groups"},
		"kernel too large":   {"Conv", nil, []*Array{v(1, 1, 2, 2), v(1, 1, 3, 3)}, "does not fit"},
		"kernel shape":       {"Conv", []onnx.Attr{ints("kernel_shape", 2, 2)}, []*Array{v(1, 1, 4, 4), v(1, 1, 3, 3)}, "kernel_shape [2 2]"},
		"stride 0":           {"Conv", []onnx.Attr{ints("strides", 0, 1)}, []*Array{v(1, 1, 4, 4), v(1, 1, 1, 1)}, "strides [0 1]"},
		"three axes":         {"Conv", nil, []*Array{v(1, 1, 2, 2, 2), v(1, 1, 1, 1, 1)}, "one or two spatial axes"},
		"bias":               {"Conv", nil, []*Array{v(1, 1, 2, 2), v(2, 1, 1, 1), v(3)}, "bias [3] for 2 channels"},
		"axis":               {"Softmax", []onnx.Attr{{Name: "axis", Value: int64(2)}}, []*Array{v(2, 2)}, "axis 2 of an array of rank 2"},
		"axis twice":         {"ReduceMean", []onnx.Attr{ints("axes", 1, -1)}, []*Array{v(2, 2)}, "axis 1 is given twice"},
		"reshape":            {"Reshape", nil, []*Array{v(6), list([]int64{4, -1})}, "shape [4 -1] from [6]"},
		"reshape to nothing": {"Reshape", nil, []*Array{v(6), list([]int64{-2, 3})}, "shape [-2 3]"},
		"too large":          {"Expand", nil, []*Array{v(1), list([]int64{1 << 40, 1 << 40})}, "too large"},
		"range":              {"Range", nil, []*Array{scalar(0), scalar(1), scalar(0)}, "steps of 0"},
		"endless range":      {"Range", nil, []*Array{scalar(0), scalar(1e300), scalar(1)}, "from 0 to 1e+300"},
		"index":              {"Gather", nil, []*Array{v(2), scalar(2)}, "index 2 of a dimension of size 2"},
		"index below":        {"ScatterND", nil, []*Array{v(2), arr([]int64{1, 1}, -3), v(1)}, "index -3"},
		"updates":            {"ScatterND", nil, []*Array{v(2, 3), arr([]int64{1, 1}, 0), v(1, 2)}, "updates [1 2], want [1 3]"},
		"reduction":          {"ScatterND", []onnx.Attr{{Name: "reduction", Value: "mean"}}, []*Array{v(2), arr([]int64{1, 1}, 0), v(1)}, `reduction "mean"`},
		"split":              {"Split", nil, []*Array{v(3), list([]int64{1, 1})}, "parts [1 1] of 3"},
		"step 0":             {"Slice", nil, []*Array{v(3), v(1), v(1), arr([]int64{1}, 0), arr([]int64{1}, 0)}, "step 0"},
		"cast":               {"Cast", []onnx.Attr{{Name: "to", Value: int64(8)}}, []*Array{v(1)}, "cast to string"},
		"padding mode":       {"Pad", []onnx.Attr{{Name: "mode", Value: "reflect"}}, []*Array{v(1), list([]int64{0, 0})}, `mode "reflect"`},
		"cubic":              {"Resize", []onnx.Attr{{Name: "mode", Value: "cubic"}}, []*Array{v(1, 1, 2, 2), nil, arr([]int64{4}, 1, 1, 2, 2)}, `mode "cubic"`},
		"blocks":             {"DepthToSpace", []onnx.Attr{{Name: "blocksize", Value: int64(2)}}, []*Array{v(1, 3, 1, 1)}, "blocksize 2"},
		"statistics":         {"BatchNormalization", nil, []*Array{v(1, 2, 1, 1), v(2), v(2), v(3), v(2)}, "input 3 has shape [3] for 2 channels"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Eval(&onnx.Node{Name: "n", Op: c.op, Attrs: c.attrs}, 17, c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	integers := &onnx.Node{Op: "Div", Inputs: []*onnx.Value{{Type: onnx.Type{DType: onnx.Int64}}, nil}}
	if _, err := Eval(integers, 17, []*Array{v(1), filled([]int64{1}, 0)}); err == nil {
		t.Error("integer division by zero went unnoticed")
	}
	if _, err := Eval(&onnx.Node{Op: "Add", Domain: "com.example"}, 17, []*Array{v(1), v(1)}); err == nil {
		t.Error("took an operator of another domain")
	}
}

// TestNoPanic throws mostly senseless inputs at every operator: each gives arrays or an error.
func TestNoPanic(t *testing.T) {
	defer func(n int64) { maxElements = n }(maxElements)
	maxElements = 1 << 16
	r := rand.New(rand.NewPCG(1, 2))
	number := func() int64 {
		return []int64{0, 0, 1, 1, 2, 3, -1, -2, math.MaxInt64, math.MinInt64, 1 << 31}[r.IntN(11)]
	}
	numbers := func() []int64 {
		v := make([]int64, r.IntN(5))
		for i := range v {
			v[i] = number()
		}
		return v
	}
	array := func() *Array {
		if r.IntN(8) == 0 {
			return nil
		}
		shape := make([]int64, []int{0, 1, 1, 2, 3, 4, 4}[r.IntN(7)])
		for i := range shape {
			shape[i] = r.Int64N(4)
		}
		a := newArray(shape)
		for i := range a.Data {
			a.Data[i] = []float64{float64(number()), r.NormFloat64(), nan, 1, 0}[r.IntN(5)]
		}
		return a
	}
	names := []string{"axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "keepdims", "perm", "split", "starts", "ends",
		"blocksize", "output_padding", "output_shape", "allowzero", "start", "end", "ceil_mode", "noop_with_empty_axes", "training_mode", "count_include_pad"}
	for _, name := range slices.Sorted(maps.Keys(kernels)) {
		k := kernels[name]
		for range 2000 {
			n := &onnx.Node{Name: "n", Op: name}
			for range r.IntN(5) {
				n.Attrs = append(n.Attrs, onnx.Attr{Name: names[r.IntN(len(names))], Value: []any{number(), numbers()}[r.IntN(2)]})
			}
			if r.IntN(3) == 0 {
				n.Attrs = append(n.Attrs, onnx.Attr{Name: "auto_pad", Value: []string{"SAME_UPPER", "SAME_LOWER", "VALID"}[r.IntN(3)]})
			}
			in := make([]*Array, k.min+r.IntN(min(k.max-k.min, 3)+1))
			for i := range in {
				in[i] = array()
			}
			tryEval(t, n, []int64{9, 11, 17, 18}[r.IntN(4)], in)
		}
	}
}

func tryEval(t *testing.T, n *onnx.Node, opset int64, in []*Array) {
	defer func() {
		if p := recover(); p != nil {
			shapes := make([]any, len(in))
			for i, a := range in {
				if a != nil {
					shapes[i] = *a
				}
			}
			t.Errorf("%s %v of %v, opset %d: panic: %v", n.Op, n.Attrs, shapes, opset, p)
		}
	}()
	out, err := Eval(n, opset, in)
	for i, a := range out {
		if err == nil && onnx.NumElements(a.Shape) != int64(len(a.Data)) {
			t.Errorf("%s %v: output %d of shape %v has %d elements", n.Op, n.Attrs, i, a.Shape, len(a.Data))
		}
	}
}
