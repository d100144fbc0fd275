package finetune

import (
	"bytes"
	"math"
	"os"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
)

// TestRecordedStepsAMP replays ten steps with products in float16, which the
// CPU provider rounds to and computes in float32.
//
// Losses of the first step and weights and averages after it are held to a
// share of 1e-2, losses of ten steps, which diverge from there, to 3e-2.
// Float16 rounds 8192 times as coarsely as float32: predictions are held to 1e-2
// or 8192 times the deviation of PyTorch's float32 run. Single gradients of
// shrunken models, whose BatchNorms see few values, lose more; taken together
// they point the same way, to a cosine of 0.98 and 0.999 where they are well
// conditioned.
func TestRecordedStepsAMP(t *testing.T) {
	o := ort.Options{}
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") != "" { // which may lack float16, as a Vulkan in software does
		o = deviceOptions(testDevice(t))
	}
	eachRecording(t, func(t *testing.T, r *recording) {
		needORT(t)
		s := r.spec(t)
		s.AMP = true
		e, err := NewEngine(s, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		const coarser = 1 << (23 - 10)
		run := &scaledRunner{float32Runner{e}, t, r, 0.98}
		if noise := r.tolerance("grad") / 4; noise*coarser < 1.5 {
			run.cosine = 0.999
		}
		got := replay(t, r, run, func(group string) float64 {
			switch group {
			case "pred":
				return max(1e-2, r.tolerance(group)/4*coarser)
			case "grad":
				return math.Inf(1)
			}
			return 1e-2
		})
		outcomeLimit{3e-2, math.Inf(1)}.check(t, got, r)
		t.Logf("losses off by %.2g, %+v", r.deviations(got).losses, *e.Scaler)
	})
}

// scaledRunner compares the first step's gradients, without the loss's scale,
// as one vector.
type scaledRunner struct {
	float32Runner
	t      *testing.T
	r      *recording
	cosine float64
}

func (s *scaledRunner) Step(rates Rates) (float64, error) {
	if s.steps > 0 {
		return s.Engine.Step(rates)
	}
	var dot, got2, want2 float64
	if err := s.Sync(); err != nil {
		s.t.Fatal(err)
	}
	for name := range s.r.weights {
		want, got := s.r.Tensors["grad/"+name], s.gradients[optim.Gradient(name)]
		if want == nil || got == nil {
			continue
		}
		values := got.Float64s()
		for i, w := range want.Float64s() {
			g := values[i] / s.Scaler.Scale
			dot, got2, want2 = dot+w*g, got2+g*g, want2+w*w
		}
	}
	cosine, ratio := dot/math.Sqrt(got2*want2), math.Sqrt(got2/want2)
	if !(cosine >= s.cosine && math.Abs(ratio-1) < 0.1) {
		s.t.Errorf("gradients: cosine %.5f, want %g; norm %.3g times the recorded one", cosine, s.cosine, ratio)
	}
	norm, err := s.Engine.Step(rates)
	if d := math.Abs(norm/math.Sqrt(got2) - 1); !(d < 1e-5) {
		s.t.Errorf("the norm is %g, the gradients' is %g", norm, math.Sqrt(got2))
	}
	return norm, err
}

// TestOverflow: a step whose gradients overflow changes nothing but the scale,
// which falls until they fit; then training goes on.
func TestOverflow(t *testing.T) {
	needORT(t)
	s := specOf(t, loadShared(t, "yolov5n-v7.0.pt"), "10", "eval", "SGD")
	s.AMP = true
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
		for name, g := range e.gradients {
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
	s := NewScaler()
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
// precision, all products are in float16, parameters and gradients in float32.
func TestPlacementAMP(t *testing.T) {
	table := kernels(t)
	m := loadShared(t, "yolov5n-v7.0.pt")
	for _, frozen := range []string{"0", "10", "24"} {
		s := specOf(t, m, frozen, "eval", "SGD")
		s.AMP = true
		g, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*onnx.Model{g.Training, g.Optimizer} {
			for _, line := range append(table.Missing(m, "CUDA"), testkit.CUDAHazards(m)...) {
				t.Errorf("freeze %s: %s", frozen, line)
			}
			if err := testkit.Sound(m); err != nil {
				t.Errorf("freeze %s: %v", frozen, err)
			}
		}
		products := 0
		for _, n := range g.Training.Nodes {
			if n.Op == "Conv" || n.Op == "MatMul" {
				products++
				if d := n.Inputs[0].Type.DType; d != onnx.Float16 {
					t.Errorf("freeze %s: %s %q multiplies %v", frozen, n.Op, n.Name, d)
				}
			}
		}
		for _, v := range append(g.Training.Inputs, g.Training.Outputs...) {
			if v.Type.DType == onnx.Float16 {
				t.Errorf("freeze %s: %s is float16", frozen, v.Name)
			}
		}
		t.Logf("freeze %s: %d products", frozen, products)
	}
}
