package validate

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/dataset/yolo"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// TestHeldFeatures: validations behind a cut find what one through all layers
// finds, the later ones exactly what the first one found and without a picture.
func TestHeldFeatures(t *testing.T) {
	fixture.NeedORT(t)
	data := filepath.Join(t.TempDir(), "shapes")
	if err := synth.Write(data, synth.Options{Counts: map[string]int{"train": 1, "val": 6}, Size: 64}); err != nil {
		t.Fatal(err)
	}
	set, err := yolo.Open(filepath.Join(data, "data.yaml"), dataset.ReadOptions{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m, folder := fixture.SmallModel(t), t.TempDir()
	for _, sample := range set.Splits["val"] {
		for i := range sample.Labels {
			sample.Labels[i].Class %= m.Net.NC
		}
	}
	o := Defaults()
	o.Samples, o.BatchSize, o.ImageSize = set.Splits["val"], 4, 64
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	loss := step.LossOf(hyp)
	o.Loss = &loss
	run := func(v *Validator) *Evaluation {
		t.Helper()
		e, err := v.Run(t.Context(), m, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	v, err := New(m.Net, o)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	want := run(v)
	for _, c := range []struct {
		cut   step.Cut
		limit float64
	}{{step.Cut{Layers: 2, DType: onnx.Float}, 1e-5}, {step.Cut{Layers: 3, DType: onnx.Float16}, 1e-2}} {
		if err := v.HoldFeatures(c.cut, folder); err != nil {
			t.Fatal(err)
		}
		first := run(v)
		for _, s := range set.Splits["val"] { // for whoever still looks at them
			if err := os.Rename(s.Path, s.Path+".away"); err != nil {
				t.Fatal(err)
			}
		}
		again := run(v)
		for _, s := range set.Splits["val"] {
			if err := os.Rename(s.Path+".away", s.Path); err != nil {
				t.Fatal(err)
			}
		}
		for i, pair := range [][2]float64{{first.Box, want.Box}, {first.Obj, want.Obj}, {first.Cls, want.Cls}} {
			if !(math.Abs(pair[0]-pair[1]) <= c.limit*pair[1]) {
				t.Errorf("%v: loss %d is %g, %g through all layers", c.cut, i, pair[0], pair[1])
			}
		}
		if first.Box != again.Box || first.Obj != again.Obj || first.Cls != again.Cls || first.MAP != again.MAP || !reflect.DeepEqual(first.PerClass, again.PerClass) {
			t.Errorf("%v: %+v at first, then %+v", c.cut, first, again)
		}
		if first.Images != want.Images || again.Images != want.Images {
			t.Errorf("%v: %d and %d pictures, want %d", c.cut, first.Images, again.Images, want.Images)
		}
	}

	// a full disk costs time and nothing else
	if err := v.HoldFeatures(step.Cut{Layers: 1, DType: onnx.Float}, folder); err != nil {
		t.Fatal(err)
	}
	v.held.file.Close()
	if e := run(v); e.Images != want.Images || v.Lost() == nil {
		t.Errorf("%d pictures where nothing can be written, lost: %v", e.Images, v.Lost())
	}
	if e := run(v); e.Box != want.Box {
		t.Errorf("loss %g afterwards, want %g", e.Box, want.Box)
	}
	v.Close()
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
