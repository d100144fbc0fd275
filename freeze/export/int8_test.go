package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// someRanges are ranges for a model's activations without pictures.
func someRanges(t *testing.T, m *model.Model) Ranges {
	t.Helper()
	_, names, err := calibrationGraph(m, dataset.SizeOf(64, 0))
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
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	ranges := someRanges(t, m)
	want := decoded(t, exported(t, m, Options{Batch: 1, Height: 64, Width: 64}), 1, 64, 64)
	for opset := int64(OldestInt8Opset); opset <= NewestOpset; opset++ {
		for _, dynamic := range []bool{false, true} {
			g := exported(t, m, Options{Batch: 1, Height: 64, Width: 64, Dynamic: dynamic, Opset: opset, Int8: ranges})
			if d := farthest(t, decoded(t, g, 1, 64, 64), want); d == 0 || d > 1 { // of pixels
				t.Errorf("opset %d, dynamic %t: off by %g", opset, dynamic, d)
			}
		}
	}
	for _, o := range []Options{{Uint8: true}, {NMS: &NMS{Conf: 0.1, IoU: 0.5, MaxDet: 5}, Uint8: true, Dynamic: true}} {
		o.Batch, o.Height, o.Width, o.Int8 = 1, 64, 64, ranges
		b, err := step.Open(exported(t, m, o), ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Run(map[string]*onnx.Tensor{"images": onnx.NewTensor(onnx.Uint8, 1, 64, 64, 3)}); err != nil {
			t.Error(err)
		}
		b.Close()
	}
}

func TestExportInt8Refuses(t *testing.T) {
	m := fixture.SmallModel(t)
	ranges := someRanges(t, m)
	for want, o := range map[string]Options{
		"float16 is true":         {Half: true, Int8: ranges},
		"opset 12: want float32":  {Opset: 12, Int8: ranges},
		"has no range of values":  {Int8: Ranges{}},
		"opset 21: want 11 to 20": {Opset: 21, Int8: ranges},
	} {
		o.Batch, o.Height, o.Width = 1, 64, 64
		if _, err := ONNX(m, smallSource, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	m := fixture.SmallModel(t)
	if _, err := Calibrate(t.Context(), m, dataset.SizeOf(64, 0), nil, 8, ort.Options{}); err == nil || !strings.Contains(err.Error(), "no pictures") {
		t.Errorf("without pictures: %v", err)
	}
	fixture.NeedORT(t)
	path := filepath.Join(t.TempDir(), "none.jpg")
	if err := os.WriteFile(path, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	samples := []dataset.Sample{{Path: path, Width: 10, Height: 10}}
	if _, err := Calibrate(t.Context(), m, dataset.SizeOf(64, 0), samples, 8, ort.Options{}); err == nil || !strings.Contains(err.Error(), "none of the 1 pictures could be read") {
		t.Errorf("without a picture that can be read: %v", err)
	}
}
