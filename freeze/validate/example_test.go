package validate_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/ort"
)

// How well a model finds what a split shows.
func ExampleValidator() {
	dir, data, weights := fixture.Example(draw)
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
	o := validate.Defaults()
	o.Samples, o.ImageSize = set.Splits["val"], 64
	v, err := validate.New(m.Net, o)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	found, err := v.Run(context.Background(), m, ort.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d pictures, %d objects, mAP50 below 0.1: %t\n", found.Images, found.Instances, found.MAP50 < 0.1)
}

// draw makes six pictures to validate on.
func draw(folder string) error {
	return synth.Write(folder, synth.Options{Counts: map[string]int{"train": 1, "val": 6}, Shapes: []string{"ring", "heart"}, Size: 64})
}

// TestExample runs the example above, which cannot skip by itself where there is no
// ONNX Runtime.
func TestExample(t *testing.T) {
	fixture.NeedORT(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if got, want := fixture.Printed(t, ExampleValidator), "6 pictures, 12 objects, mAP50 below 0.1: true\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
