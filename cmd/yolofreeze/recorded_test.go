package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/cmd/term"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

// recordedStep is a recording with something frozen.
type recordedStep struct {
	*recorded.Recording
	net *yolov5.Network
}

// TestRecordedThroughCommands makes an artifacts folder of each recorded step
// with something frozen, by convert and by freeze from a plan file, runs the
// folder's graphs, and holds the first step, and the losses of all where
// rounding allows it, to the recording.
func TestRecordedThroughCommands(t *testing.T) {
	if err := ort.Init(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
	frozen := 0
	recorded.Each(t, func(t *testing.T, steps *recorded.Recording) {
		if len(steps.Freeze) == 0 {
			t.Skip("nothing is frozen")
		}
		frozen++
		if steps.ClipNorm != 10 {
			t.Skipf("gradients are clipped at %g, by the commands at 10", steps.ClipNorm)
		}
		net, err := yolov5.ParseTable(steps.YAML, steps.NC)
		if err != nil {
			t.Fatal(err)
		}
		r := &recordedStep{steps, net}
		r.check(t, r.step(t, r.artifacts(t)))
	})
	if frozen == 0 {
		t.Fatal("no recording of a frozen case")
	}
}

// artifacts takes the recording's initial state through the commands. A second
// folder, made from the freeze.yaml that the first one got, must equal it.
func (r *recordedStep) artifacts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	m := &model.Model{Net: r.net, State: r.Init()}
	for i := range r.NC {
		m.Names = append(m.Names, fmt.Sprintf("thing %d", i))
	}
	if err := model.Save(in("init.safetensors"), m); err != nil {
		t.Fatal(err)
	}
	writeYAML(t, in("hyp.yaml"), r.hyp())
	writeYAML(t, in("plan.yaml"), map[string][]string{"freeze": r.Freeze})
	convert := []string{"convert", in("init.safetensors"), "--imgsz", fmt.Sprint(r.ImgSize), "--batch-size", fmt.Sprint(r.Batch),
		"--optimizer", r.Optimizer, "--hyp", in("hyp.yaml"), "-o"}
	command(t, append(convert, in("art"))...)
	command(t, "freeze", in("art"), "--freeze", "@"+in("plan.yaml"), "--bn", r.FrozenBN)
	command(t, append(convert, in("again"))...)
	command(t, "freeze", in("again"), "--freeze", "@"+filepath.Join(in("art"), artifact.PlanFile))
	sameFolder(t, in("art"), in("again"))
	return in("art")
}

// hyp undoes the scaling by classes, picture size, levels and batch that commands do.
func (r *recordedStep) hyp() map[string]float64 {
	hyp := map[string]float64{}
	for name, v := range r.Hyp {
		hyp[name] = v
	}
	levels, side := 3/float64(len(r.net.Anchors)), float64(r.ImgSize)/640
	hyp["box"] /= levels
	hyp["cls"] /= float64(r.NC) / 80 * levels
	hyp["obj"] /= side * side * levels
	recipe := step.Recipe{BatchSize: r.Batch}
	recipe.Hyp.WeightDecay = 1
	hyp["weight_decay"] /= recipe.WeightDecay()
	return hyp
}

func writeYAML(t *testing.T, path string, v any) {
	t.Helper()
	text, err := yaml.Encode(v)
	if err == nil {
		err = os.WriteFile(path, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// command runs the program, which must succeed.
func command(t *testing.T, line ...string) string {
	t.Helper()
	var out, log bytes.Buffer
	if code := run(append([]string{"yolofreeze"}, line...), strings.NewReader(""), &out, &log); code != term.ExitOK {
		t.Fatalf("%q: exit code %d, %s", line, code, log.String())
	}
	return out.String()
}

func sameFolder(t *testing.T, a, b string) {
	t.Helper()
	files, err := fs.Glob(os.DirFS(a), "*")
	if err != nil || len(files) < 6 {
		t.Fatalf("%s holds %q, error %v", a, files, err)
	}
	for _, name := range files {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		if y, err := os.ReadFile(filepath.Join(b, name)); err != nil || !bytes.Equal(x, y) {
			t.Errorf("given the plan that was written, %s becomes another (error %v)", name, err)
		}
	}
}

// step runs the folder's graphs for the recorded steps, holds the losses of each,
// and returns all that the first one puts out, by the name of the state that it
// replaces. Of runs that are not SGD behind a frozen backbone only the first step
// is taken: ten amplify rounding beyond any limit (see finetune's TestRecordedSteps).
func (r *recordedStep) step(t *testing.T, dir string) map[string]*onnx.Tensor {
	t.Helper()
	state, out := map[string]*onnx.Tensor{}, map[string]*onnx.Tensor{}
	for name, tensor := range r.Init() {
		state[name], state[optim.EMA(name)] = tensor, tensor
	}
	training, optimizer := openGraph(t, dir, artifact.TrainingFile), openGraph(t, dir, artifact.OptimizerFile)
	steps := 1
	if r.Optimizer == "SGD" && slices.Contains(r.Freeze, "model.9.") {
		steps = len(r.Losses)
	}
	var first map[string]*onnx.Tensor
	for n := range steps {
		for i := range r.Accumulate {
			state["images"] = r.Tensors[fmt.Sprintf("images/%d", i)]
			targets := recorded.Targets(r.Tensors[fmt.Sprintf("targets/%d", i)])
			for level, m := range r.net.Assign(targets, r.ImgSize, r.ImgSize, r.Hyp["anchor_t"]) {
				maps.Copy(state, m.Tensors(level))
			}
			training.run(t, state, out)
			r.near(t, "losses", "batch", []float64{scalarOf(out[step.OutTotal]), scalarOf(out[step.OutBox]), scalarOf(out[step.OutObj]), scalarOf(out[step.OutCls])},
				r.Losses[n][i][:])
		}
		momentum := r.Hyp["momentum"]
		state[optim.LearningRates] = onnx.Of([]float32{float32(r.LR), float32(r.LR), float32(r.LR)}, 3)
		state[optim.Momentum] = onnx.Scalar(float32(momentum))
		state[optim.EMADecay] = onnx.Scalar(float32(step.EMADecay(n + 1)))
		state[optim.Corrections] = onnx.Of([]float32{float32(1 / (1 - math.Pow(momentum, float64(n+1)))), float32(1 / math.Sqrt(1-math.Pow(optim.Beta2, float64(n+1))))}, 2)
		optimizer.run(t, state, out)
		if n == 0 {
			first = maps.Clone(out)
		}
		for name := range state {
			if strings.HasPrefix(name, optim.Gradient("")) {
				delete(state, name) // a step clears what it has applied
			}
		}
	}
	return first
}

func scalarOf(t *onnx.Tensor) float64 { return t.Float64s()[0] }

// check compares gradients, weights, statistics and averages: each that the
// recording has must come out of the graphs, and no other.
func (r *recordedStep) check(t *testing.T, out map[string]*onnx.Tensor) {
	t.Helper()
	r.near(t, "grad", "norm", out[optim.GradNorm].Float64s(), r.GradNorm[:1])
	compared := 0
	for group, replaced := range map[string]func(string) string{
		"grad": optim.Gradient, "after1": func(name string) string { return name }, "ema1": optim.EMA,
	} {
		for name, init := range r.Init() {
			got, want := out[replaced(name)], r.Tensors[group+"/"+name]
			switch {
			case got == nil && want == nil: // frozen
				continue
			case got == nil:
				t.Errorf("%s %s was recorded, the graphs do not have it", group, name)
				continue
			case want == nil && group == "grad":
				t.Errorf("%s has a gradient in the graphs, none was recorded", name)
				continue
			case want == nil: // moved by less than float32 shows
				want = init
			}
			r.near(t, group, name, got.Float64s(), want.Float64s())
			compared++
		}
	}
	if compared == 0 {
		t.Error("nothing was compared")
	}
}

// near holds values to the recording's limit: losses each by themselves, others
// as a share of their largest entry.
func (r *recordedStep) near(t *testing.T, group, name string, got, want []float64) {
	t.Helper()
	limit := r.Limit(group)
	top := 0.0
	for _, w := range want {
		top = max(top, math.Abs(w))
	}
	if len(got) != len(want) {
		t.Fatalf("%s %s: %d values, want %d", group, name, len(got), len(want))
	}
	for i, w := range want {
		scale := top
		if group == "losses" {
			scale = max(math.Abs(w), 1e-5)
		}
		if d := math.Abs(got[i] - w); !(d <= limit*scale) {
			t.Errorf("%s %s[%d] is %v, recorded %v: off by %.3g of %.3g, limit %.3g", group, name, i, got[i], w, d/scale, scale, limit)
			return
		}
	}
}

// graph is a file of an artifacts folder, opened.
type graph struct {
	*onnx.Model
	*ort.Session
}

func openGraph(t *testing.T, dir, name string) graph {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.Open(data, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return graph{m, s}
}

// run feeds the graph with the state, zeros where there is none yet, and takes over what it yields.
func (g graph) run(t *testing.T, state, out map[string]*onnx.Tensor) {
	t.Helper()
	feeds := map[string]*onnx.Tensor{}
	for _, in := range g.Model.Inputs {
		held := state[in.Name]
		if shape, ok := in.Type.Static(); ok && held == nil {
			held = onnx.NewTensor(in.Type.DType, shape...)
		} else if ok { // the optimizer sees vectors
			held = &onnx.Tensor{DType: held.DType, Shape: shape, Raw: held.Raw}
		}
		feeds[in.Name] = held
	}
	results, err := g.Session.Run(feeds)
	if err != nil {
		t.Fatal(err)
	}
	for name, tensor := range results {
		name = strings.TrimSuffix(name, optim.Out(""))
		state[name], out[name] = tensor, tensor
	}
}
