package finetune

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// someRanges are ranges for a model's activations without pictures.
func someRanges(t *testing.T, m *Model) Ranges {
	t.Helper()
	_, names, err := calibrationGraph(m, 64)
	if err != nil {
		t.Fatal(err)
	}
	ranges := Ranges{}
	for _, name := range names {
		ranges[name] = Range{Low: -1, High: 2}
	}
	return ranges
}

// TestExportInt8Forms: every form of an export is there on integers too, and answers alike.
func TestExportInt8Forms(t *testing.T) {
	needORT(t)
	m := smallModel(t)
	ranges := someRanges(t, m)
	want := decoded(t, exported(t, m, ExportOptions{Batch: 1, Height: 64, Width: 64}), 1, 64, 64)
	for opset := int64(OldestInt8Opset); opset <= NewestOpset; opset++ {
		for _, dynamic := range []bool{false, true} {
			g := exported(t, m, ExportOptions{Batch: 1, Height: 64, Width: 64, Dynamic: dynamic, Opset: opset, Int8: ranges})
			if d := farthest(t, decoded(t, g, 1, 64, 64), want); d == 0 || d > 1 { // of pixels
				t.Errorf("opset %d, dynamic %t: off by %g", opset, dynamic, d)
			}
		}
	}
	for _, o := range []ExportOptions{{Uint8: true}, {NMS: &ExportNMS{Conf: 0.1, IoU: 0.5, MaxDet: 5}, Uint8: true, Dynamic: true}} {
		o.Batch, o.Height, o.Width, o.Int8 = 1, 64, 64, ranges
		b, err := open(exported(t, m, o), ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.session.Run(map[string]*onnx.Tensor{"images": onnx.NewTensor(onnx.Uint8, 1, 64, 64, 3)}); err != nil {
			t.Error(err)
		}
		b.close()
	}
}

func TestExportInt8Refuses(t *testing.T) {
	m := smallModel(t)
	ranges := someRanges(t, m)
	for want, o := range map[string]ExportOptions{
		"float16 is true":         {Half: true, Int8: ranges},
		"opset 12: want float32":  {Opset: 12, Int8: ranges},
		"has no range of values":  {Int8: Ranges{}},
		"opset 21: want 11 to 20": {Opset: 21, Int8: ranges},
	} {
		o.Batch, o.Height, o.Width = 1, 64, 64
		if _, err := Export(m, smallSource, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	m := smallModel(t)
	if _, err := Calibrate(t.Context(), m, 64, nil, 8, ort.Options{}); err == nil || !strings.Contains(err.Error(), "no pictures") {
		t.Errorf("without pictures: %v", err)
	}
	needORT(t)
	path := filepath.Join(t.TempDir(), "none.jpg")
	if err := os.WriteFile(path, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	samples := []dataset.Sample{{Path: path, Width: 10, Height: 10}}
	if _, err := Calibrate(t.Context(), m, 64, samples, 8, ort.Options{}); err == nil || !strings.Contains(err.Error(), "none of the 1 pictures could be read") {
		t.Errorf("without a picture that can be read: %v", err)
	}
}

// TestExportInt8 calibrates yolov5n on a few pictures of the training split and
// validates the file on others: mAP50 within 0.03 of the float32 model's.
func TestExportInt8(t *testing.T) {
	folder := shared.Path(t)
	if testing.Short() {
		t.Skip("validates 64 pictures twice")
	}
	needORT(t)
	set, err := format.Open(filepath.Join(folder, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"train", "val"}})
	if err != nil {
		t.Fatal(err)
	}
	m := loadShared(t, "yolov5n-v7.0.pt")
	const side = 320
	ranges, err := Calibrate(t.Context(), m, side, set.Splits["train"], 32, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "int8.onnx")
	if err := wire.Write(path, exported(t, m, ExportOptions{Batch: 1, Height: side, Width: side, Int8: ranges})); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadModel(path); err == nil || !strings.Contains(err.Error(), "a quantised model cannot be trained") {
		t.Errorf("to be trained: %v", err)
	}
	small, err := LoadForVal(path)
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
func validated(t *testing.T, m *Model, samples []dataset.Sample, side int) float64 {
	t.Helper()
	o := ValDefaults()
	o.Samples, o.ImageSize = samples, side
	v, err := NewValidator(m.Net, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.RunModel(t.Context(), m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e.MAP50
}
