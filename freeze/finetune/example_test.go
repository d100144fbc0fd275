package finetune_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/finetune"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/ort"
)

// silent is a Reporter that says nothing.
type silent struct{}

func (silent) Logf(string, ...any)        {}
func (silent) Warnf(string, ...any)       {}
func (silent) Data(*dataset.Set)          {}
func (silent) Batch(finetune.BatchResult) {}
func (silent) Validating(int, int)        {}
func (silent) Epoch(finetune.EpochResult) {}

// Ten steps of a small network with its first layer frozen, on drawn shapes.
func ExampleRun() {
	dir, data, weights := made()
	defer os.RemoveAll(dir)
	o := options.Defaults()
	o.Weights, o.Data, o.Freeze = weights, data, []string{"1"}
	o.Epochs, o.BatchSize, o.ImageSize, o.Device = 2, 16, 64, "cpu"
	o.Project, o.NoPlots = filepath.Join(dir, "runs"), true
	summary, err := finetune.Run(context.Background(), o, silent{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(summary.Epochs, "epochs,", summary.Steps, "steps,", summary.Frozen.Tensors, "tensors frozen")
	fmt.Println(filepath.Rel(dir, summary.Best))
}

// How well a model finds what a split shows.
func ExampleValidator() {
	dir, data, weights := made()
	defer os.RemoveAll(dir)
	m, err := model.Load(weights)
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := format.Open(data, dataset.ReadOptions{Splits: []string{"val"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	o := finetune.ValDefaults()
	o.Samples, o.ImageSize = set.Splits["val"], 64
	v, err := finetune.NewValidator(m.Net, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	found, err := v.RunModel(context.Background(), m, ort.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d pictures, %d objects, mAP50 below 0.1: %t\n", found.Images, found.Instances, found.MAP50 < 0.1)
}

// made draws a data set and writes weights that have seen nothing yet.
func made() (dir, data, weights string) {
	dir, err := os.MkdirTemp("", "example")
	if err == nil {
		err = synth.Write(filepath.Join(dir, "shapes"), synth.Options{Counts: map[string]int{"train": 80, "val": 6}, Shapes: []string{"ring", "heart"}, Size: 64})
	}
	small, failed := fixture.Small()
	if err == nil && failed == nil {
		err = model.Save(filepath.Join(dir, "small.safetensors"), small)
	}
	if err != nil || failed != nil {
		panic(fmt.Sprint("make the example's files: ", err, failed))
	}
	return dir, filepath.Join(dir, "shapes", "data.yaml"), filepath.Join(dir, "small.safetensors")
}

// TestExamples runs the examples above, which cannot skip by themselves where
// there is no ONNX Runtime.
func TestExamples(t *testing.T) {
	fixture.NeedORT(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for name, c := range map[string]struct {
		run  func()
		want string
	}{
		"Run":       {ExampleRun, "2 epochs, 10 steps, 3 tensors frozen\nruns/exp/weights/best.safetensors <nil>\n"},
		"Validator": {ExampleValidator, "6 pictures, 12 objects, mAP50 below 0.1: true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := printed(t, c.run); got != c.want {
				t.Errorf("printed %q, want %q", got, c.want)
			}
		})
	}
}

// printed is what a function writes to the standard output.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	f() // prints less than a pipe holds
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
