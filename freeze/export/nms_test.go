package export

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// TestExportNMSPads: pictures of which little is found are padded, also where
// the graph has fewer rows than detections are asked for.
func TestExportNMSPads(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	for _, o := range []Options{{Batch: 2, Height: 32, Width: 32}, {Dynamic: true}, {Dynamic: true, Half: true, Uint8: true}} {
		o.NMS = &NMS{Conf: 0.9, IoU: 0.5, MaxDet: 1000}
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			g := exported(t, m, o)
			b, err := step.Open(g, ort.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			images := onnx.NewTensor(onnx.Float, 2, 3, 32, 32)
			if o.Uint8 {
				images = onnx.NewTensor(onnx.Uint8, 2, 32, 32, 3)
			}
			out, err := b.Run(map[string]*onnx.Tensor{"images": images})
			if err != nil {
				t.Fatal(err)
			}
			for name, shape := range map[string][]int64{OutBoxes: {2, 1000, 4}, OutScores: {2, 1000}, OutClasses: {2, 1000}, OutCount: {2, 1}} {
				if !slices.Equal(out[name].Shape, shape) {
					t.Errorf("%s is %v, want %v", name, out[name].Shape, shape)
				}
			}
			if v := onnx.Data[int64](out[OutCount]); v[0] != 0 || v[1] != 0 {
				t.Errorf("counts %v", v)
			}
			if slices.ContainsFunc(onnx.Data[int64](out[OutClasses]), func(c int64) bool { return c != -1 }) {
				t.Error("classes of nothing")
			}
			if slices.ContainsFunc(slices.Concat(out[OutBoxes].Float32s(), out[OutScores].Float32s()), func(v float32) bool { return v != 0 }) {
				t.Error("boxes or scores of nothing")
			}
		})
	}
	for _, bad := range []NMS{{Conf: 1, IoU: 0.5, MaxDet: 1}, {Conf: 0.1, IoU: -1, MaxDet: 1}, {Conf: 0.1, IoU: 0.5}} {
		if _, err := ONNX(m, smallSource, Options{Dynamic: true, NMS: &bad}); err == nil || !strings.Contains(err.Error(), "suppression") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestRecordedExportNMS: suppression inside of yolov5n's export finds on
// photographs what suppression outside finds, in every opset, and the file is
// still a source of weights.
func TestRecordedExportNMS(t *testing.T) {
	folder := shared.Path(t, "golden", "pictures")
	fixture.NeedORT(t)
	f, err := safetensors.Read(filepath.Join(folder, "predictions320.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	m := fixture.LoadShared(t, "yolov5n-v6.0.pt")
	d, err := step.NewDetector(m.Net, m.State, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	outside := metric.NMSOptions{Conf: 0.25, IoU: 0.45, MaxDet: 100}
	for _, agnostic := range []bool{false, true} {
		outside.Agnostic = agnostic
		for opset := int64(OldestOpset); opset <= NewestOpset; opset += 3 {
			o := Options{Dynamic: opset%2 == 0, Batch: 1, Height: 320, Width: 320, Opset: opset, Uint8: opset > 15,
				NMS: &NMS{Conf: outside.Conf, IoU: outside.IoU, MaxDet: outside.MaxDet, Agnostic: agnostic}}
			t.Run(fmt.Sprintf("opset %d agnostic=%t", opset, agnostic), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "nms.onnx")
				if err := wire.Write(path, exported(t, m, o)); err != nil {
					t.Fatal(err)
				}
				e, err := Open(path, ort.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				total := 0
				for name, pixels := range f.Tensors {
					if !strings.HasPrefix(name, "images/") {
						continue
					}
					want, err := d.Detect(pixels.Raw, 1, 320, 320, outside)
					if err != nil {
						t.Fatal(err)
					}
					got, err := e.Detect(pixels.Raw, 1, 320, 320, metric.NMSOptions{})
					if err != nil {
						t.Fatal(err)
					}
					nearDetections(t, got[0], want[0])
					total += len(want[0])
				}
				if total < 10 {
					t.Errorf("only %d detections to compare", total)
				}
				again, err := model.Load(path)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(again.Names, m.Names) || len(again.State) != 120 {
					t.Errorf("read back: %d names, %d tensors", len(again.Names), len(again.State))
				}
			})
		}
	}
}
