package ort

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/wire"
)

var update = flag.Bool("update", false, "write probe.onnx anew")

// needLibrary skips tests of the ort tier where there is no shared library.
func needLibrary(t *testing.T) {
	t.Helper()
	if _, err := Find(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
	if err := Init(); err != nil {
		t.Fatal(err)
	}
}

func value(name string, dtype onnx.DType, shape ...onnx.Dim) *onnx.Value {
	return &onnx.Value{Name: name, Type: onnx.Type{DType: dtype, Shape: append([]onnx.Dim{}, shape...)}}
}

func constant(name string, t *onnx.Tensor) *onnx.Value {
	return &onnx.Value{Name: name, Type: onnx.TypeOf(t), Const: t}
}

// graph makes a model of nodes given in order; producers are filled in.
func graph(inputs, outputs, initializers []*onnx.Value, nodes ...*onnx.Node) *onnx.Model {
	for i, n := range nodes {
		n.Name = n.Op + string(rune('0'+i))
		for _, v := range n.Outputs {
			v.Node = n
		}
	}
	return &onnx.Model{Opset: 17, Name: "test", Inputs: inputs, Outputs: outputs, Initializers: initializers, Nodes: nodes}
}

func encode(t *testing.T, m *onnx.Model) []byte {
	t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open1(t *testing.T, m *onnx.Model, o Options) *Session {
	t.Helper()
	needLibrary(t)
	s, err := Open(encode(t, m), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// identity copies x to y.
func identity(dtype onnx.DType, shape ...onnx.Dim) *onnx.Model {
	return unary("Identity", dtype, shape...)
}

func unary(op string, dtype onnx.DType, shape ...onnx.Dim) *onnx.Model {
	x, y := value("x", dtype, shape...), value("y", dtype, shape...)
	return graph([]*onnx.Value{x}, []*onnx.Value{y}, nil,
		&onnx.Node{Op: op, Inputs: []*onnx.Value{x}, Outputs: []*onnx.Value{y}})
}

// add adds: state' = state + delta, both [n].
func add(n int64) *onnx.Model {
	state, delta, next := value("state", onnx.Float, onnx.Dims(n)...), value("delta", onnx.Float, onnx.Dims(n)...), value("next", onnx.Float, onnx.Dims(n)...)
	return graph([]*onnx.Value{state, delta}, []*onnx.Value{next}, nil,
		&onnx.Node{Op: "Add", Inputs: []*onnx.Value{state, delta}, Outputs: []*onnx.Value{next}})
}

func TestProbe(t *testing.T) {
	x, y := value("x", onnx.Float, onnx.Dims(1, 1, 2, 2)...), value("y", onnx.Float, onnx.Dims(1, 1, 2, 2)...)
	w := constant("w", onnx.Of([]float32{2}, 1, 1, 1, 1))
	want := encode(t, graph([]*onnx.Value{x}, []*onnx.Value{y}, []*onnx.Value{w},
		&onnx.Node{Op: "Conv", Inputs: []*onnx.Value{x, w}, Outputs: []*onnx.Value{y}}))
	if *update {
		if err := os.WriteFile("probe.onnx", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(probe, want) {
		t.Error("probe.onnx is not what this test builds; go test -update writes it")
	}
}

func TestEveryType(t *testing.T) {
	for _, c := range []struct {
		name   string
		tensor *onnx.Tensor
	}{
		{"float", onnx.Of([]float32{1.5, -2, 3}, 3)},
		{"double", onnx.Of([]float64{1.5, -2}, 2, 1)},
		{"uint8", onnx.Of([]uint8{0, 127, 255}, 1, 3)},
		{"int32", onnx.Of([]int32{-1, 1 << 30}, 2)},
		{"int64", onnx.Of([]int64{-1, 1 << 40}, 2)},
		{"bool", onnx.Of([]bool{true, false, true}, 3)},
		{"float16", onnx.Of([]float32{0.5, -65504}, 2).ToFloat16()},
		{"scalar", onnx.Scalar(float32(7))},
		{"scalar int64", onnx.Scalar(int64(-7))},
		{"empty", onnx.NewTensor(onnx.Float, 0, 4)},
		{"empty int64", onnx.NewTensor(onnx.Int64, 3, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := onnx.Dims(c.tensor.Shape...)
			if len(shape) > 0 {
				shape[0] = onnx.Sym("n")
			}
			s := open1(t, identity(c.tensor.DType, shape...), Options{})
			out, err := s.Run(map[string]*onnx.Tensor{"x": c.tensor})
			if err != nil {
				t.Fatal(err)
			}
			y := out["y"]
			if y.DType != c.tensor.DType || !slices.Equal(y.Shape, c.tensor.Shape) || !bytes.Equal(y.Raw, c.tensor.Raw) {
				t.Errorf("got %v%v %v, want %v%v %v", y.DType, y.Shape, y.Raw, c.tensor.DType, c.tensor.Shape, c.tensor.Raw)
			}
			// The same into memory of ours.
			into := onnx.NewTensor(c.tensor.DType, c.tensor.Shape...)
			if err := runInto(s, c.tensor, into); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(into.Raw, c.tensor.Raw) {
				t.Errorf("bound output: got %v, want %v", into.Raw, c.tensor.Raw)
			}
		})
	}
}

func runInto(s *Session, x, y *onnx.Tensor) error {
	b, err := s.Bind()
	if err != nil {
		return err
	}
	defer b.Close()
	vx, err := NewValue(x)
	if err != nil {
		return err
	}
	defer vx.Close()
	vy, err := NewValue(y)
	if err != nil {
		return err
	}
	defer vy.Close()
	return errors.Join(b.Input("x", vx), b.Output("y", vy), b.Run())
}

func TestStateInPlace(t *testing.T) {
	const n = 1000
	s := open1(t, add(n), Options{Threads: 2})
	state, delta := onnx.NewTensor(onnx.Float, n), onnx.NewTensor(onnx.Float, n)
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	// The values are reachable through the binding alone while the collector runs.
	func() {
		vs, err := NewValue(state)
		if err != nil {
			t.Fatal(err)
		}
		vd, err := NewValue(delta)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Input("state", vs), b.Input("delta", vd), b.Output("next", vs)); err != nil {
			t.Fatal(err)
		}
	}()
	for step := range 50 {
		for i := range onnx.Data[float32](delta) {
			onnx.Data[float32](delta)[i] = float32(i)
		}
		if step%10 == 0 {
			garbage()
		}
		if err := b.Run(); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range onnx.Data[float32](state) {
		if v != 50*float32(i) {
			t.Fatalf("state[%d] = %v after 50 steps of %d", i, v, i)
		}
	}
}

// garbage has the collector run over fresh allocations, so that memory it had
// wrongly freed would be overwritten.
func garbage() {
	runtime.GC()
	for range 100 {
		junk := make([]byte, 4000)
		for i := range junk {
			junk[i] = 0xff
		}
	}
	runtime.GC()
}

func TestLeakedValue(t *testing.T) {
	needLibrary(t)
	for range 20 {
		if _, err := NewValue(onnx.NewTensor(onnx.Float, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	garbage() // a Pinner collected while pinning would end the program here
}

// TestOutputAuto runs one binding with shapes that differ from run to run.
func TestOutputAuto(t *testing.T) {
	s := open1(t, identity(onnx.Float, onnx.Sym("n")), Options{})
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.OutputAuto("y"); err != nil {
		t.Fatal(err)
	}
	var first *onnx.Tensor
	for _, n := range []int64{3, 5, 0, 2} {
		x := onnx.NewTensor(onnx.Float, n)
		for i := range x.Len() {
			onnx.Data[float32](x)[i] = float32(10*n) + float32(i)
		}
		v, err := NewValue(x)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Input("x", v), b.Run()); err != nil {
			t.Fatal(err)
		}
		y, err := b.Fetch("y")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(y.Shape, []int64{n}) || !bytes.Equal(y.Raw, x.Raw) {
			t.Errorf("run of %d elements gave %v %v", n, y.Shape, y.Float32s())
		}
		if first == nil {
			first = y
		}
		v.Close()
	}
	if got := first.Float32s(); !slices.Equal(got, []float32{30, 31, 32}) {
		t.Errorf("the first run's result changed to %v", got)
	}
}

func TestBindingRefuses(t *testing.T) {
	s := open1(t, add(4), Options{})
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	make1 := func(x *onnx.Tensor) *Value {
		v, err := NewValue(x)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	good, closed := make1(onnx.NewTensor(onnx.Float, 4)), make1(onnx.NewTensor(onnx.Float, 4))
	closed.Close()
	closed.Close()
	for _, c := range []struct {
		err  error
		want string
	}{
		{b.Input("stat", good), `no input "stat"`},
		{b.Output("state", good), `no output "state"`},
		{b.Input("state", make1(onnx.NewTensor(onnx.Double, 4))), "input state: the model wants float32[4], the tensor is float64[4]"},
		{b.Input("state", make1(onnx.NewTensor(onnx.Float, 5))), "input state: the model wants float32[4], the tensor is float32[5]"},
		{b.Output("next", make1(onnx.NewTensor(onnx.Float, 2, 2))), "output next: the model wants float32[4], the tensor is float32[2 2]"},
		{b.Input("state", closed), "input state: the value is closed"},
		{errors.Join(b.Input("state", good), b.OutputAuto("next"), b.Run()), "delta"},
		{second(b.Fetch("nothing")), `no output "nothing"`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got error %v, want %q in it", c.err, c.want)
		}
	}
	later := make1(onnx.NewTensor(onnx.Float, 4))
	if err := b.Input("delta", later); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(); err != nil {
		t.Fatal(err)
	}
	later.Close()
	if err := b.Run(); err == nil || !strings.Contains(err.Error(), "delta is closed") {
		t.Errorf("running with a closed value: %v", err)
	}
	b.Close()
	b.Close()
	if err := b.Run(); err == nil {
		t.Error("a closed binding ran")
	}
}

func second[T any](_ T, err error) error { return err }

func TestValueRefuses(t *testing.T) {
	needLibrary(t)
	for _, c := range []struct {
		tensor *onnx.Tensor
		want   string
	}{
		{&onnx.Tensor{DType: onnx.String, Shape: []int64{1}}, "string"},
		{&onnx.Tensor{DType: onnx.Float, Shape: []int64{3}, Raw: make([]byte, 8)}, "holds 8 bytes, not 12"},
		{&onnx.Tensor{DType: onnx.Float, Shape: []int64{-1}}, "negative"},
		{&onnx.Tensor{DType: onnx.Float, Shape: []int64{2}, Raw: make([]byte, 64)[1:9]}, "aligned"},
	} {
		if _, err := NewValue(c.tensor); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v%v: got error %v, want %q in it", c.tensor.DType, c.tensor.Shape, err, c.want)
		}
	}
}

func TestSessionDescribes(t *testing.T) {
	s := open1(t, identity(onnx.Uint8, onnx.Sym("batch"), onnx.Dim{Size: 3}), Options{Optimize: OptNone, NoMemPattern: true, NoPrepack: true, ShrinkArena: true})
	if got := s.Inputs(); len(got) != 1 || got[0].Name != "x" || got[0].Type.String() != "uint8[batch 3]" {
		t.Errorf("inputs %v", got)
	}
	if got := s.Device().String(); got != "cpu" {
		t.Errorf("device %q", got)
	}
	if _, err := s.Run(map[string]*onnx.Tensor{"x": onnx.NewTensor(onnx.Uint8, 2, 3)}); err != nil {
		t.Error(err)
	}
}

func TestProfile(t *testing.T) {
	s := open1(t, add(4), Options{NoArena: true, Profile: filepath.Join(t.TempDir(), "trace")})
	feeds := map[string]*onnx.Tensor{"state": onnx.NewTensor(onnx.Float, 4), "delta": onnx.NewTensor(onnx.Float, 4)}
	if _, err := s.Run(feeds); err != nil {
		t.Fatal(err)
	}
	file, err := s.EndProfile()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || !bytes.Contains(data, []byte("Add0")) {
		t.Errorf("profile %s: %v; it does not tell of node Add0", file, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	needLibrary(t)
	good := encode(t, add(1))
	for _, c := range []struct {
		name  string
		model []byte
		o     Options
		want  string
	}{
		{"no model", nil, Options{}, "opening a session on cpu"},
		{"not a model", []byte("not a model at all"), Options{}, "opening a session on cpu"},
		{"arena", good, Options{NoArena: true, ShrinkArena: true}, "exclude each other"},
		{"unknown level", good, Options{Optimize: 9}, "level 9"},
		{"options without a provider", good, Options{ProviderOptions: map[string]string{"device_id": "0"}}, "CPU provider takes no provider options"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Open(c.model, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q in it", err, c.want)
			}
		})
	}
}
