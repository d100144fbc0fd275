package finetune

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// TestRatesScaleSteps: one step of SGD from rest moves each parameter by its
// factor times what it moves without, in each stage of a schedule alike.
func TestRatesScaleSteps(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	o := options.Defaults()
	o.Freeze, o.Unfreeze, o.LRScale, o.LRDecay = []string{"3"}, []string{"1:2"}, []string{"backbone=0.5,model.4.m.0.bias=2"}, 0.9
	stages, err := stagesOf(o, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, stage := range stages {
		scaled, plain := *stage.Plan, *stage.Plan
		plain.Rates = freeze.Rates{}
		before, fast, slow := m.State, afterStep(t, m, &plain), afterStep(t, m, &scaled)
		for _, name := range stage.Plan.TrainableNames() {
			want := map[bool]float64{true: 0.5, false: 1}[freeze.Layer(name) < 3]
			if name == "model.4.m.0.bias" {
				want = 2
			}
			want *= math.Pow(0.9, float64(4-freeze.Layer(name)))
			start, a, b := before[name].Float64s(), fast[name].Float64s(), slow[name].Float64s()
			for i := range start {
				whole := a[i] - start[i]
				if d := math.Abs(b[i] - start[i] - want*whole); d > 1e-6+1e-4*math.Abs(whole) {
					t.Fatalf("epoch %d: %s[%d] moves by %g, without a factor by %g; want %g of it", stage.Epoch, name, i, b[i]-start[i], whole, want)
				}
			}
		}
	}
}

// afterStep is the state after one step on gradients of ones.
func afterStep(t *testing.T, m *model.Model, plan *freeze.Plan) map[string]*onnx.Tensor {
	t.Helper()
	e, err := step.NewEngine(&step.Spec{Net: m.Net, State: m.State, Plan: plan, Batch: 1, Height: 64, Width: 64,
		Loss: step.LossOf(options.Defaults().Hyp), Optimizer: optim.Options{Algorithm: "SGD"}}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, g := range e.Gradients {
		for i := range onnx.Data[float32](g) {
			onnx.Data[float32](g)[i] = 1
		}
	}
	if _, err := e.Step(step.Rates{LR: [3]float64{0.1, 0.2, 0.3}, Momentum: 0.9, EMADecay: 0.5}); err != nil {
		t.Fatal(err)
	}
	return e.Weights(false)
}

// TestRatesOfRun: a run states its rates in its files and lines, keeps them
// when it resumes, refuses others, and a run given its freeze.yaml repeats it.
func TestRatesOfRun(t *testing.T) {
	o := smallRun(t)
	o.LRScale, o.LRDecay = []string{"backbone=0.1,1=0.5"}, 0.9
	q := &quiet{t: t}
	dir := mustRun(t, o, q).RunDir
	for _, line := range []string{"learning rate x 0.3645: 15 tensors of layer 1", "learning rate x 0.081: 6 tensors of layer 2", "learning rate x 1: 2 tensors of layer 4"} {
		if !q.heard(line) {
			t.Errorf("no line says %q: %q", line, q.lines)
		}
	}
	for file, want := range map[string]string{
		"opt.yaml":    "lr_scale: [\"backbone=0.1,1=0.5\"]\nlr_decay: 0.9\n",
		"freeze.yaml": "lr_scale: [\"backbone=0.1\", \"1=0.5\"]\nlr_decay: 0.9\n",
	} {
		if text := string(fixture.MustRead(t, filepath.Join(dir, file))); !strings.Contains(text, want) {
			t.Errorf("%s does not say %q:\n%s", file, want, text)
		}
	}

	again := o
	again.Freeze, again.LRScale, again.LRDecay = []string{"@" + filepath.Join(dir, "freeze.yaml")}, nil, 0
	repeated := mustRun(t, again, &quiet{t: t}).RunDir
	for _, name := range []string{"freeze.yaml", "results.csv"} {
		if a, b := fixture.MustRead(t, filepath.Join(dir, name)), fixture.MustRead(t, filepath.Join(repeated, name)); !slices.Equal(a, b) {
			t.Errorf("the run that was given freeze.yaml has another %s:\n%s", name, b)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	stopped := &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel()
		}
	}}
	o.Name = "stopped"
	if _, err := Run(ctx, o, stopped); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	last := resumed(t, filepath.Join(o.Project, o.Name))
	other := last
	other.LRScale, other.LRDecay = nil, 0.5
	_, err := Run(t.Context(), other, &quiet{t: t})
	if want := "lr_decay was 0.9, is 0.5; lr_scale was [backbone=0.1,1=0.5], is []"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want one that ends in %q", err, want)
	}
	mustRun(t, last, &quiet{t: t})
	sameFiles(t, map[string][]byte{
		"results.csv": fixture.MustRead(t, filepath.Join(dir, "results.csv")),
		"freeze.yaml": fixture.MustRead(t, filepath.Join(dir, "freeze.yaml")),
	}, last.ResumeFrom)
}
