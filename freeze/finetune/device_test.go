package finetune

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// needDevice skips tests of a provider's tier where it does not start.
func needDevice(t *testing.T, kind string) {
	t.Helper()
	needORT(t)
	if _, err := (ort.Device{Kind: kind}).Devices(); err != nil {
		t.Skipf("tier %s: %v", kind, err)
	}
}

// deviceRecordings are replayed on a device by default, the others where
// YOLOFREEZE_DEVICE_TESTS is all: a Vulkan in software takes its time.
var deviceRecordings = []string{"sgd_frozen10_bn_eval", "sgd"}

// TestRecordedStepsWebGPU replays ten steps on the WebGPU provider. The first
// step is held to the limits of the CPU provider: four times the deviation of
// PyTorch's float32 run. What ten steps lead to is held to a share of 1e-3 for
// losses and 2e-2 for the final output; that of Adam grows most.
func TestRecordedStepsWebGPU(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute where the device is software")
	}
	needDevice(t, "webgpu")
	eachRecording(t, func(t *testing.T, r *recording) {
		if !slices.Contains(deviceRecordings, filepath.Base(t.Name())) && os.Getenv("YOLOFREEZE_DEVICE_TESTS") != "all" {
			t.Skip("YOLOFREEZE_DEVICE_TESTS=all replays it too")
		}
		e, err := NewEngine(r.spec(t), ort.Options{Device: "webgpu", Placement: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		needNoFallback(t, e)
		got := replay(t, r, float32Runner{e}, r.tolerance)
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

// TestPlacementWebGPU: every node of real models' training and optimizer graphs
// runs on the device, and evaluation leaves to the CPU only what is explained.
func TestPlacementWebGPU(t *testing.T) {
	needDevice(t, "webgpu")
	for _, c := range []struct {
		weights, freeze, bn, optimizer string
	}{
		{"yolov5n-v7.0.pt", "0", "eval", "SGD"},
		{"yolov5n-v7.0.pt", "10", "batch", "Adam"},
		{"focus-spp-v5style-H2B-2class.pt", "1", "eval", "AdamW"}, // Focus is frozen, SPP is not
	} {
		t.Run(c.weights+" "+c.freeze, func(t *testing.T) {
			o := ort.Options{Device: "webgpu", Placement: true}
			e, err := NewEngine(specOf(t, loadShared(t, c.weights), c.freeze, c.bn, c.optimizer), o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
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

// TestStateStaysOnWebGPU trains twenty steps there and on the CPU: losses are
// equal within 1 %, and what crosses is pictures, matches and scalars, to the byte.
func TestStateStaysOnWebGPU(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute where the device is software")
	}
	needDevice(t, "webgpu")
	s := specOf(t, loadShared(t, "yolov5n-v7.0.pt"), "10", "eval", "SGD")
	s.Batch = 1
	images, matches := randomBatch(s)
	const steps = 20
	var losses [2][steps]Losses
	for i, device := range []string{"cpu", "webgpu"} {
		e, err := NewEngine(s, ort.Options{Device: device})
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
		if device == "cpu" {
			if moved != (Traffic{}) {
				t.Errorf("moved %+v on the CPU provider", moved)
			}
			continue
		}
		in, out := int64(len(images)), int64(4*4+4) // losses, norm
		for level, m := range matches {
			for _, tensor := range matchTensors(level, m) {
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
	for _, device := range []string{"cpu", "webgpu"} {
		t.Run(device, func(t *testing.T) {
			if device != "cpu" {
				needDevice(t, device)
			}
			needORT(t)
			s := specOf(t, loadShared(t, "yolov5n-v7.0.pt"), "24", "eval", "SGD")
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
				e, err := NewEngine(s, ort.Options{Device: device})
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
			resumed.State = half.State(false)
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
				want := whole.State(averaged == 1)
				for i, e := range []*Engine{half, rest, late} {
					for name, got := range e.State(averaged == 1) {
						if !bytes.Equal(got.Raw, want[name].Raw) {
							t.Errorf("engine %d: %s differs, averaged %v", i, name, averaged == 1)
						}
					}
				}
			}
			if fmt.Sprint(whole.Moved()) == fmt.Sprint(Traffic{}) && device != "cpu" {
				t.Error("nothing moved")
			}
		})
	}
}
