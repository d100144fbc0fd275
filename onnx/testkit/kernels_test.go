package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/testkit/shared"
)

func kernels(t *testing.T) KernelTable {
	t.Helper()
	table, err := ReadKernels(shared.Path(t, "reference", "ort-kernels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func in(name string, d onnx.DType, sizes ...int64) *onnx.Value {
	return &onnx.Value{Name: name, Type: onnx.Type{DType: d, Shape: onnx.Dims(sizes...)}}
}

// node makes a node whose output has the type of its first input, unless told.
func node(op string, out onnx.DType, attrs []onnx.Attr, inputs ...*onnx.Value) *onnx.Node {
	n := &onnx.Node{Name: "n", Op: op, Attrs: attrs, Inputs: inputs}
	if out == onnx.Undefined {
		out = inputs[0].Type.DType
	}
	n.Outputs = []*onnx.Value{{Name: "y", Type: onnx.Type{DType: out}, Node: n}}
	return n
}

func fixed(name string, t *onnx.Tensor) *onnx.Value {
	return &onnx.Value{Name: name, Type: onnx.TypeOf(t), Const: t}
}

func TestMissing(t *testing.T) {
	table := kernels(t)
	f, d, i64, i32, u8 := in("f", onnx.Float, 1, 3, 8, 8), in("d", onnx.Double, 4), in("i64", onnx.Int64, 4), in("i32", onnx.Int32, 4), in("u8", onnx.Uint8, 4)
	for _, c := range []struct {
		name           string
		opset          int64
		node           *onnx.Node
		cuda, cpuLacks string // "" when a kernel is there, else a part of the line
	}{
		{"conv", 17, node("Conv", 0, nil, f, in("w", onnx.Float, 4, 3, 3, 3)), "", ""},
		{"planted atan", 17, node("Atan", 0, nil, f), `Atan "n": CUDA has no kernel`, ""},
		{"open-ended row", 22, node("MaxPool", 0, nil, f), "CUDA has no kernel at version 22", ""},
		{"uint8 to float", 17, node("Cast", onnx.Float, nil, u8), "", ""},
		{"second constraint", 17, node("Gather", 0, nil, f, in("index", onnx.Float, 1)), "takes no tensor(float) for index (Tind)", "Tind"},
		{"clip int32", 17, node("Clip", 0, nil, i32), "takes no tensor(int32) for i32", ""},
		{"mean of int64", 17, node("ReduceMean", 0, nil, i64), "takes no tensor(int64)", ""},
		{"where of bool", 17, node("Where", onnx.Bool, nil, in("c", onnx.Bool, 4), in("a", onnx.Bool, 4), in("b", onnx.Bool, 4)), "(T)", "(T)"},
		{"double product", 17, node("MatMul", 0, nil, d, d), "", ""},
		{"scatter indices", 17, node("ScatterElements", 0, nil, f, in("index", onnx.Float, 4)), "(Tind)", "(Tind)"},
		{"fused", 17, &onnx.Node{Name: "n", Op: "FusedMatMul", Domain: "com.microsoft", Inputs: []*onnx.Value{f, f}}, "", ""},
		{"fused for the CPU alone", 17, &onnx.Node{Name: "n", Op: "QLinearAdd", Domain: "com.microsoft", Inputs: []*onnx.Value{u8}}, "CUDA has no kernel", ""},
		{"unknown", 17, node("Nonsense", 0, nil, f), "package op knows no version", "package op"},
		{"untyped", 17, node("Neg", 0, nil, &onnx.Value{Name: "v"}), "v has no type", "v has no type"},
		{"constant", 17, &onnx.Node{Name: "n", Op: "Constant"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &onnx.Model{Opset: c.opset, Nodes: []*onnx.Node{c.node}}
			for provider, want := range map[string]string{"CUDA": c.cuda, "CPU": c.cpuLacks} {
				got := strings.Join(table.Missing(m, provider), "\n")
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("%s: got %q, want %q", provider, got, want)
				}
			}
		})
	}
}

// TestOperatorTable: at yolofreeze's opset the CUDA provider has a kernel for
// float tensors of every operator that package op can emit, but these.
func TestOperatorTable(t *testing.T) {
	table := kernels(t)
	without := map[string]bool{"Atan": true}
	for _, name := range op.Names() {
		since, ok := op.Since(name, op.Opset)
		if !ok || name == "Constant" {
			continue
		}
		found := false
		for _, k := range table {
			found = found || k.Provider == "CUDA" && k.Domain == "" && k.Op == name && (k.From == since || k.From <= since && since <= k.To)
		}
		if found == without[name] {
			t.Errorf("%s at version %d: kernel %v, expected %v", name, since, found, !without[name])
		}
	}
}

func TestReadKernelsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"CUDA\t\tConv\t11\t21":          "line 2: 5 columns",
		"CUDA\t\tConv\televen\t21\tT=x": "opset_from",
		"CUDA\t\tConv\t11\tx\tT=x":      "opset_to",
	} {
		path := filepath.Join(t.TempDir(), "k.tsv")
		if err := os.WriteFile(path, []byte("# head\n"+text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKernels(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestCUDAHazards(t *testing.T) {
	f := in("f", onnx.Float, 1, 3, 8, 8)
	shape := in("shape", onnx.Int64, 4)
	ints := func(name string, v ...int64) onnx.Attr { return onnx.Attr{Name: name, Value: v} }
	for _, c := range []struct {
		name string
		node *onnx.Node
		want string // "" when there is none
	}{
		{"reshape to a constant", node("Reshape", 0, nil, f, fixed("s", onnx.Of([]int64{3, 64}, 2))), ""},
		{"reshape to an input", node("Reshape", 0, nil, f, shape), "input 1 (shape) is read on the host"},
		{"omitted host input", node("Resize", 0, nil, f, nil, fixed("scales", onnx.Of([]float32{1, 1, 2, 2}, 4))), ""},
		{"shape", node("Shape", onnx.Int64, nil, f), "on the CPU"},
		{"loop", node("NonZero", onnx.Int64, nil, f), "host"},
		{"symmetric pads", node("Conv", 0, []onnx.Attr{ints("pads", 1, 1, 1, 1)}, f), ""},
		{"asymmetric pads", node("Conv", 0, []onnx.Attr{ints("pads", 0, 0, 1, 1)}, f), "asymmetric"},
		{"same pads", node("Conv", 0, []onnx.Attr{{Name: "auto_pad", Value: "SAME_UPPER"}}, f), "asymmetric"},
		{"training mode", node("BatchNormalization", 0, []onnx.Attr{{Name: "training_mode", Value: int64(1)}}, f), "training_mode"},
		{"mixed batch norm", node("BatchNormalization", 0, nil, in("h", onnx.Float16, 1, 3), f), "one type"},
		{"dilated average", node("AveragePool", 0, []onnx.Attr{ints("dilations", 2, 2)}, f), "wrong values"},
		{"scattered floats", node("ScatterND", 0, []onnx.Attr{{Name: "reduction", Value: "add"}}, f), ""},
		{"scattered integers", node("ScatterElements", 0, []onnx.Attr{{Name: "reduction", Value: "add"}}, in("i", onnx.Int64, 3)), "reduction add of int64"},
		{"one hot", node("OneHot", onnx.Float, nil, in("i", onnx.Int64, 3), fixed("depth", onnx.Scalar(int32(3))), fixed("values", onnx.Of([]float32{0, 1}, 2))), "together"},
		{"nine dimensions", node("Neg", 0, nil, in("x", onnx.Float, 1, 1, 1, 1, 1, 1, 1, 1, 1)), "9 dimensions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(CUDAHazards(&onnx.Model{Opset: 17, Nodes: []*onnx.Node{c.node}}), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := CUDAHazards(&onnx.Model{Opset: 23}); len(got) != 1 {
		t.Errorf("opset 23: %v", got)
	}
}
