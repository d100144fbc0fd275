package ort

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
)

// plugged opens a session on a plugin provider, or skips where it does not start.
func plugged(t *testing.T, kind Kind, m *onnx.Model, o Options) *Session {
	t.Helper()
	needLibrary(t)
	o.Device = Device{Kind: kind}
	if err := Check(o.Device, nil); err != nil {
		t.Skipf("tier %s: %v", kind, err)
	}
	return open1(t, m, o)
}

// deviceKinds are devices with a memory of their own.
var deviceKinds = []Kind{WebGPU, OpenVINO, CUDA}

// TestDeviceState keeps state on the device over runs: bound in place, and
// handed on as output of one run and input of the next.
func TestDeviceState(t *testing.T) {
	for _, kind := range append(deviceKinds, CPU) {
		t.Run(kind.String(), func(t *testing.T) {
			const n = 1000
			s := plugged(t, kind, add(n), Options{})
			start, delta := onnx.NewTensor(onnx.Float, n), onnx.NewTensor(onnx.Float, n)
			for i := range n {
				onnx.Data[float32](start)[i] = float32(i)
			}
			state, err := s.Place(start)
			if err != nil {
				t.Fatal(err)
			}
			defer state.Close()
			change, err := NewValue(delta)
			if err != nil {
				t.Fatal(err)
			}
			defer change.Close()
			b, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := errors.Join(b.Input("state", state), b.Input("delta", change), b.Output("next", state)); err != nil {
				t.Fatal(err)
			}
			for step := range 5 {
				// A device must see what the host's tensor holds now, not when it was bound.
				for i := range n {
					onnx.Data[float32](delta)[i] = float32(step)
				}
				if err := b.Run(); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, state, func(i int) float32 { return float32(i) + 10 })
			if moved := b.Moved(); state.OnDevice() && moved != (Moved{In: 5 * 4 * n}) {
				t.Errorf("moved %+v in 5 runs, want the %d bytes of delta each time and nothing back", moved, 4*n)
			}
			// Not in place: each run allocates, the next one takes it over.
			if err := b.OutputDevice("next"); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := b.Run(); err != nil {
					t.Fatal(err)
				}
				next, err := b.Take("next")
				if err != nil {
					t.Fatal(err)
				}
				if next.OnDevice() != state.OnDevice() {
					t.Errorf("state on device %v, output on device %v", state.OnDevice(), next.OnDevice())
				}
				if err := b.Input("state", next); err != nil {
					t.Fatal(err)
				}
				state.Close()
				state = next
			}
			expect(t, state, func(i int) float32 { return float32(i) + 10 + 3*4 })
			// What is brought to the host counts, wherever the run had put it.
			before := b.Moved()
			for _, bind := range []func() error{
				func() error { return b.OutputDevice("next") }, func() error { return b.OutputAuto("next") }, func() error { return b.Output("next", state) },
			} {
				if err := errors.Join(bind(), b.Run(), second(b.Fetch("next"))); err != nil {
					t.Fatal(err)
				}
			}
			if moved := b.Moved(); state.OnDevice() && moved.Out != before.Out+3*4*n {
				t.Errorf("moved %+v, then %+v: want thrice the %d bytes of next back", before, moved, 4*n)
			}
			t.Logf("on device: %v", state.OnDevice())
			if stats, err := s.MemoryStats(); err != nil {
				t.Logf("memory: %v", err)
			} else {
				t.Logf("memory: %v", stats)
			}
		})
	}
}

func expect(t *testing.T, v *Value, want func(i int) float32) {
	t.Helper()
	got, err := v.Fetch()
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range onnx.Data[float32](got) {
		if x != want(i) {
			t.Fatalf("element %d is %v, want %v", i, x, want(i))
		}
	}
}

// TestPlace carries tensors of every type to a device and back.
func TestPlace(t *testing.T) {
	for _, kind := range append(deviceKinds, CPU) {
		t.Run(kind.String(), func(t *testing.T) {
			s := plugged(t, kind, add(1), Options{})
			for _, x := range []*onnx.Tensor{
				onnx.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3), onnx.Scalar(float32(3)), onnx.NewTensor(onnx.Float, 0, 2),
				onnx.Of([]int64{-1, 1 << 40}, 2), onnx.Of([]uint8{0, 1, 255}, 3), onnx.Of([]int32{-5}, 1, 1),
				onnx.Of([]float32{0.5, -2}, 2).ToFloat16(), onnx.Of([]bool{true, false, true, true, false}, 5),
			} {
				v, err := s.Place(x)
				if err != nil {
					t.Errorf("%v%v: %v", x.DType, x.Shape, err)
					continue
				}
				back, err := v.Fetch()
				if err != nil {
					t.Errorf("%v%v: %v", x.DType, x.Shape, err)
				} else if !bytes.Equal(back.Raw, x.Raw) {
					t.Errorf("%v%v: %v came back as %v", x.DType, x.Shape, x.Raw, back.Raw)
				}
				other := onnx.NewTensor(x.DType, x.Shape...)
				if err := errors.Join(v.Write(other), v.Read(x)); err != nil || !bytes.Equal(x.Raw, other.Raw) && kind != CPU {
					t.Errorf("%v%v: written zeros came back as %v, %v", x.DType, x.Shape, x.Raw, err)
				}
				if err := v.Read(onnx.NewTensor(onnx.Double, 7)); err == nil {
					t.Errorf("%v%v: read into another type", x.DType, x.Shape)
				}
				v.Close()
				if err := v.Read(other); err == nil {
					t.Error("a closed value was read")
				}
			}
		})
	}
}

// TestPart updates a part of a value: nothing else of it changes. Where memory has no addresses,
// and beyond its end, there are no parts.
func TestPart(t *testing.T) {
	for _, kind := range append(deviceKinds, CPU) {
		t.Run(kind.String(), func(t *testing.T) {
			s := plugged(t, kind, add(2), Options{})
			whole, err := s.Place(onnx.Of([]float32{0, 1, 2, 3, 4, 5}, 6))
			if err != nil {
				t.Fatal(err)
			}
			defer whole.Close()
			for _, from := range []int64{-1, 5} {
				if _, err := whole.Part(from, 2); err == nil || !strings.Contains(err.Error(), "does not lie within") {
					t.Errorf("two of six elements from %d on: %v", from, err)
				}
			}
			part, err := whole.Part(3, 2)
			if whole.OnDevice() && !s.Device().Addressable() {
				if err == nil || !strings.Contains(err.Error(), "has no addresses") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer part.Close()
			delta, err := NewValue(onnx.Of([]float32{10, 20}, 2))
			if err != nil {
				t.Fatal(err)
			}
			defer delta.Close()
			b, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := errors.Join(b.Input("state", part), b.Input("delta", delta), b.Output("next", part), b.Run()); err != nil {
				t.Fatal(err)
			}
			want := []float32{0, 1, 2, 13, 24, 5}
			expect(t, whole, func(i int) float32 { return want[i] })
			whole.Close()
			if err := b.Run(); err == nil {
				t.Error("a part of a closed value was used")
			}
		})
	}
}

// TestView updates state through a view of another shape, in host and device memory.
func TestView(t *testing.T) {
	for _, kind := range append(deviceKinds, CPU) {
		t.Run(kind.String(), func(t *testing.T) {
			s := plugged(t, kind, add(6), Options{})
			state, err := s.Place(onnx.Of([]float32{0, 1, 2, 3, 4, 5}, 2, 3))
			if err != nil {
				t.Fatal(err)
			}
			defer state.Close()
			if _, err := state.View(7); err == nil {
				t.Error("6 elements were viewed as 7")
			}
			flat, err := state.View(6)
			if err != nil {
				t.Fatal(err)
			}
			defer flat.Close()
			delta, err := NewValue(onnx.Of([]float32{1, 1, 1, 1, 1, 1}, 6))
			if err != nil {
				t.Fatal(err)
			}
			defer delta.Close()
			b, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := errors.Join(b.Input("state", flat), b.Input("delta", delta), b.Output("next", flat), b.Run()); err != nil {
				t.Fatal(err)
			}
			if flat.OnDevice() != state.OnDevice() {
				t.Errorf("value on device %v, its view %v", state.OnDevice(), flat.OnDevice())
			}
			expect(t, state, func(i int) float32 { return float32(i) + 1 })
			expect(t, flat, func(i int) float32 { return float32(i) + 1 })
			state.Close()
			if err := b.Run(); err == nil {
				t.Error("a view of a closed value was run")
			}
			if err := flat.Read(onnx.NewTensor(onnx.Float, 6)); err == nil {
				t.Error("a view of a closed value was read")
			}
		})
	}
}

// TestValueOutlivesSession: what a session placed on its device may be closed after it,
// by hand or by the garbage collector. The process of its own writes over memory that
// is freed, where the provider would else still find its buffers' owner.
func TestValueOutlivesSession(t *testing.T) {
	for _, kind := range deviceKinds {
		t.Run(kind.String(), func(t *testing.T) {
			plugged(t, kind, add(1), Options{}).Close()
			if os.Getenv("MALLOC_PERTURB_") == "" {
				if out, err := rerun(t, "TestValueOutlivesSession/"+kind.String(), "MALLOC_PERTURB_=165"); err != nil {
					t.Errorf("%v\n%.2000s", err, out)
				}
				return
			}
			for i := range 10 {
				s := open1(t, add(1000), Options{Device: Device{Kind: kind}})
				v, err := s.Place(onnx.NewTensor(onnx.Float, 1000))
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
				if err := v.Read(onnx.NewTensor(onnx.Float, 1000)); err == nil && v.OnDevice() {
					t.Error("a value was read without its session")
				}
				if i%2 == 0 {
					v.Close()
				}
				runtime.GC()
			}
		})
	}
}

// TestPadWithinItsInput: WebGPU's Pad, which computes a place in its input for padding
// too, and one far behind it here, does not read there. The process of its own, which
// would end, gives each buffer pages of its own.
func TestPadWithinItsInput(t *testing.T) {
	if os.Getenv("YOLOFREEZE_TEST_PAD") == "" {
		plugged(t, WebGPU, add(1), Options{})
		if out, err := rerun(t, "TestPadWithinItsInput", "YOLOFREEZE_TEST_PAD=1", "MALLOC_MMAP_THRESHOLD_=65536"); err != nil {
			t.Errorf("%v\n%.2000s", err, out)
		}
		return
	}
	const n, m = 64, 1 << 14
	x, y := value("x", onnx.Float, onnx.Dims(n, 1, m)...), value("y", onnx.Float, onnx.Dims(n, 2, m)...)
	pads := constant("pads", onnx.Of([]int64{0, 0, 0, 0, 1, 0}, 6))
	s := open1(t, graph([]*onnx.Value{x}, []*onnx.Value{y}, []*onnx.Value{pads},
		&onnx.Node{Op: "Pad", Inputs: []*onnx.Value{x, pads}, Outputs: []*onnx.Value{y}}), Options{Device: Device{Kind: WebGPU}, Strict: true})
	in := onnx.NewTensor(onnx.Float, n, 1, m)
	for i := range onnx.Data[float32](in) {
		onnx.Data[float32](in)[i] = 1
	}
	out, err := s.Run(map[string]*onnx.Tensor{"x": in})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range onnx.Data[float32](out["y"]) {
		if want := 1 - float32(i/m%2); v != want {
			t.Fatalf("element %d is %g, want %g", i, v, want)
		}
	}
}

func TestPlacement(t *testing.T) {
	s := open1(t, add(4), Options{Placement: true})
	placed, err := s.Placement()
	if want := (Placed{"CPUExecutionProvider", "Add0", "Add"}); err != nil || !slices.Equal(placed, []Placed{want}) {
		t.Errorf("placed %v, %v, want %v", placed, err, want)
	}
	if _, err := open1(t, add(4), Options{}).Placement(); err == nil {
		t.Error("a placement that nobody asked to record")
	}
	for _, kind := range deviceKinds {
		t.Run(kind.String(), func(t *testing.T) {
			placed, err := plugged(t, kind, add(4), Options{Placement: true, Strict: true}).Placement()
			if err != nil || slices.ContainsFunc(placed, func(p Placed) bool { return p.Provider == "CPUExecutionProvider" }) {
				t.Errorf("placed %v, %v", placed, err)
			}
		})
	}
}

// TestStrict: a node that the provider cannot run is an error when that is asked for.
func TestStrict(t *testing.T) {
	needLibrary(t)
	m := identity(onnx.Double, onnx.Dims(4)...) // WebGPU has no float64
	m.Nodes[0].Op = "Neg"
	if _, err := (Device{Kind: WebGPU}).Devices(); err != nil {
		t.Skipf("tier webgpu: %v", err)
	}
	if _, err := Open(encode(t, m), Options{Device: Device{Kind: WebGPU}, Strict: true}); err == nil {
		t.Error("a float64 node passed")
	} else {
		t.Log(err)
	}
	s := open1(t, m, Options{Device: Device{Kind: WebGPU}, Placement: true})
	placed, err := s.Placement()
	if err != nil || !slices.ContainsFunc(placed, func(p Placed) bool { return p.Provider == "CPUExecutionProvider" }) {
		t.Errorf("placed %v, %v", placed, err)
	}
	if out, err := s.Run(map[string]*onnx.Tensor{"x": onnx.Of([]float64{1, 2, 3, 4}, 4)}); err != nil || out["y"].Float64s()[2] != -3 {
		t.Errorf("ran to %v, %v", out, err)
	}
}
