package finetune

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// writeExport writes an export of the model.
func writeExport(t *testing.T, path string, m *model.Model, o export.Options) {
	t.Helper()
	g, err := export.ONNX(m, artifact.Source{File: "small.pt", SHA256: "0123"}, o)
	if err == nil {
		err = wire.Write(path, g)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestONNXSourceTrains: a run from an export trains kernels and biases, leaves
// the frozen ones alone, and its own weights and export are folded too.
func TestONNXSourceTrains(t *testing.T) {
	fixture.NeedORT(t)
	o := smallRun(t)
	o.Weights = filepath.Join(t.TempDir(), "exported.onnx")
	writeExport(t, o.Weights, fixture.SmallModel(t), export.Options{Dynamic: true})
	report := mustRun(t, o, &quiet{t: t})
	before, err := model.Load(o.Weights)
	if err != nil {
		t.Fatal(err)
	}
	if report.Frozen.Tensors != 2 {
		t.Errorf("%d tensors frozen, want kernel and bias of layer 0", report.Frozen.Tensors)
	}
	for _, name := range []string{"last.safetensors", "best.onnx"} {
		after, err := model.Load(filepath.Join(report.RunDir, "weights", name))
		if err != nil {
			t.Fatal(err)
		}
		if !after.Net.Folded || len(after.State) != len(before.State) {
			t.Fatalf("%s: folded %t, %d tensors", name, after.Net.Folded, len(after.State))
		}
		for tensor, was := range before.State {
			frozen, same := strings.HasPrefix(tensor, "model.0."), slices.Equal(after.State[tensor].Raw, was.Raw)
			if frozen != same && !strings.HasPrefix(tensor, "model.4.") { // the head is made anew
				t.Errorf("%s: %s: frozen %t, unchanged %t", name, tensor, frozen, same)
			}
		}
	}
}

// TestExportsValidateAlike: YOLOv5's own exports, float32 and float16, have the
// average precision of the checkpoint, as LoadForVal reads them.
func TestExportsValidateAlike(t *testing.T) {
	folder := shared.Path(t)
	if testing.Short() {
		t.Skip("validates 128 pictures three times")
	}
	fixture.NeedORT(t)
	set, err := format.Open(filepath.Join(folder, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}})
	if err != nil {
		t.Fatal(err)
	}
	want := validated(t, fixture.LoadShared(t, "yolov5n-v7.0.pt"), set.Splits["val"], 320)
	for _, name := range []string{"yolov5n-v7.0-export.onnx", "yolov5n-fp16-export-torch1.14.onnx"} {
		m, err := model.LoadForVal(filepath.Join(folder, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := validated(t, m, set.Splits["val"], 320); math.Abs(got-want) > 0.002 {
			t.Errorf("%s: mAP50 %.4f, the checkpoint has %.4f", name, got, want)
		}
	}
}

// TestExportInt8 calibrates yolov5n on a few pictures of the training split and
// validates the file on others: mAP50 within 0.03 of the float32 model's.
func TestExportInt8(t *testing.T) {
	folder := shared.Path(t)
	if testing.Short() {
		t.Skip("validates 64 pictures twice")
	}
	fixture.NeedORT(t)
	set, err := format.Open(filepath.Join(folder, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"train", "val"}})
	if err != nil {
		t.Fatal(err)
	}
	m := fixture.LoadShared(t, "yolov5n-v7.0.pt")
	const side = 320
	ranges, err := export.Calibrate(t.Context(), m, dataset.SizeOf(side, 0), set.Splits["train"], 32, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "int8.onnx")
	writeExport(t, path, m, export.Options{Batch: 1, Height: side, Width: side, Int8: ranges})
	if _, err := model.Load(path); err == nil || !strings.Contains(err.Error(), "be neither trained nor written anew") {
		t.Errorf("to be trained: %v", err)
	}
	small, err := model.LoadForVal(path)
	if err != nil {
		t.Fatal(err)
	}
	if !small.Quantised() || m.Quantised() {
		t.Errorf("quantised: %t, of the checkpoint %t", small.Quantised(), m.Quantised())
	}
	samples := set.Splits["val"][:64]
	found := [2]float64{validated(t, m, samples, side), validated(t, small, samples, side)}
	t.Logf("mAP50 %.4f in float32, %.4f on integers", found[0], found[1])
	if math.Abs(found[0]-found[1]) > 0.03 {
		t.Errorf("mAP50 %.4f in float32, %.4f on integers", found[0], found[1])
	}
}

// validated is a model's mAP50 on pictures.
func validated(t *testing.T, m *model.Model, samples []dataset.Sample, side int) float64 {
	t.Helper()
	o := validate.Defaults()
	o.Samples, o.ImageSize = samples, side
	v, err := validate.New(m.Net, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Run(t.Context(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e.MAP50
}
