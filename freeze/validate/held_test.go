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
		v.HoldFeatures(c.cut, folder)
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

	// a full disk costs time and nothing else: nor does having no folder
	cut := step.Cut{Layers: 3, DType: onnx.Float16}
	v.HoldFeatures(step.Cut{}, "")
	v.HoldFeatures(cut, folder)
	kept := run(v)
	same := func(where string) {
		t.Helper()
		if e := run(v); e.Images != kept.Images || e.Box != kept.Box || e.Obj != kept.Obj || e.MAP != kept.MAP {
			t.Errorf("%s: %+v, with features kept %+v", where, e, kept)
		}
	}
	v.Close()
	v.HoldFeatures(cut, folder)
	v.held.file.Close()
	same("as nothing can be written")
	if v.Lost() == nil {
		t.Error("what could not be written is not told")
	}
	same("after nothing could be written")
	v.Close()
	v.HoldFeatures(cut, "")
	same("without a folder")
	v.Close()
	v.HoldFeatures(cut, filepath.Join(set.Splits["val"][0].Path, "none"))
	if v.Lost() == nil {
		t.Error("a folder below a file is not told")
	}
	same("with a folder that cannot be")
	v.Close()
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
