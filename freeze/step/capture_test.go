package step

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
)

// few are targets of the recorded batch that leave a level without a match.
var few = []yolov5.Target{{Image: 1, Class: 1, X: .4, Y: .4, W: .06, H: .05}}

// course trains some steps: every other one gathers two batches, the third has
// hardly a match, the fifth is smaller, and the second batch of the sixth has
// more matches than there is room for.
func course(t *testing.T, e *Engine, r *recording, steps int) (losses []Losses, norms []float64) {
	t.Helper()
	targets := recorded.Targets(r.Tensors["targets/0"])
	many := targets
	for range 4 {
		many = append(many, many...)
	}
	for step := range steps {
		n, batch := r.Batch, targets
		switch step {
		case 2:
			batch = few
		case 4:
			n--
			batch = nil
			for _, target := range targets {
				if target.Image < n {
					batch = append(batch, target)
				}
			}
		}
		for i := range 1 + step%2 {
			if step == 5 && i == 1 {
				batch = many
			}
			images := r.Tensors["images/0"].Raw[:n*3*r.ImgSize*r.ImgSize]
			l, err := e.AccumulateSized(Inputs{ImagesName: images}, n, r.ImgSize, r.ImgSize, e.spec.Net.Assign(batch, r.ImgSize, r.ImgSize, e.spec.Loss.AnchorT))
			if err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			losses = append(losses, l)
		}
		norm, err := e.Step(Rates{LR: [3]float64{r.LR, r.LR, r.LR}, Momentum: .9, EMADecay: .5})
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		norms = append(norms, norm)
	}
	return losses, norms
}

func sameCourse(t *testing.T, limit float64, got, want *Engine, r *recording) {
	t.Helper()
	gotLosses, gotNorms := course(t, got, r, 8)
	wantLosses, wantNorms := course(t, want, r, 8)
	for i, w := range wantLosses {
		g := gotLosses[i]
		if d := deviation([]float64{g.Total, g.Box, g.Obj, g.Cls}, []float64{w.Total, w.Box, w.Obj, w.Cls}); !(d <= limit) {
			t.Errorf("batch %d: losses %v, want %v", i, g, w)
		}
	}
	if d := deviation(gotNorms, wantNorms); !(d <= limit) {
		t.Errorf("norms %v, want %v", gotNorms, wantNorms)
	}
	for averaged := range 2 {
		g, w := got.Weights(averaged == 1), want.Weights(averaged == 1)
		for name := range w {
			if limit == 0 && !bytes.Equal(g[name].Raw, w[name].Raw) {
				t.Errorf("%s differs, averaged %v", name, averaged == 1)
			} else if d := deviation(g[name].Float64s(), w[name].Float64s()); !(d <= limit) {
				t.Errorf("%s differs by %g, averaged %v", name, d, averaged == 1)
			}
		}
	}
}

// TestRehearse: an engine whose graphs run three times over in the middle of its steps, as the
// first run of each does where the CUDA provider captures it, ends with the same bytes as one
// whose graphs do not. What runs here is the CPU provider.
func TestRehearse(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of training steps")
	}
	for _, c := range []struct {
		recording string
		amp       onnx.DType
	}{{"sgd", onnx.Undefined}, {"adamw", onnx.Undefined}, {"sgd_frozen10_bn_batch", onnx.Float16}} {
		t.Run(c.recording, func(t *testing.T) {
			t.Parallel()
			fixture.NeedORT(t)
			r := newRecording(recorded.Named(t, c.recording))
			var engines [2]*Engine
			for i := range engines {
				s := r.spec(t)
				s.AMP, s.Loss.Capacity = c.amp, leastCapacity
				e, err := NewEngine(s, ort.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				engines[i] = e
			}
			thrice, once := engines[0], engines[1]
			again := func(e *Engine) error {
				for range 3 {
					if err := errors.Join(e.update(e.training), e.update(e.optimizer)); err != nil {
						return err
					}
				}
				return nil
			}
			rehearse := func() {
				t.Helper()
				if err := thrice.runner.rehearse(func() error { return again(thrice) }); err != nil {
					t.Fatal(err)
				}
			}
			rehearse()
			sameCourse(t, 0, thrice, once, r)
			images, targets := r.Tensors["images/0"].Raw, recorded.Targets(r.Tensors["targets/0"])
			for _, e := range engines {
				if _, err := e.Accumulate(images, e.spec.Net.Assign(targets, r.ImgSize, r.ImgSize, e.spec.Loss.AnchorT)); err != nil {
					t.Fatal(err)
				}
			}
			rehearse() // amid gradients, and on moments that are not zero; both enter the second step's loss
			gotLosses, gotNorms := course(t, thrice, r, 2)
			wantLosses, wantNorms := course(t, once, r, 2)
			if !slices.Equal(gotLosses, wantLosses) || !slices.Equal(gotNorms, wantNorms) {
				t.Errorf("losses %v, norms %v, want %v, %v", gotLosses, gotNorms, wantLosses, wantNorms)
			}
			if c := thrice.Capacity(); c <= leastCapacity {
				t.Errorf("capacity %d: no batch made it grow", c)
			}
			// What the comparison is worth: the same runs, nothing put back.
			if err := again(once); err != nil {
				t.Fatal(err)
			}
			_, got := course(t, once, r, 1)
			if _, want := course(t, thrice, r, 1); got[0] == want[0] {
				t.Errorf("norm %g although graphs ran three times more", got[0])
			}
		})
	}
}

// TestCaptureOnDevice: losses, norms and state of captured graphs are those of
// graphs that run as they are, over batches of other sizes and growing room, but
// for the order in which atomic additions come; and a captured graph moves
// nothing by itself.
func TestCaptureOnDevice(t *testing.T) {
	o := fixture.DeviceOptions(fixture.Device(t))
	if err := ort.CheckCapture(o.Device); err != nil {
		t.Skip(err)
	}
	names := []string{"sgd_frozen10_bn_eval"}
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") != "" { // in software it takes its time
		names = append(names, "sgd", "adamw")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := newRecording(recorded.Named(t, name))
			var engines [2]*Engine
			for i := range engines {
				o := o
				o.Capture = i == 0
				s := r.spec(t)
				s.Loss.Capacity = leastCapacity // of both: sums in another order would end elsewhere
				e, err := NewEngine(s, o)
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				engines[i] = e
			}
			captured, plain := engines[0], engines[1]
			sameCourse(t, 2e-3, captured, plain, r)
			for _, b := range []*Bound{captured.training, captured.optimizer} {
				if moved := b.binding.Moved(); moved != (ort.Moved{}) || !b.recorded {
					t.Errorf("recorded %v; a captured graph moved %+v by itself", b.recorded, moved)
				}
			}
			// Its zero goes in once for each set of graphs, not for each step.
			got, want := captured.Moved().Steps, plain.Moved().Steps
			if got.Out != want.Out || !(got.In <= want.In && got.In > want.In-1000) {
				t.Errorf("moved %+v, not captured %+v", got, want)
			}
			t.Logf("moved %+v, not captured %+v", captured.Moved(), plain.Moved())
		})
	}
}

// TestCaptureRefused: where nodes run on the CPU provider, the error names them;
// where nothing captures, it says so.
func TestCaptureRefused(t *testing.T) {
	fixture.NeedORT(t)
	s, err := trialSpec()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewEngine(s, ort.Options{Capture: true}); err == nil || !strings.Contains(err.Error(), "device cpu captures no graphs") {
		t.Errorf("the CPU provider gave %v", err)
	}
	if device := fixture.Device(t); device.Kind != ort.WebGPU {
		t.Skipf("%s has kernels for all of it", device)
	}
	s.Target = pass.WebGPU
	g, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(g.Training.Nodes, func(n *onnx.Node) bool { return n.Op == "Equal" })
	_, err = NewEngine(s, ort.Options{Device: ort.Device{Kind: ort.WebGPU}, Capture: true, ProviderOptions: map[string]string{"forceCpuNodeNames": g.Training.Nodes[i].Name}})
	var refused *UnfitError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "1 Equal") {
		t.Errorf("error %v", err)
	}
	t.Log(err)
}
