package op_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
)

type list = []any

// shapeCase is a node and what its shape rule makes of it. An input is written
// as a float tensor's dimensions ("2 n ?", a number, a name or unknown), with
// its type before them where it is another ("int64 3"); as a constant; or nil.
type shapeCase struct {
	op    string
	attrs op.Attrs
	in    list
	want  string // the outputs' types, or the error behind "op <name>: "; a semicolon for each output but one
}

var (
	ints    = func(v ...int64) *onnx.Tensor { return onnx.Of(v, int64(len(v))) }
	pool5   = op.Attrs{"kernel_shape": []int64{5, 5}, "pads": []int64{2, 2, 2, 2}}
	layer32 = op.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}} // a composite operator's
	keep0   = op.Attrs{"keepdims": int64(0)}
)

var dtypeNames = map[string]onnx.DType{"int64": onnx.Int64, "bool": onnx.Bool, "int8": onnx.Int8, "uint8": onnx.Uint8, "int32": onnx.Int32, "float16": onnx.Float16}

var shapeCases = []shapeCase{
	{"TopK", nil, list{"2 3 9", ints(4)}, "float32[2 3 4]; int64[2 3 4]"},
	{"TopK", op.Attrs{"axis": int64(0)}, list{"n 3", ints(1)}, "float32[1 3]; int64[1 3]"},
	{"TopK", nil, list{"2 3", ints(4)}, "the largest [4] along axis 1 of float32[2 3];"},
	{"TopK", nil, list{"2 3", ints(-1)}, "k is [-1];"},
	{"NonMaxSuppression", nil, list{"n 9 4", "n 2 9"}, "int64[? 3]"},
	{"NonMaxSuppression", nil, list{"1 9 5", "1 2 9"}, "takes boxes [N,rows,4] and scores [N,classes,rows], not float32[1 9 5] and float32[1 2 9]"},
	{"GatherND", nil, list{"2 3 4", "int64 5 2"}, "float32[5 4]"},
	{"GatherND", op.Attrs{"batch_dims": int64(1)}, list{"2 3 4", "int64 2 5 1"}, "picks from float32[2 3 4] by int64[2 5 1], batch_dims 1"},
	{"GatherND", nil, list{"2 3", "int64 5 3"}, "picks from float32[2 3] by int64[5 3], batch_dims 0"},
	{"GatherElements", op.Attrs{"axis": int64(1)}, list{"2 3", "int64 2 7"}, "float32[2 7]"},
	{"GatherElements", nil, list{"2 3", "int64 2"}, "picks from float32[2 3] by int64[2] along axis 0"},
	{"QuantizeLinear", nil, list{"n 3 h w", ""}, "uint8[n 3 h w]"},
	{"QuantizeLinear", op.Attrs{"axis": int64(0)}, list{"4 3", "4", "int8 4"}, "int8[4 3]"},
	{"QuantizeLinear", nil, list{"4 3", "", "float16"}, "of float32[4 3] by float32[] to float16: want uint8 or int8 of a float and a scale of its type"},
	{"QuantizeLinear", nil, list{"4 3", "4"}, "has 4 scales along axis 1 of float32[4 3]"},
	{"QuantizeLinear", nil, list{"4 3", "3", "uint8"}, "has the scale float32[3] and the zero point uint8[]"},
	{"DequantizeLinear", nil, list{"int8 4 3", "3", "int8 3"}, "float32[4 3]"},
	{"DequantizeLinear", op.Attrs{"axis": int64(0)}, list{"int32 4", "4"}, "float32[4]"},
	{"DequantizeLinear", nil, list{"4 3", ""}, "of float32[4 3]: want uint8, int8 or int32, and a zero point of its type"},
	{"DequantizeLinear", nil, list{"int8 4 3", "2 2"}, "has the scale float32[2 2]: want one number, or one for each index of an axis"},
	{"Conv", op.Attrs{"pads": []int64{2, 2, 2, 2}, "strides": []int64{2, 2}}, list{"8 3 320 320", "16 3 6 6"}, "float32[8 16 160 160]"},
	{"Conv", op.Attrs{"group": int64(3)}, list{"1 3 5 5", "6 1 2 2", "6"}, "float32[1 6 4 4]"},
	{"Conv", op.Attrs{"dilations": []int64{2, 2}}, list{"1 3 5 h", "4 3 3 3"}, "float32[1 4 1 ?]"},
	{"Conv", nil, list{"1 3 5 5", "6 4 2 2"}, "input float32[1 3 5 5] and kernel float32[6 4 2 2] differ in channels (groups 1)"},
	{"Conv", nil, list{"1 3 5 5", "6 3 7 7"}, "a kernel of [7 7] does not fit in [5 5]"},
	{"Conv", nil, list{"3 5 5", "6 3 7"}, "takes NCHW and a kernel of rank 4, not float32[3 5 5] and float32[6 3 7]"},
	{"Conv", nil, list{"1 3 5 5", "6 3 k k"}, "the kernel's size is unknown"},
	{"Conv", op.Attrs{"auto_pad": "SAME_UPPER"}, list{"1 3 5 5", "6 3 3 3"}, "auto_pad SAME_UPPER: explicit pads are wanted"},
	{"Conv", op.Attrs{"strides": []int64{0, 1}}, list{"1 3 5 5", "6 3 3 3"}, "kernel [3 3], strides [0 1], dilations [1 1]"},
	{"Conv", op.Attrs{"group": int64(0)}, list{"1 3 5 5", "6 3 3 3"}, "has 0 groups"},
	{"Conv", nil, list{"1 3 5 5"}, "lacks input 1"},
	{"ConvTranspose", op.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}, "output_padding": []int64{1, 0}}, list{"1 6 4 4", "6 3 3 3"}, "float32[1 3 8 7]"},
	{"ConvTranspose", op.Attrs{"output_padding": []int64{1}}, list{"1 6 4 4", "6 3 3 3"}, "output_padding is [1]"},
	{"BatchNormalization", nil, list{"n 4 h w", "4", "4", "4", "4"}, "float32[n 4 h w]"},
	{"BatchNormalization", op.Attrs{"training_mode": int64(1)}, list{"2 4 3 3", "4", "4", "4", "4"}, "float32[2 4 3 3]; float32[4]; float32[4]"},
	{"BatchNormalization", nil, list{"2 4 3 3", "4", "4", "4"}, "lacks input 4"},
	{"MaxPool", pool5, list{"n 4 7 w"}, "float32[n 4 7 ?]"},
	{"MaxPool", pool5, list{"2 4 7 7"}, "float32[2 4 7 7]; int64[2 4 7 7]"},
	{"MaxPool", op.Attrs{"kernel_shape": []int64{2, 2}, "ceil_mode": int64(1)}, list{"2 4 7 7"}, "ceil_mode is not known"},
	{"MaxPool", nil, list{"2 4 7 7"}, "is not 2-dimensional: kernel [], strides [1 1], dilations [1 1], pads [0 0 0 0]"},
	{"AveragePool", op.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, list{"2 4 8 6"}, "float32[2 4 4 3]"},

	{"ConvBatchNorm", layer32, list{"8 40 40 16", "32 16 3 3", "32", "32"}, "float32[8 20 20 32]; float32[8 20 20 32]; float32[32]; float32[32]"},
	{"ConvBatchNorm", layer32, list{"8 40 40 16", "32 16 3 3", "16", "32"}, "has the scale float32[16] and the shift float32[32] for 32 channels"},
	{"ConvBatchNorm", layer32, list{"8 40 40 3", "32 16 3 3", "32", "32"}, "input float32[8 40 40 3] and kernel float32[32 16 3 3] differ in channels (groups 1)"},
	{"ConvBatchNormGrad", layer32, list{"1 4 4 32", "1 8 8 16", "32 16 3 3", "32", "32", "1 4 4 32", "32", "32"}, "float32[1 8 8 16]; float32[32 16 3 3]; float32[32]; float32[32]"},
	{"ConvBatchNormGrad", layer32, list{"1 4 4 32", "1 8 8 16", "32 16 3 3", "32", "32", "1 8 8 32", "32", "32"}, "takes gradient float32[1 4 4 32] and result float32[1 8 8 32] of a convolution to float32[1 4 4 32]"},
	{"ConvAct", layer32, list{"1 8 8 4", "6 4 3 3", "6"}, "float32[1 4 4 6]; float32[1 4 4 6]"},
	{"ConvAct", layer32, list{"1 8 8 4", "6 4 3 3", "4"}, "has the bias float32[4] for 6 channels"},
	{"ConvActGrad", layer32, list{"1 4 4 6", "1 8 8 4", "6 4 3 3"}, "float32[1 8 8 4]; float32[6 4 3 3]; float32[6]"},
	{"LargestOf", op.Attrs{"kernel_shape": []int64{5, 5}, "pads": []int64{2, 2, 2, 2}}, list{"1 8 6 4"}, "float32[1 8 6 4]"},
	{"LargestOfGrad", op.Attrs{"kernel_shape": []int64{5, 5}, "pads": []int64{2, 2, 2, 2}}, list{"1 8 6 4", "1 8 6 4"}, "float32[1 8 6 4]"},
	{"Doubled", nil, list{"1 8 6 4"}, "float32[1 16 12 4]"},
	{"DoubledGrad", nil, list{"1 16 12 4"}, "float32[1 8 6 4]"},
	{"DoubledGrad", nil, list{"1 15 12 4"}, "takes pictures of even sides, not float32[1 15 12 4]"},
	{"ConvActGrad", layer32, list{"1 4 4 6", "1 8 8 4", "6 4 3 3", "1 4 4 6"}, "lacks the sum before its activation, or has one without"},

	{"Add", nil, list{"2 1 4", "3 1"}, "float32[2 3 4]"},
	{"Add", nil, list{"n 3", "n 3"}, "float32[n 3]"},
	{"Add", nil, list{"n 3", "m 3"}, "float32[? 3]"},
	{"Add", nil, list{"n 3", "2 3"}, "float32[2 3]"},
	{"Add", nil, list{"2 3", "2 4"}, "shapes [2 3] and [2 4] do not broadcast"},
	{"Add", nil, list{"2", "int64 2"}, "mixes float32 and int64"},
	{"Add", nil, list{"2", "2", "2"}, "has 3 inputs, not 2"},
	{"Sub", nil, list{"", "2 3"}, "float32[2 3]"},
	{"Mul", nil, list{"2 3", "1"}, "float32[2 3]"},
	{"Div", nil, list{"2 1", "1 3"}, "float32[2 3]"},
	{"Pow", nil, list{"2 3", "int64"}, "float32[2 3]"},
	{"Max", nil, list{"3", "2 1"}, "float32[2 3]"},
	{"Min", nil, list{"3", ""}, "float32[3]"},
	{"Cast", op.Attrs{"to": int64(onnx.Int64)}, list{"2 n"}, "int64[2 n]"},
	{"Where", nil, list{"bool 2 1", "3", ""}, "float32[2 3]"},
	{"Where", nil, list{"bool 2", "3", ""}, "shapes [3] and [2] do not broadcast"},
	{"Where", nil, list{"bool 2", "3"}, "lacks input 2"},
	{"Not", nil, list{"bool 2"}, "bool[2]"},
	{"Clip", nil, list{"2 3", nil, ""}, "float32[2 3]"},

	{"Reshape", nil, list{"2 3 4", ints(0, -1)}, "float32[2 12]"},
	{"Reshape", nil, list{"n 3 4", ints(0, 12)}, "float32[n 12]"},
	{"Reshape", nil, list{"n 3 4", ints(-1, 4)}, "float32[? 4]"},
	{"Reshape", nil, list{"2 3", ints(4, -1)}, "cannot reshape float32[2 3] to [4 -1]"},
	{"Reshape", nil, list{"2 3", ints(4, 2)}, "cannot reshape float32[2 3] to [4 2]"},
	{"Reshape", nil, list{"2 3", ints(6, 1, 0)}, "new shape [6 1 0] copies dimension 2 of float32[2 3]"},
	{"Reshape", nil, list{"2 3", ints(-1, -1)}, "new shape [-1 -1]"},
	{"Reshape", nil, list{"2 3", ints(-2, -3)}, "new shape [-2 -3]"},
	{"Reshape", nil, list{"2 3", "int64 2"}, "the new shape is not a constant"},
	{"Transpose", op.Attrs{"perm": []int64{2, 0, 1}}, list{"2 n 4"}, "float32[4 2 n]"},
	{"Transpose", op.Attrs{"perm": []int64{0, 1}}, list{"2 3 4"}, "perm [0 1] of float32[2 3 4]"},
	{"Transpose", op.Attrs{"perm": []int64{0, 0}}, list{"2 3"}, "perm [0 0] of float32[2 3]"},
	{"Concat", op.Attrs{"axis": int64(-1)}, list{"n 2", "n 3", "n 1"}, "float32[n 6]"},
	{"Concat", op.Attrs{"axis": int64(0)}, list{"n 2", "3 2"}, "float32[? 2]"},
	{"Concat", op.Attrs{"axis": int64(0)}, list{"2 2", "3 3"}, "joins float32[2 2] and float32[3 3] along axis 0"},
	{"Concat", op.Attrs{"axis": int64(2)}, list{"2 2", "3 3"}, "axis 2 of a tensor of rank 2"},
	{"Split", op.Attrs{"axis": int64(1)}, list{"2 5", ints(1, 4)}, "float32[2 1]; float32[2 4]"},
	{"Split", op.Attrs{"axis": int64(1)}, list{"2 6"}, "float32[2 3]; float32[2 3]"},
	{"Split", op.Attrs{"axis": int64(1), "split": []int64{1, 5}}, list{"2 6"}, "float32[2 1]; float32[2 5]"},
	{"Split", op.Attrs{"axis": int64(1)}, list{"2 5", ints(1, 3)}, "sizes [1 3] of float32[2 5] along axis 1;"},
	{"Slice", nil, list{"4 5", ints(1, -3), ints(3, 99), ints(0, 1)}, "float32[2 3]"},
	{"Slice", nil, list{"4 n", ints(-1), ints(-99), ints(0), ints(-2)}, "float32[2 n]"},
	{"Slice", nil, list{"4 n", ints(0), ints(2), ints(1)}, "float32[4 ?]"},
	{"Slice", nil, list{"4", ints(0), ints(2), ints(0), ints(0)}, "step 0 along axis 0"},
	{"Slice", nil, list{"4", ints(0, 0), ints(2)}, "starts [0 0], ends [2], axes [0 1], steps [1 1]"},
	{"Pad", nil, list{"4 n", ints(1, 0, -2, 0)}, "float32[3 n]"},
	{"Pad", nil, list{"4 n", ints(0, 1, 0, 0)}, "float32[4 ?]"},
	{"Pad", nil, list{"4", ints(-3, -2)}, "crops float32[4] by [-3 -2]"},
	{"Pad", nil, list{"4", ints(1)}, "1 pads for float32[4]"},
	{"Expand", nil, list{"3 1", ints(2, 1, 4)}, "float32[2 3 4]"},
	{"Expand", nil, list{"3 1", ints(-1)}, "the new shape is [-1]"},
	{"Squeeze", nil, list{"1 n 1", ints(0, -1)}, "float32[n]"},
	{"Squeeze", nil, list{"2 3", ints(0)}, "axis 0 of float32[2 3] is not 1"},
	{"Unsqueeze", nil, list{"n 3", ints(0, -1)}, "float32[1 n 3 1]"},
	{"Unsqueeze", nil, list{"3", ints(0, 0)}, "axes [0 0] repeat"},
	{"DepthToSpace", op.Attrs{"blocksize": int64(2)}, list{"n 8 3 w"}, "float32[n 2 6 ?]"},
	{"DepthToSpace", op.Attrs{"blocksize": int64(2)}, list{"1 6 3 3"}, "block size 2 on float32[1 6 3 3]"},
	{"SpaceToDepth", op.Attrs{"blocksize": int64(2)}, list{"1 3 6 4"}, "float32[1 12 3 2]"},
	{"SpaceToDepth", op.Attrs{"blocksize": int64(2)}, list{"1 3 6 5"}, "size 5 is not a multiple of 2"},
	{"Resize", nil, list{"n 3 4 w", nil, onnx.Of([]float32{1, 1, 2, 2}, 4)}, "float32[n 3 8 ?]"},
	{"Resize", nil, list{"1 3 4 4", nil, nil, ints(1, 3, 8, 6)}, "float32[1 3 8 6]"},
	{"Resize", nil, list{"1 3 4 4", nil, onnx.Of([]float32{1, 1, -2, 2}, 4)}, "scales are [1 1 -2 2]"},
	{"CumSum", nil, list{"1 n", onnx.Scalar(int64(1))}, "float32[1 n]"},

	{"Gather", op.Attrs{"axis": int64(1)}, list{"2 5 3", "int64 m 4"}, "float32[2 m 4 3]"},
	{"Gather", op.Attrs{"axis": int64(3)}, list{"2 5 3", "int64 4"}, "axis 3 of a tensor of rank 3"},
	{"ScatterND", nil, list{"6 1", "int64 m 1", "m 1"}, "float32[6 1]"},
	{"ScatterND", nil, list{"6 1", "int64 m 1", "int64 m 1"}, "scatters int64 into float32"},
	{"ScatterElements", nil, list{"6", "int64 3", "3"}, "float32[6]"},
	{"Constant", op.Attrs{"value": onnx.Of([]int32{1, 2}, 2, 1)}, nil, "int32[2 1]"},
	{"Constant", op.Attrs{"value_int": int64(3)}, nil, "int64[]"},
	{"Constant", op.Attrs{"value_float": float32(3)}, nil, "float32[]"},
	{"Constant", op.Attrs{"value_ints": []int64{3, 4, 5}}, nil, "int64[3]"},
	{"Constant", op.Attrs{"value_string": "x"}, nil, "carries no tensor"},
	{"Shape", nil, list{"n 3 4"}, "int64[3]"},
	{"Range", nil, list{"int64", "int64", "int64"}, "int64[?]"},
	{"ConstantOfShape", nil, list{ints(2, 3)}, "float32[2 3]"},
	{"ConstantOfShape", op.Attrs{"value": onnx.Of([]int64{1}, 1)}, list{ints(2)}, "int64[2]"},
	{"ConstantOfShape", nil, list{ints(-1)}, "the shape is [-1]"},

	{"ReduceSum", keep0, list{"2 n 4", ints(0, -1)}, "float32[n]"},
	{"ReduceSum", nil, list{"2 n 4"}, "float32[1 1 1]"},
	{"ReduceSum", nil, list{"2 4", ints(2)}, "axis 2 of a tensor of rank 2"},
	{"ReduceMean", op.Attrs{"axes": []int64{0, 2}}, list{"2 n 4"}, "float32[1 n 1]"},
	{"ReduceSumSquare", keep0, list{"2 n 4"}, "float32[]"},
	{"ReduceMax", op.Attrs{"axes": []int64{1}}, list{"2 3"}, "float32[2 1]"},
	{"MatMul", nil, list{"5 1 2 3", "4 3 n"}, "float32[5 4 2 n]"},
	{"MatMul", nil, list{"2 3", "4 3"}, "multiplies float32[2 3] by float32[4 3]"},
	{"MatMul", nil, list{"3", "3 4"}, "multiplies float32[3] by float32[3 4]"},
}

func init() {
	for _, name := range strings.Fields("Exp Log Sqrt Neg Abs Sign Floor Reciprocal Atan Sigmoid Tanh Relu LeakyRelu HardSigmoid HardSwish Softplus Identity") {
		shapeCases = append(shapeCases, shapeCase{name, nil, list{"n 3 ?"}, "float32[n 3 ?]"}, shapeCase{name, nil, list{nil}, "lacks input 0"})
	}
	for _, name := range strings.Fields("Equal Less LessOrEqual Greater GreaterOrEqual") {
		shapeCases = append(shapeCases, shapeCase{name, nil, list{"2 1", "3"}, "bool[2 3]"})
	}
	for _, name := range []string{"And", "Or"} {
		shapeCases = append(shapeCases, shapeCase{name, nil, list{"bool 2 1", "bool 3"}, "bool[2 3]"})
	}
}

// value makes an input from the way a case writes it.
func value(t *testing.T, name string, written any) *onnx.Value {
	switch w := written.(type) {
	case nil:
		return nil
	case *onnx.Tensor:
		return &onnx.Value{Name: name, Type: onnx.TypeOf(w), Const: w}
	case string:
		v := &onnx.Value{Name: name, Type: onnx.Type{DType: onnx.Float, Shape: []onnx.Dim{}}}
		for _, word := range strings.Fields(w) {
			size, err := strconv.ParseInt(word, 10, 64)
			switch {
			case err == nil:
				v.Type.Shape = append(v.Type.Shape, onnx.Dim{Size: size})
			case dtypeNames[word] != onnx.Undefined:
				v.Type.DType = dtypeNames[word]
			default:
				v.Type.Shape = append(v.Type.Shape, onnx.Sym(strings.Trim(word, "?")))
			}
		}
		return v
	}
	t.Fatalf("input %v", written)
	return nil
}

// node makes a node of n untyped outputs.
func node(t *testing.T, c shapeCase, outputs int) *onnx.Node {
	n := &onnx.Node{Name: "n", Op: c.op, Outputs: make([]*onnx.Value, outputs)}
	if _, standard := op.Since(c.op, op.Opset); !standard {
		n.Domain = op.Domain
	}
	for i, in := range c.in {
		n.Inputs = append(n.Inputs, value(t, fmt.Sprintf("x%d", i), in))
	}
	for i := range n.Outputs {
		n.Outputs[i] = &onnx.Value{Name: fmt.Sprintf("y%d", i), Node: n}
	}
	for name, v := range c.attrs {
		n.Attrs = append(n.Attrs, onnx.Attr{Name: name, Value: v})
	}
	return n
}

func TestShapes(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range shapeCases {
		n := node(t, c, strings.Count(c.want, ";")+1)
		types, err := op.InferNode(n)
		got := ""
		if err != nil {
			got = strings.TrimPrefix(err.Error(), "op "+c.op+": ")
		}
		for i, typ := range types[:min(len(types), len(n.Outputs))] {
			got += []string{"; ", ""}[max(0, 1-i)] + typ.String()
		}
		if got != strings.TrimSuffix(c.want, ";") {
			t.Errorf("%s %v %v: %s, want %s", c.op, c.in, c.attrs, got, c.want)
		}
		if err == nil {
			tested[c.op] = true
			agree(t, c, n, types)
		}
	}
	for _, name := range op.Names() {
		if !tested[name] {
			t.Errorf("%s has no shape case", name)
		}
	}
}

// agree holds a rule's answer for static shapes against what the reference computes from ones.
func agree(t *testing.T, c shapeCase, n *onnx.Node, types []onnx.Type) {
	in := make([]*ref.Array, len(n.Inputs))
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		sizes, ok := v.Type.Static()
		if !ok {
			return
		}
		if v.Const != nil {
			in[i] = ref.FromTensor(v.Const)
			continue
		}
		in[i] = &ref.Array{Shape: sizes, Data: slices.Repeat([]float64{1}, int(onnx.NumElements(sizes)))}
	}
	for i, out := range n.Outputs {
		out.Type = types[i]
	}
	got, err := ref.Eval(n, op.Opset, in)
	if err != nil {
		t.Errorf("%s %v %v: %v", c.op, c.in, c.attrs, err)
		return
	}
	for i, typ := range types[:len(n.Outputs)] {
		if sizes, ok := typ.Static(); ok && !slices.Equal(sizes, got[i].Shape) {
			t.Errorf("%s %v %v: output %d is %v by the rule, %v by the reference", c.op, c.in, c.attrs, i, sizes, got[i].Shape)
		}
	}
}

// TestSenseless: whatever its inputs, no rule panics or answers with an impossible type.
func TestSenseless(t *testing.T) {
	inputs := list{nil, "", "3", "n", "2 3", "1 4 4 4", "n 4 h w", "4 4 3 3", "int64 2", ints(), ints(0), ints(-1), ints(-7, 3), ints(0, 1, 0, 1),
		ints(1, 1, 1, 1, -9, 1, 1, 1), onnx.Of([]float32{1, 1, 2, 2}, 4), onnx.Scalar(int64(9))}
	attrs := []op.Attrs{nil, {"axis": int64(-2), "axes": []int64{-2}, "perm": []int64{-1, 5}, "kernel_shape": []int64{1}, "blocksize": int64(-1), "to": int64(99)},
		{"axis": int64(9), "axes": []int64{9}, "pads": []int64{1}, "strides": []int64{-1, 0}, "kernel_shape": []int64{2, 2}, "group": int64(-1), "blocksize": int64(2)}}
	for _, name := range op.Names() {
		for _, a := range attrs {
			for _, x := range inputs {
				for _, y := range inputs {
					for _, count := range []int{0, 1, 2, 5} {
						c := shapeCase{op: name, attrs: a, in: list{x, y, y, y, x}[:count]}
						for _, outputs := range []int{1, 3} {
							infer(t, c, node(t, c, outputs))
						}
					}
				}
			}
		}
	}
}

func infer(t *testing.T, c shapeCase, n *onnx.Node) {
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s %v %v: %v", c.op, c.in, c.attrs, r)
		}
	}()
	types, err := op.InferNode(n)
	for _, typ := range types {
		for _, d := range typ.Shape {
			if err == nil && d.Size < onnx.Unknown {
				t.Errorf("%s %v %v: %v", c.op, c.in, c.attrs, typ)
			}
		}
	}
}
