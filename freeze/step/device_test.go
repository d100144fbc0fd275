package step

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
)

// TestRecordedStepsOnDevice replays ten steps on the device. The first step is
// held to the limits of the CPU provider: four times the deviation of PyTorch's
// float32 run. What ten steps lead to is held to a share of 1e-3 for losses and
// 2e-2 for the final output; that of Adam grows most.
func TestRecordedStepsOnDevice(t *testing.T) {
	device := fixture.Device(t)
	recorded.Each(t, func(t *testing.T, steps *recorded.Recording) { // one at a time
		r := newRecording(steps)
		e, err := NewEngine(r.spec(t), fixture.DeviceOptions(device))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		needNoFallback(t, e)
		got := replay(t, r, float32Runner{e}, r.Limit)
		outcomeLimit{1e-3, 2e-2}.check(t, got, r)
		t.Logf("after ten steps off by %+v; moved %+v", r.deviations(got), e.Moved())
	})
}

func needNoFallback(t *testing.T, e *Engine) {
	t.Helper()
	list, err := e.Fallbacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		t.Errorf("%s: %s %q runs on the CPU provider: %q", f.Graph, f.Op, f.Node, f.Why)
	}
}

// TestPlacementOnDevice: every node of real models' training and optimizer graphs
// runs on the device, and evaluation leaves to the CPU only what is explained.
func TestPlacementOnDevice(t *testing.T) {
	o := fixture.DeviceOptions(fixture.Device(t))
	for _, c := range []struct {
		weights, freeze, bn, optimizer string
	}{
		{"yolov5n-v7.0.pt", "0", "eval", "SGD"},
		{"yolov5n-v7.0.pt", "10", "batch", "Adam"},
		{"focus-spp-v5style-H2B-2class.pt", "1", "eval", "AdamW"}, // Focus is frozen, SPP is not
	} {
		t.Run(c.weights+" "+c.freeze, func(t *testing.T) {
			e, err := NewEngine(specOf(t, fixture.LoadShared(t, c.weights), c.freeze, c.bn, c.optimizer), o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			e.Scaler = newScaler() // whose graph is the same in float32
			if err := e.openNorm(); err != nil {
				t.Fatal(err)
			}
			needNoFallback(t, e)
			d, err := NewDetector(e.spec.Net, e.spec.State, o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			list, err := d.Fallbacks()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range list {
				if f.Why == "" {
					t.Errorf("%s: %s %q runs on the CPU provider", f.Graph, f.Op, f.Node)
				}
			}
		})
	}
}

// randomBatch is a batch of noise with six objects a picture.
func randomBatch(s *Spec) ([]uint8, []yolov5.Matches) {
	random := rand.New(rand.NewPCG(0, 0))
	images := make([]uint8, s.Batch*3*s.Height*s.Width)
	for i := range images {
		images[i] = uint8(random.UintN(256))
	}
	var targets []yolov5.Target
	for i := range 6 * s.Batch {
		targets = append(targets, yolov5.Target{Image: i % s.Batch, Class: random.IntN(s.Net.NC), X: random.Float64()*.8 + .1,
			Y: random.Float64()*.8 + .1, W: random.Float64()*.3 + .05, H: random.Float64()*.3 + .05})
	}
	return images, s.Net.Assign(targets, s.Height, s.Width, s.Loss.AnchorT)
}

// TestStateStaysOnDevice trains twenty steps there and on the CPU: losses are
// equal within 1 %, and what crosses is pictures, matches and scalars, to the byte.
func TestStateStaysOnDevice(t *testing.T) {
	device := fixture.Device(t)
	s := specOf(t, fixture.LoadShared(t, "yolov5n-v7.0.pt"), "10", "eval", "SGD")
	s.Batch = 1
	images, matches := randomBatch(s)
	const steps = 20
	var losses [2][steps]Losses
	for i, device := range []ort.Device{{}, device} {
		e, err := NewEngine(s, fixture.DeviceOptions(device))
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		placed := e.Moved().State
		for k := range steps {
			if losses[i][k], err = e.Accumulate(images, matches); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Step(Rates{LR: [3]float64{1e-3, 1e-3, 1e-3}, Momentum: .937, EMADecay: .5}); err != nil {
				t.Fatal(err)
			}
		}
		moved := e.Moved()
		if !fixture.HasMemory(device) {
			if moved != (Traffic{}) {
				t.Errorf("moved %+v on %s", moved, device)
			}
			continue
		}
		in, out := int64(len(images)), int64(4*4+4) // losses, norm
		for level, m := range matches {
			for _, tensor := range m.Tensors(level) {
				in += int64(len(tensor.Raw))
			}
		}
		in += 3*4 + 4 + 4 // learning rates, momentum, averaging
		zeros := int64(steps-1) * 4
		if want := (ort.Moved{In: steps*in + zeros, Out: steps * out}); moved.Steps != want {
			t.Errorf("%d steps moved %+v, want %+v", steps, moved.Steps, want)
		}
		if want := (ort.Moved{In: 2 * placed.In}); moved.State != want || placed.In == 0 {
			t.Errorf("state moved %+v, want %+v: placed, and put there once more at the first step", moved.State, want)
		}
	}
	for k, want := range losses[0] {
		if d := math.Abs(losses[1][k].Total-want.Total) / want.Total; !(d < 0.01) {
			t.Errorf("step %d: loss %g, on the CPU %g", k, losses[1][k].Total, want.Total)
		}
	}
	t.Logf("loss %g to %g, on the CPU to %g", losses[1][0].Total, losses[1][steps-1].Total, losses[0][steps-1].Total)
}

// TestDeviceStateIsKept: state that a caller puts in before the first step, or
// before Upload, is what the device goes on from; Sync and ClearGradients keep to it.
func TestDeviceStateIsKept(t *testing.T) {
	for _, tier := range []string{"cpu", "device"} {
		t.Run(tier, func(t *testing.T) {
			fixture.NeedORT(t)
			limit, device := 0.0, ort.Device{}
			if tier == "device" {
				if device = fixture.Device(t); device.Kind != ort.WebGPU {
					limit = 1e-4 // sums by atomic additions come in any order
				}
			}
			s := specOf(t, fixture.LoadShared(t, "yolov5n-v7.0.pt"), "24", "eval", "SGD")
			s.Batch = 1
			images, matches := randomBatch(s)
			step := func(e *Engine) {
				t.Helper()
				if _, err := e.Accumulate(images, matches); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Step(Rates{LR: [3]float64{1e-2, 1e-2, 1e-2}, Momentum: .9, EMADecay: .5}); err != nil {
					t.Fatal(err)
				}
			}
			engine := func(s *Spec) *Engine {
				t.Helper()
				e, err := NewEngine(s, fixture.DeviceOptions(device))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(e.Close)
				return e
			}
			whole, half := engine(s), engine(s)
			step(whole)
			step(half)
			if _, err := half.Accumulate(images, matches); err != nil { // gradients that are dropped
				t.Fatal(err)
			}
			half.ClearGradients()
			resumed := *s
			resumed.State = half.Weights(false)
			rest, late := engine(&resumed), engine(s)
			for name, moment := range half.Optimizer {
				copy(rest.Optimizer[name].Raw, moment.Raw)
			}
			step(late)
			if err := late.Sync(); err != nil {
				t.Fatal(err)
			}
			for name := range half.Trained {
				copy(late.Trained[name].Raw, half.Trained[name].Raw)
			}
			for name := range half.Optimizer {
				copy(late.Optimizer[name].Raw, half.Optimizer[name].Raw)
			}
			late.Upload()
			for _, e := range []*Engine{whole, half, rest, late} {
				step(e)
			}
			for averaged := range 2 {
				want := whole.Weights(averaged == 1)
				for i, e := range []*Engine{half, rest, late} {
					for name, got := range e.Weights(averaged == 1) {
						if d := deviation(got.Float64s(), want[name].Float64s()); !(d <= limit) {
							t.Errorf("engine %d: %s differs by %g, averaged %v", i, name, d, averaged == 1)
						}
					}
				}
			}
			if fmt.Sprint(whole.Moved()) == fmt.Sprint(Traffic{}) && fixture.HasMemory(device) {
				t.Error("nothing moved")
			}
		})
	}
}
