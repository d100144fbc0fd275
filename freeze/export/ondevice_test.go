package export

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

// onDevice writes the folder of the small model with its backbone frozen.
func onDevice(t *testing.T, algorithm string) (dir string, o BundleOptions, d *artifact.OnDevice) {
	t.Helper()
	m := fixture.SmallModel(t)
	plan, err := m.Plan([]string{"backbone"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	o = BundleOptions{"test", 2, 64, 0, hyp, algorithm}
	if d, err = OnDevice(m, plan, o); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "on-device")
	if err := artifact.WriteOnDevice(dir, d, false); err != nil {
		t.Fatal(err)
	}
	return dir, o, d
}

func TestOnDevice(t *testing.T) {
	dir, _, d := onDevice(t, "AdamW")
	for _, g := range []*onnx.Model{d.Training, d.Eval} {
		if err := testkit.Sound(g); err != nil {
			t.Error(err)
		}
		if err := op.Check(g); err != nil {
			t.Error(err)
		}
	}
	if len(d.State.Trainable) != 5 || len(d.State.Frozen) != len(fixture.SmallModel(t).State)-5 {
		t.Errorf("%d tensors train, %d are frozen", len(d.State.Trainable), len(d.State.Frozen))
	}
	m, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := fixture.SmallModel(t)
	if !slices.Equal(m.Names, want.Names) || !slices.Equal(m.Freeze, []string{"model.0", "model.1", "model.2"}) {
		t.Errorf("names %q, frozen %q", m.Names, m.Freeze)
	}
	for name, tensor := range want.State {
		if !slices.Equal(m.State[name].Raw, tensor.Raw) {
			t.Errorf("%s differs", name)
		}
	}
	info, err := model.Inspect(dir)
	if err != nil || info.Kind != model.KindOnDevice || info.Layers[2].Trainable || !info.Layers[3].Trainable {
		t.Errorf("inspected: %v, %+v", err, info)
	}
	if err := artifact.WriteOnDevice(dir, d, false); err == nil {
		t.Error("was written over")
	}
	if err := artifact.WriteOnDevice(dir, d, true); err != nil {
		t.Error(err)
	}
	if err := artifact.WriteOnDevice(filepath.Dir(dir), d, true); err == nil {
		t.Error("another folder was written over")
	}
}

// TestOnDeviceSteps: ONNX Runtime's own training API steps our folder as our
// engine steps the same network, and what it saves and exports is read here.
// $YOLOFREEZE_ORT_TRAINING names a Python with onnxruntime-training 1.19.2.
func TestOnDeviceSteps(t *testing.T) {
	python := os.Getenv("YOLOFREEZE_ORT_TRAINING")
	if python == "" {
		t.Skip("YOLOFREEZE_ORT_TRAINING names no Python with onnxruntime-training")
	}
	fixture.NeedORT(t)
	for _, algorithm := range []string{"SGD", "AdamW"} {
		t.Run(algorithm, func(t *testing.T) { onDeviceSteps(t, python, algorithm) })
	}
}

func onDeviceSteps(t *testing.T, python, algorithm string) {
	const steps, lr = 4, 0.01
	dir, o, _ := onDevice(t, algorithm)
	e, matches, images := onDeviceEngine(t, o)
	defer e.Close()
	batch := map[string]*onnx.Tensor{"images": onnx.Of(images, 2, 3, 64, 64)}
	for i, m := range matches {
		for name, tensor := range m.Tensors(i) {
			batch[name] = tensor
		}
	}
	file := filepath.Join(t.TempDir(), "batch.safetensors")
	if err := safetensors.Write(file, &safetensors.File{Tensors: batch}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, filepath.Join("testdata", "on_device.py"), dir, file, strconv.Itoa(steps), strconv.FormatFloat(lr, 'g', -1, 64))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs struct {
		Eval  [4]float64
		Steps [][4]float64
	}
	if err := json.Unmarshal(text, &theirs); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if theirs.Eval != theirs.Steps[0] || theirs.Steps[steps-1][0] >= theirs.Steps[0][0] {
		t.Errorf("losses %v of the evaluation, %v of the steps", theirs.Eval, theirs.Steps)
	}
	compared := steps
	if algorithm != "SGD" { // their rule is not ours
		compared = 1
	}
	for i := range compared {
		l, err := e.Accumulate(images, matches)
		if err != nil {
			t.Fatal(err)
		}
		ours := [4]float64{l.Total, l.Box, l.Obj, l.Cls}
		for k := range ours {
			if d := math.Abs(theirs.Steps[i][k] - ours[k]); d > 1e-5*math.Abs(ours[k]) {
				t.Errorf("step %d: losses %v, ours %v", i, theirs.Steps[i], ours)
				break
			}
		}
		if _, err := e.Step(step.Rates{LR: [3]float64{lr, lr, lr}}); err != nil {
			t.Fatal(err)
		}
	}
	after, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range e.Weights(false) {
		got := after.State[name].Float64s()
		for i, w := range want.Float64s() {
			if compared == steps && math.Abs(got[i]-w) > 1e-5*(1+math.Abs(w)) {
				t.Errorf("%s: %g at %d after the steps, ours %g", name, got[i], i, w)
				break
			}
		}
	}
	exported, err := model.Load(filepath.Join(dir, "inference.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if exported.Net.Folded || len(exported.State) != len(after.State) {
		t.Errorf("their export: folded %t, %d tensors", exported.Net.Folded, len(exported.State))
	}
}

// onDeviceEngine is our engine for the folder of onDevice, with SGD as its
// optimizer does it, and a batch.
func onDeviceEngine(t *testing.T, o BundleOptions) (*step.Engine, []yolov5.Matches, []uint8) {
	t.Helper()
	m := fixture.SmallModel(t)
	plan, err := m.Plan([]string{"backbone"}, []string{"all=eval"})
	if err != nil {
		t.Fatal(err)
	}
	loss := step.LossOf(o.Hyp).Scaled(m.Net, int64(o.ImageSize))
	e, err := step.NewEngine(&step.Spec{Net: m.Net, State: m.State, Plan: plan, Batch: o.Batch, Height: o.ImageSize, Width: o.ImageSize,
		Loss: loss, Optimizer: optim.Options{Algorithm: "SGD"}}, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 3))
	images := make([]uint8, o.Batch*3*o.ImageSize*o.ImageSize)
	for i := range images {
		images[i] = uint8(random.Uint32())
	}
	targets := []yolov5.Target{{Image: 0, Class: 1, X: 0.5, Y: 0.5, W: 0.3, H: 0.3}, {Image: 1, Class: 0, X: 0.2, Y: 0.7, W: 0.2, H: 0.4}}
	return e, m.Net.Assign(targets, o.ImageSize, o.ImageSize, loss.AnchorT), images
}
