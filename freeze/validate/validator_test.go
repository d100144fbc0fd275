package validate

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/picture"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
)

// TestRecordedPredictions runs the export of yolov5n v6.0 on recorded pictures.
func TestRecordedPredictions(t *testing.T) {
	folder := shared.Path(t, "golden", "pictures")
	fixture.NeedORT(t)
	f, err := safetensors.Read(filepath.Join(folder, "predictions320.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var nms struct {
		Conf, IoU  float64
		Detections map[string][][6]float64
	}
	fixture.ReadJSON(t, filepath.Join(folder, "detect_nms.json"), &nms)
	m := fixture.LoadShared(t, "yolov5n-v6.0.pt")
	export, err := step.BuildExport(m.Net, m.State, 1, 320, 320)
	if err != nil {
		t.Fatal(err)
	}
	b, err := step.Open(export, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	detector, err := step.NewDetector(m.Net, m.State, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer detector.Close()
	o := metric.NMSOptions{Conf: nms.Conf, IoU: nms.IoU, MaxDet: 1000}
	for name, want := range nms.Detections {
		t.Run(name, func(t *testing.T) {
			pixels := f.Tensors["images/"+name]
			scaled := make([]float32, len(pixels.Raw))
			for i, p := range pixels.Raw {
				scaled[i] = float32(p) / 255
			}
			out, err := b.Run(map[string]*onnx.Tensor{"images": onnx.Of(scaled, pixels.Shape...)})
			if err != nil {
				t.Fatal(err)
			}
			rows, recorded := onnx.Data[float32](out["output0"]), f.Tensors["output0/"+name].Float64s()
			worst := 0.0
			for i, w := range recorded {
				worst = max(worst, math.Abs(float64(rows[i])-w)/max(1, math.Abs(w)))
			}
			if !(worst <= 1e-3) {
				t.Errorf("predictions are off by %.3g", worst)
			}
			sameDetections(t, "export", metric.NMS(rows, m.Net.NC, o), want)
			found, err := detector.Detect(pixels.Raw, 1, 320, 320, o)
			if err != nil {
				t.Fatal(err)
			}
			sameDetections(t, "detector", found[0], want)
		})
	}
}

func sameDetections(t *testing.T, from string, got []metric.Detection, want [][6]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d detections, recorded %d", from, len(got), len(want))
	}
	for i, d := range got {
		values := [6]float64{float64(d.X1), float64(d.Y1), float64(d.X2), float64(d.Y2), float64(d.Conf), float64(d.Class)}
		for k, limit := range [6]float64{0.02, 0.02, 0.02, 0.02, 1e-4, 0} {
			if math.Abs(values[k]-want[i][k]) > limit {
				t.Errorf("%s: detection %d is %v, recorded %v", from, i, values, want[i])
				break
			}
		}
	}
}

// recordedValidation is yolov5n v6.0 on the 128 shared photographs.
type recordedValidation struct {
	Shapes map[string][2]int `json:"input_shapes"`
	P, R   float64
	MAP50  float64 `json:"mAP50"`
	MAP    float64 `json:"mAP50_95"`
}

func (want recordedValidation) check(t *testing.T, got metric.Result, curves, means float64) {
	t.Helper()
	for _, c := range []struct {
		name             string
		got, want, limit float64
	}{{"P", got.Precision, want.P, curves}, {"R", got.Recall, want.R, curves}, {"mAP50", got.MAP50, want.MAP50, means}, {"mAP50-95", got.MAP, want.MAP, means}} {
		if !(math.Abs(c.got-c.want) <= c.limit) {
			t.Errorf("%s is %.4f, recorded %.4f", c.name, c.got, c.want)
		}
	}
}

// TestRecordedValidation validates the photographs as recorded. Pictures of
// equal shape have no order of their own, so a few of them move between the
// batches of the loader; letterboxed as recorded, each finds its recorded objects
// (decoders of JPEG differ by a few levels, and so do confidences, a little).
func TestRecordedValidation(t *testing.T) {
	folder := shared.Path(t)
	if testing.Short() {
		t.Skip("validates 128 pictures twice")
	}
	fixture.NeedORT(t)
	var want recordedValidation
	fixture.ReadJSON(t, filepath.Join(folder, "golden", "pictures", "validation640.json"), &want)
	set, err := format.Open(filepath.Join(folder, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}})
	if err != nil {
		t.Fatal(err)
	}
	m := fixture.LoadShared(t, "yolov5n-v6.0.pt")
	o := Defaults()
	o.Samples, o.BatchSize = set.Splits["val"], 16 // as it was recorded
	t.Run("loader", func(t *testing.T) {
		v, err := New(m.Net, o)
		if err != nil {
			t.Fatal(err)
		}
		shapes := map[[2]int]int{}
		for _, s := range want.Shapes {
			shapes[s]++
		}
		for b, err := range v.loader.Epoch(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			shapes[[2]int{b.Height, b.Width}] -= b.Size
		}
		for s, n := range shapes {
			if n != 0 {
				t.Errorf("%d pictures of %v are missing", n, s)
			}
		}
		e, err := v.Run(t.Context(), m, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want.check(t, e.Result, 0.05, 0.003)
	})
	t.Run("letterboxed", func(t *testing.T) { want.check(t, validateAsRecorded(t, m, o, want), 0.01, 0.004) })
}

func validateAsRecorded(t *testing.T, m *model.Model, o Options, want recordedValidation) metric.Result {
	d, err := step.NewDetector(m.Net, m.State, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	recorded, err := safetensors.Read(shared.Path(t, "golden", "pictures", "validation640.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	evaluator := metric.NewEvaluator(m.Net.NC)
	for _, s := range o.Samples {
		img, err := picture.Decode(s.Path, picture.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(s.Path), ".jpg")
		shape := want.Shapes[name]
		fitted := picture.FitSide(img, o.ImageSize, true)
		boxed, place := picture.Letterbox(fitted, shape[1], shape[0], picture.LetterboxOptions{})
		area := shape[0] * shape[1]
		planes := make([]uint8, 3*area)
		for i, p := range boxed.Pix {
			planes[i%3*area+i/3] = p
		}
		found, err := d.Detect(planes, 1, shape[0], shape[1], metric.NMSOptions{Conf: o.Conf, IoU: o.IoU, MaxDet: o.MaxDet, MultiLabel: true})
		if err != nil {
			t.Fatal(err)
		}
		ratio := place.RatioY * float64(fitted.Height) / float64(s.Height)
		metric.Restore(found[0], float32(ratio), float32(place.PadX), float32(place.PadY), s.Width, s.Height)
		foundAgain(t, name, found[0], recorded.Tensors["detections/"+name].Float64s())
		var labels []metric.LabelBox
		for _, l := range s.Labels {
			x, y, w, h := l.Pixels(s.Width, s.Height)
			labels = append(labels, metric.LabelBox{Class: l.Class, X1: float32(x), Y1: float32(y), X2: float32(x + w), Y2: float32(y + h)})
		}
		if err := evaluator.Add(found[0], labels); err != nil {
			t.Fatal(err)
		}
	}
	return evaluator.Result()
}

// foundAgain looks up the recorded detections above 0.25 among those found.
func foundAgain(t *testing.T, name string, found []metric.Detection, recorded []float64) {
	t.Helper()
	corners := func(v []float64) [4]float32 {
		return [4]float32{float32(v[0]), float32(v[1]), float32(v[2]), float32(v[3])}
	}
	for r := range slices.Chunk(recorded, 6) {
		if r[4] < 0.25 {
			continue
		}
		if !slices.ContainsFunc(found, func(d metric.Detection) bool {
			box := [4]float32{d.X1, d.Y1, d.X2, d.Y2}
			return d.Class == int(r[5]) && metric.IoU(box, corners(r)) > 0.7 && math.Abs(float64(d.Conf)-r[4]) < 0.05
		}) {
			t.Errorf("%s: recorded detection %v was not found", name, r)
		}
	}
}
