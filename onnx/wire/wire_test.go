package wire

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/hostile"
	"yolofreeze/onnx/testkit/shared"
)

// sample uses every kind of attribute, an omitted input, names for sizes and a further domain.
func sample() *onnx.Model {
	in := &onnx.Value{Name: "x", Type: onnx.Type{DType: onnx.Float, Shape: []onnx.Dim{onnx.Sym("batch"), {Size: 3}, {Size: onnx.Unknown}}}}
	w := onnx.Of([]float32{1, -2, float32(math.Inf(1))}, 3, 1)
	init := &onnx.Value{Name: "w", Type: onnx.TypeOf(w), Const: w}
	empty := onnx.NewTensor(onnx.Int64, 0)
	none := &onnx.Value{Name: "none", Type: onnx.TypeOf(empty), Const: empty}
	mul := &onnx.Node{Name: "mul", Op: "Mul", Inputs: []*onnx.Value{in, init}}
	y := &onnx.Value{Name: "y", Node: mul}
	mul.Outputs = []*onnx.Value{y}
	odd := &onnx.Node{Name: "odd", Op: "Odd", Domain: "com.example", Inputs: []*onnx.Value{y, nil, none}, Attrs: []onnx.Attr{
		{Name: "f", Value: float32(0.1)}, {Name: "fs", Value: []float32{1, 2}}, {Name: "i", Value: int64(math.MinInt64)},
		{Name: "is", Value: []int64{0, -1}}, {Name: "none", Value: []int64{}}, {Name: "s", Value: "a\xffb"},
		{Name: "ss", Value: []string{"", "é"}}, {Name: "t", Value: onnx.Scalar(true)}, {Name: "zero", Value: int64(0)},
	}}
	z := &onnx.Value{Name: "z", Node: odd, Type: onnx.Type{DType: onnx.Float16, Shape: []onnx.Dim{}}}
	odd.Outputs = []*onnx.Value{nil, z}
	return &onnx.Model{
		Opset: 17, Domains: map[string]int64{"com.example": 1}, Name: "sample",
		Inputs: []*onnx.Value{in}, Outputs: []*onnx.Value{z}, Initializers: []*onnx.Value{init, none},
		Nodes: []*onnx.Node{mul, odd}, Metadata: map[string]string{"stride": "32", "names": "{0: 'é'}"},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded model differs from the encoded one:\n%#v\n%#v", got, want)
	}
	again, err := Encode(sample())
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("encoding twice gives different bytes (%v)", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*onnx.Model)
		want  string
	}{
		"unverified":     {func(m *onnx.Model) { m.Nodes = m.Nodes[1:] }, `"y", is used before`},
		"no opset":       {func(m *onnx.Model) { m.Opset = 0 }, "opset 0"},
		"untyped output": {func(m *onnx.Model) { m.Outputs[0].Type = onnx.Type{} }, `"z" is an input or output without`},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample()
			c.spoil(m)
			if _, err := Encode(m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	for range 2 { // the second time over an existing file
		if err := Write(path, sample()); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Read(path)
	if err != nil || !reflect.DeepEqual(m, sample()) {
		t.Errorf("read back: %v", err)
	}
	if err := Write(filepath.Join(dir, "nowhere", "m.onnx"), sample()); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("write into a missing folder: %v", err)
	}
	bad := sample()
	bad.Opset = 0
	if err := Write(path, bad); err == nil {
		t.Error("wrote a model without an opset")
	}
	left, _ := os.ReadDir(dir)
	if m, err := Read(path); len(left) != 1 || err != nil || m.Opset != 17 {
		t.Errorf("after failures: %d files, %v", len(left), err)
	}
}

func TestRealExports(t *testing.T) {
	for _, c := range []struct {
		file                string
		nodes, initializers int
		input, output       string
	}{
		{"yolov5n-v7.0-export.onnx", 578, 123, "float32[batch 3 height width]", "float32[batch anchors Concatoutput0_dim_2]"},
		{"yolov5n-fp16-export-torch1.14.onnx", 263, 120, "float16[1 3 640 640]", "float16[1 25200 85]"},
	} {
		t.Run(c.file, func(t *testing.T) {
			m, err := Read(shared.Path(t, "models", c.file))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Verify(); err != nil {
				t.Error(err)
			}
			if m.Opset != 17 || len(m.Nodes) != c.nodes || len(m.Initializers) != c.initializers ||
				m.Inputs[0].Type.String() != c.input || m.Outputs[0].Type.String() != c.output || m.Metadata["stride"] != "32" {
				t.Errorf("opset %d, %d nodes, %d initializers, %v -> %v, stride %q", m.Opset, len(m.Nodes), len(m.Initializers),
					m.Inputs[0].Type, m.Outputs[0].Type, m.Metadata["stride"])
			}
			first, err := Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			m, err = Decode(first)
			if err != nil {
				t.Fatal(err)
			}
			if second, err := Encode(m); err != nil || !bytes.Equal(first, second) {
				t.Errorf("writing what was read changes the bytes (%v)", err)
			}
		})
	}
}

// TestCut cuts and flips a good file everywhere: always a model or one line of error.
func TestCut(t *testing.T) {
	good, err := Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	whole := len(good) - len(metadataOf(sample()))
	for i := range good {
		if i < whole { // what is cut off behind the last opset_import, protobuf cannot know
			mustRefuse(t, good[:i], "")
		}
		for bit := range 8 {
			damaged := bytes.Clone(good)
			damaged[i] ^= 1 << bit
			if m, err := Decode(damaged); err == nil {
				if err := m.Verify(); err != nil {
					t.Errorf("byte %d, bit %d: decoded, but %v", i, bit, err)
				}
			} else if !strings.Contains(err.Error(), "onnx ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
}

// metadataOf returns the end of an encoded model, from the further domains on.
func metadataOf(m *onnx.Model) []byte {
	var all, head buffer
	all.model(m)
	m.Domains, m.Metadata = nil, nil
	head.model(m)
	return all[len(head):]
}

func mustRefuse(t *testing.T, data []byte, want string) {
	t.Helper()
	_, err := Decode(data)
	var blame interface{ BadInput() bool }
	switch {
	case err == nil:
		t.Errorf("accepted %d bytes, want an error with %q", len(data), want)
	case !errors.As(err, &blame) || !blame.BadInput():
		t.Errorf("error is not the input's: %v", err)
	case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n"):
		t.Errorf("error %q, want it to hold %q on one line", err, want)
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, c := range malformed() {
		f.Add([]byte(c.data))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			return
		}
		if err := m.Verify(); err != nil {
			t.Fatalf("decoded what Verify refuses: %v", err)
		}
		first, err := Encode(m)
		if err != nil {
			return // an output without a type
		}
		back, err := Decode(first)
		if err != nil {
			t.Fatalf("encoded what Decode refuses: %v", err)
		}
		if second, err := Encode(back); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("encoding is not stable: %v", err)
		}
	})
}
