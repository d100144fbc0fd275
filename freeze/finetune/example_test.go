package finetune_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze"
	"yolofreeze/freeze/finetune"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
)

// silent is a Reporter that says nothing.
type silent struct{}

func (silent) Logf(string, ...any)        {}
func (silent) Warnf(string, ...any)       {}
func (silent) Data(*dataset.Set)          {}
func (silent) Batch(finetune.BatchResult) {}
func (silent) Plan(*freeze.Plan)          {}
func (silent) Validating(int, int)        {}
func (silent) Epoch(finetune.EpochResult) {}

// Ten steps of a small network with its first layer frozen, on drawn shapes.
func ExampleRun() {
	dir, data, weights := fixture.Example(draw)
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

// draw makes eighty pictures to train on, and six to validate on.
func draw(folder string) error {
	return synth.Write(folder, synth.Options{Counts: map[string]int{"train": 80, "val": 6}, Shapes: []string{"ring", "heart"}, Size: 64})
}

// TestExample runs the example above, which cannot skip by itself where there is no
// ONNX Runtime.
func TestExample(t *testing.T) {
	fixture.NeedORT(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if got, want := fixture.Printed(t, ExampleRun), "2 epochs, 10 steps, 3 tensors frozen\nruns/exp/weights/best.safetensors <nil>\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
