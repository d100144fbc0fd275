package artifact

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/wire"
)

// sample is a bundle of two layers, the first frozen; side is its only free number.
func sample(t testing.TB, side int) *Bundle {
	t.Helper()
	net := freeze.Network{Layers: 2, Parameters: []freeze.Parameter{
		{Name: "model.0.weight", Shape: []int64{2, 2}}, {Name: "model.1.weight", Shape: []int64{2}},
		{Name: "model.1.running_mean", Shape: []int64{2}, Buffer: true},
	}}
	selectors, err := freeze.Parse([]string{"1"})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := freeze.New(net, selectors)
	if err != nil {
		t.Fatal(err)
	}
	f := &safetensors.File{Metadata: map[string]string{"about": "a test"}, Tensors: map[string]*onnx.Tensor{}}
	for _, p := range net.Parameters {
		f.Tensors[p.Name] = onnx.NewTensor(onnx.Float, p.Shape...)
	}
	b := op.NewBuilder("training")
	x, w := b.Input("x", onnx.Float, onnx.Dims(2, 2)), b.Input("model.1.weight", onnx.Float, onnx.Dims(2))
	b.Output("y", b.Add(b.MatMul(x, b.Param("model.0.weight", f.Tensors["model.0.weight"])), w))
	o := op.NewBuilder("optimizer")
	w = o.Input("model.1.weight", onnx.Float, onnx.Dims(2))
	o.Output("model.1.weight.out", o.Neg(w))
	e := op.NewBuilder("eval")
	e.Output("y", e.Neg(e.Input("x", onnx.Float, onnx.Dims(2, 2))))
	return &Bundle{
		Manifest: Manifest{Version: "test", Source: Source{"a.pt", "00"}, Batch: 4, ImgSize: side, Hyp: map[string]float64{"lr0": 0.01},
			Optimizer: Optimizer{"SGD", 0.0005, 10}},
		Plan: plan, Checkpoint: f, Training: b.Model, Optimizer: o.Model, Eval: e.Model,
	}
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "art")
	b := sample(t, 64)
	if err := Write(dir, b, false); err != nil {
		t.Fatal(err)
	}
	got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Manifest, b.Manifest) {
		t.Errorf("manifest %+v, want %+v", got.Manifest, b.Manifest)
	}
	if string(got.Plan.YAML()) != string(b.Plan.YAML()) {
		t.Errorf("plan\n%s\nwant\n%s", got.Plan.YAML(), b.Plan.YAML())
	}
	for name, m := range map[string]*onnx.Model{TrainingFile: b.Training, OptimizerFile: b.Optimizer, EvalFile: b.Eval} {
		written, err1 := os.ReadFile(filepath.Join(dir, name))
		want, err2 := wire.Encode(m)
		if err := errors.Join(err1, err2); err != nil || string(written) != string(want) {
			t.Errorf("%s is not the graph\n%v (%v)", name, m, err)
		}
	}
	if got.Checkpoint.Metadata["about"] != "a test" || len(got.Checkpoint.Tensors) != 3 {
		t.Errorf("checkpoint %v", got.Checkpoint)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*"))
	hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
	if len(left)+len(hidden) != 1 {
		t.Errorf("beside the folder lie %v %v", left, hidden)
	}
}

// TestReplace: a folder changes as a whole, only when asked, and only a folder of artifacts.
func TestReplace(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "art")
	write := func(side int, replace bool) error { return Write(dir, sample(t, side), replace) }
	if err := errors.Join(os.Mkdir(dir, 0o755), write(64, false)); err != nil {
		t.Fatal("into an empty folder:", err)
	}
	if err := write(96, false); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a folder: %v", err)
	}
	if err := write(128, true); err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir)
	if err != nil || b.Manifest.ImgSize != 128 {
		t.Errorf("after replacing: %v, %v", b, err)
	}
	broken := sample(t, 32)
	delete(broken.Checkpoint.Tensors, "model.1.weight")
	if err := Write(dir, broken, true); err == nil || !strings.Contains(err.Error(), "lacks tensor model.1.weight") {
		t.Errorf("a broken bundle: %v", err)
	}
	if b, err := Open(dir); err != nil || b.Manifest.ImgSize != 128 {
		t.Errorf("after a failure: %v, %v", b, err)
	}
	mine := filepath.Join(root, "mine")
	if err := errors.Join(os.Mkdir(mine, 0o755), os.WriteFile(filepath.Join(mine, "thesis.txt"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"mine": "not an artifacts folder", "mine/thesis.txt": "not a folder"} {
		if err := Write(filepath.Join(root, name), sample(t, 32), true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("over %s: %v, want %q", name, err, want)
		}
	}
	entries, _ := os.ReadDir(root)
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestExchangeByRenames(t *testing.T) {
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	for _, d := range []string{a, b} {
		if err := errors.Join(os.Mkdir(d, 0o755), os.WriteFile(filepath.Join(d, filepath.Base(d)), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := exchangeByRenames(a, b); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{filepath.Join(a, "b"), filepath.Join(b, "a")} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, harm := range map[string]func(*Bundle){
		"tensor model.0.weight is [3] in checkpoint.safetensors, [2 2] in freeze.yaml":  func(b *Bundle) { b.Checkpoint.Tensors["model.0.weight"] = onnx.NewTensor(onnx.Float, 3) },
		"tensor model.0.weight of checkpoint.safetensors is float16, want float32":      func(b *Bundle) { b.Checkpoint.Tensors["model.0.weight"] = onnx.NewTensor(onnx.Float16, 2, 2) },
		"checkpoint.safetensors holds 4 tensors, freeze.yaml speaks of 3":               func(b *Bundle) { b.Checkpoint.Tensors["more"] = onnx.NewTensor(onnx.Float, 2) },
		"training_model.onnx lacks the input model.1.weight, which trains":              func(b *Bundle) { b.Training = b.Eval },
		"optimizer_model.onnx takes model.0.weight as an input, which is frozen":        func(b *Bundle) { b.Optimizer.Inputs[0].Name = "model.0.weight" },
		"input model.1.weight of training_model.onnx is float32[3] for a tensor of [2]": func(b *Bundle) { b.Training.Inputs[1].Type.Shape = onnx.Dims(3) },
	} {
		b, dir := sample(t, 64), filepath.Join(t.TempDir(), "art")
		harm(b)
		if err := Write(dir, b, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: the folder was written", want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	manifest := func(change func(*Manifest)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, ManifestFile)
			data, _ := os.ReadFile(path)
			var m Manifest
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			data, _ = json.Marshal(m)
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := func(name string, change func(data []byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			data, _ := os.ReadFile(path)
			if err := os.WriteFile(path, change(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(data []byte) []byte { data[len(data)-1] ^= 1; return data }
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, name)) }
	}
	cases := map[string]struct {
		harm func(t *testing.T, dir string)
		want string
	}{
		"no manifest":  {remove(ManifestFile), "art: not an artifacts folder"},
		"manifest cut": {file(ManifestFile, func(d []byte) []byte { return d[:40] }), "manifest.json: unexpected end of JSON"},
		"manifest a folder": {func(t *testing.T, dir string) {
			remove(ManifestFile)(t, dir)
			os.Mkdir(filepath.Join(dir, ManifestFile), 0o755)
		}, "not a regular file"},
		"format":         {manifest(func(m *Manifest) { m.Format = 2 }), "format 2 is not known"},
		"batch":          {manifest(func(m *Manifest) { m.Batch = 0 }), "batch 0"},
		"no checksum":    {manifest(func(m *Manifest) { delete(m.Files, EvalFile) }), "files lacks eval_model.onnx"},
		"other list":     {manifest(func(m *Manifest) { m.Frozen[0] = "model.7.weight" }), "or others"},
		"missing graph":  {remove(TrainingFile), "training_model.onnx: is missing"},
		"changed graph":  {file(EvalFile, flip), "eval_model.onnx: is not the file that was written"},
		"junk graph":     {file(TrainingFile, func([]byte) []byte { return []byte("junk") }), "training_model.onnx: is not the file that was written"},
		"cut checkpoint": {file(CheckpointFile, func(d []byte) []byte { return d[:len(d)-4] }), "checkpoint.safetensors: is not the file that was written"},
		"edited plan":    {file(PlanFile, func(d []byte) []byte { return append(d, '#', '\n') }), "freeze.yaml: is not the file that was written"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "art")
			if err := Write(dir, sample(t, 64), false); err != nil {
				t.Fatal(err)
			}
			c.harm(t, dir)
			_, err := Open(dir)
			if bad := (*Error)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), dir) {
				t.Errorf("got %v, want an Error of %q", err, c.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was read")
	}
}
