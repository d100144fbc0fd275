package onnx

import (
	"strings"
	"testing"
)

// small is y = Relu(x·w + b) with a second, unused output of nothing.
func small() *Model {
	x := &Value{Name: "x", Type: Type{Float, []Dim{Sym("n"), {Size: 2}}}}
	weight, bias := Of([]float32{1, 2, 3, 4.5, 5, 6, 7, 8, 9, 10}, 2, 5), Of([]int64{1 << 62, -1}, 2)
	w := &Value{Name: "model.0.w", Type: TypeOf(weight), Const: weight}
	b := &Value{Name: "odd name", Type: TypeOf(bias), Const: bias}
	gemm := &Node{Name: "model.0/gemm", Op: "Gemm", Inputs: []*Value{x, w, nil}, Attrs: []Attr{
		{"alpha", float32(0.1)}, {"names", []string{"a b", ""}}, {"perm", []int64{1, 0}}, {"s", "DCR"}, {"value", Scalar(float32(0.5))},
	}}
	h := &Value{Name: "h", Node: gemm}
	gemm.Outputs = []*Value{nil, h}
	relu := &Node{Op: "Relu", Domain: "com.example", Inputs: []*Value{h, b}}
	y := &Value{Name: "y", Node: relu, Type: Type{Float, nil}}
	relu.Outputs = []*Value{y}
	return &Model{Opset: 17, Domains: map[string]int64{"com.example": 1}, Name: "small", Inputs: []*Value{x}, Outputs: []*Value{y},
		Initializers: []*Value{w, b}, Nodes: []*Node{gemm, relu}, Metadata: map[string]string{"stride": "32", "names": "{0: 'a'}"}}
}

func TestVerify(t *testing.T) {
	if err := small().Verify(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(*Model)
		want  string
	}{
		"nil input":          {func(m *Model) { m.Inputs[0] = nil }, "input 0: a nil value"},
		"constant input":     {func(m *Model) { m.Inputs[0].Const = Scalar(true) }, `"x" has a constant`},
		"nameless":           {func(m *Model) { m.Nodes[0].Outputs[1].Name = "" }, "without a name"},
		"same name":          {func(m *Model) { m.Nodes[0].Outputs[1].Name = "x" }, `two values are called "x"`},
		"bound twice":        {func(m *Model) { m.Inputs = append(m.Inputs, m.Inputs[0]) }, `input 1: value "x" is bound twice`},
		"wrong producer":     {func(m *Model) { m.Outputs[0].Node = m.Nodes[0] }, "another producer"},
		"no constant":        {func(m *Model) { m.Initializers[0].Const = nil }, `initializer 0: "model.0.w": no constant`},
		"constant's type":    {func(m *Model) { m.Initializers[0].Type.DType = Double }, "its type is float64[2 5], its constant is float32[2 5]"},
		"constant's bytes":   {func(m *Model) { m.Initializers[0].Const.Raw = nil }, "float32[2 5] takes 40 bytes, not 0"},
		"negative size":      {func(m *Model) { m.Initializers[0].Const.Shape = []int64{-2, -5} }, "negative"},
		"constant's dtype":   {func(m *Model) { m.Initializers[0].Const.DType = String }, "no bytes"},
		"nil node":           {func(m *Model) { m.Nodes[1] = nil }, "node 1: it is nil"},
		"no operator":        {func(m *Model) { m.Nodes[1].Op = "" }, "no operator"},
		"no outputs":         {func(m *Model) { m.Nodes[1].Outputs = nil }, "no outputs"},
		"constant output":    {func(m *Model) { m.Outputs[0].Const = Scalar(true) }, `"y" has a constant`},
		"order":              {func(m *Model) { m.Nodes[0], m.Nodes[1] = m.Nodes[1], m.Nodes[0] }, `node 0 (Relu ""): input 0, "h", is used before`},
		"undefined":          {func(m *Model) { m.Nodes[0].Inputs[0] = &Value{Name: "q"} }, `input 0, "q", is used before`},
		"undefined output":   {func(m *Model) { m.Outputs[0] = &Value{Name: "y"} }, `nothing produces "y"`},
		"nil output":         {func(m *Model) { m.Outputs[0] = nil }, "output 0: it is nil"},
		"unsorted attribute": {func(m *Model) { m.Nodes[0].Attrs[0].Name = "z" }, `attribute "names" stands after "z"`},
		"same attribute":     {func(m *Model) { m.Nodes[0].Attrs[1].Name = "alpha" }, `"alpha" stands after "alpha"`},
		"attribute's type":   {func(m *Model) { m.Nodes[0].Attrs[0].Value = 1 }, `attribute "alpha" has Go type int`},
		"attribute's tensor": {func(m *Model) { m.Nodes[0].Attrs[4].Value = &Tensor{DType: Float, Shape: []int64{3}} }, "takes 12 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			m := small()
			c.spoil(m)
			if err := m.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
