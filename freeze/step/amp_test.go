package step

import (
	"bytes"
	"errors"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
)

// TestOverflow: a step whose gradients overflow changes nothing but the scale,
// which falls until they fit; then training goes on.
func TestOverflow(t *testing.T) {
	fixture.NeedORT(t)
	s := specOf(t, fixture.LoadShared(t, "yolov5n-v7.0.pt"), "10", "eval", "SGD")
	s.AMP = onnx.Float16
	e, err := NewEngine(s, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.Scaler.Scale = 1 << 40
	images, matches := randomBatch(s)
	var losses []float64
	var before map[string]*onnx.Tensor
	for range 60 {
		before = map[string]*onnx.Tensor{}
		for name, w := range e.Trained {
			before[name] = w.Clone()
		}
		l, err := e.Accumulate(images, matches)
		if err != nil {
			t.Fatal(err)
		}
		scale, skipped := e.Scaler.Scale, e.Scaler.Skipped
		norm, err := e.Step(Rates{LR: [3]float64{1e-3, 1e-3, 1e-3}, Momentum: .9, EMADecay: .5})
		if err != nil {
			t.Fatal(err)
		}
		if e.Scaler.Skipped == skipped {
			losses = append(losses, l.Total)
			continue
		}
		if norm != 0 || e.Scaler.Scale != scale/2 || len(losses) > 0 {
			t.Fatalf("a step left out: norm %g, scale %g to %g after %d good ones", norm, scale, e.Scaler.Scale, len(losses))
		}
		for _, p := range e.Graphs.Trainable {
			if m := "momentum_buffer/" + p.Name; !bytes.Equal(e.Trained[p.Name].Raw, s.State[p.Name].Raw) || e.Optimizer[m].Float64s()[0] != 0 {
				t.Fatalf("a step left out has moved %s", p.Name)
			}
		}
		for name, g := range e.Gradients {
			if g.Float64s()[0] != 0 {
				t.Fatalf("%s is not cleared", name)
			}
		}
	}
	if e.Scaler.Skipped < 5 || len(losses) < 20 || !(losses[len(losses)-1] < losses[0]) || e.steps != len(losses) {
		t.Errorf("%d steps left out, %d taken (Adam counts %d), losses %v", e.Scaler.Skipped, len(losses), e.steps, losses)
	}
	t.Logf("%+v", *e.Scaler)
}

// TestScaler goes through the rule of PyTorch's GradScaler.
func TestScaler(t *testing.T) {
	s := newScaler()
	check := func(want Scaler) {
		t.Helper()
		if *s != want {
			t.Fatalf("%+v, want %+v", *s, want)
		}
	}
	check(Scaler{Scale: 65536})
	for range 1999 {
		s.Update(false)
	}
	check(Scaler{65536, 1999, 0})
	s.Update(true)
	check(Scaler{32768, 0, 1})
	for range 2000 {
		s.Update(false)
	}
	check(Scaler{65536, 0, 1})
	s.Scale = 0x1p127
	for range 2000 {
		s.Update(false)
	}
	check(Scaler{0x1p127, 0, 1}) // more is no float32
}

// TestPlacementAMP: CUDA has a kernel for every node of graphs in mixed
// precision, all products are in the narrow type but those that it has no such
// kernel for, parameters and gradients in float32.
func TestPlacementAMP(t *testing.T) {
	table := fixture.Kernels(t)
	m := fixture.LoadShared(t, "yolov5n-v7.0.pt")
	for _, products := range []onnx.DType{onnx.Float16, onnx.BFloat16} {
		for _, frozen := range []string{"0", "10", "24"} {
			s := specOf(t, m, frozen, "eval", "SGD")
			s.AMP = products
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*onnx.Model{g.Training, g.Optimizer} {
				for _, line := range append(table.Missing(m, "CUDA"), testkit.CUDAHazards(m)...) {
					t.Errorf("%v, freeze %s: %s", products, frozen, line)
				}
				if err := testkit.Sound(m); err != nil {
					t.Errorf("%v, freeze %s: %v", products, frozen, err)
				}
			}
			count := 0
			for _, n := range g.Training.Nodes {
				if n.Op == "Conv" || n.Op == "MatMul" {
					count++
					if d := n.Inputs[0].Type.DType; d != products {
						t.Errorf("%v, freeze %s: %s %q multiplies %v", products, frozen, n.Op, n.Name, d)
					}
				}
			}
			for _, v := range append(g.Training.Inputs, g.Training.Outputs...) {
				if v.Type.DType == products {
					t.Errorf("freeze %s: %s is %v", frozen, v.Name, products)
				}
			}
			t.Logf("%v, freeze %s: %d products", products, frozen, count)
		}
	}
}

// TestDetectorAMP: the evaluation graph's raw outputs in mixed precision, of a
// checkpoint on noise, are near those in float32, and not the same.
func TestDetectorAMP(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.LoadShared(t, "yolov5n-v7.0.pt")
	images := make([]uint8, 3*128*192)
	for i := range images {
		images[i] = uint8(i * i % 251)
	}
	outputs := func(products onnx.DType) []float64 {
		d, err := NewDetectorFor(m.Net, m.State, Cut{}, products, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		heads := d.Heads(1, 128, 192)
		if err := d.Forward(images, heads, 128, 192); err != nil {
			t.Fatal(err)
		}
		var all []float64
		for _, h := range heads {
			all = append(all, h.Float64s()...)
		}
		return all
	}
	want := outputs(onnx.Undefined)
	for products, limit := range map[onnx.DType]float64{onnx.Float16: 1e-2, onnx.BFloat16: 5e-2} {
		if d := deviation(outputs(products), want); !(d > 0 && d <= limit) {
			t.Errorf("%v: off by %g of the largest output, limit %g", products, d, limit)
		} else {
			t.Logf("%v: off by %g", products, d)
		}
	}
}

// TestBFloat16Devices: a provider without kernels for bfloat16 is refused, as a
// device that cannot do what is asked, before anything runs.
func TestBFloat16Devices(t *testing.T) {
	m := fixture.LoadShared(t, "yolov5n-v7.0.pt")
	engine := specOf(t, m, "24", "eval", "SGD")
	engine.AMP = onnx.BFloat16
	for name, start := range map[string]func() error{
		"engine": func() error {
			_, err := NewEngine(engine, ort.Options{Device: ort.Device{Kind: ort.OpenVINO}})
			return err
		},
		"validation": func() error {
			_, err := NewDetectorFor(m.Net, m.State, Cut{}, onnx.BFloat16, ort.Options{Device: ort.Device{Kind: ort.WebGPU, Index: 1}})
			return err
		},
	} {
		var refused *UnfitError
		if err := start(); !errors.As(err, &refused) || !refused.Unavailable() {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
	}
}
