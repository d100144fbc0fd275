package metric

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
)

func readTensors(t testing.TB, name string) map[string]*onnx.Tensor {
	t.Helper()
	f, err := safetensors.Read(shared.Path(t, "golden", "pictures", name))
	if err != nil {
		t.Fatal(err)
	}
	return f.Tensors
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(shared.Path(t, "golden", "pictures", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func TestRecordedNMS(t *testing.T) {
	var want struct{ Detections map[string][][6]float64 }
	readJSON(t, "detect_nms.json", &want)
	tensors := readTensors(t, "predictions320.safetensors")
	for name, boxes := range want.Detections {
		t.Run(name, func(t *testing.T) {
			rows := onnx.Data[float32](tensors["output0/"+name].Clone())
			got := NMS(rows, 80, NMSOptions{Conf: .25, IoU: .45, MaxDet: 1000})
			if len(got) != len(boxes) {
				t.Fatalf("%d detections, want %d: %v", len(got), len(boxes), got)
			}
			for i, d := range got {
				row := []float64{float64(d.X1), float64(d.Y1), float64(d.X2), float64(d.Y2), float64(d.Conf), float64(d.Class)}
				for k, v := range row {
					if math.Abs(v-boxes[i][k]) > .6e-5 { // recorded to 5 decimals
						t.Errorf("detection %d, column %d: %v, want %v", i, k, v, boxes[i][k])
					}
				}
			}
		})
	}
}

// recordedPicture returns the detections and labels recorded for a picture.
func recordedPicture(tensors map[string]*onnx.Tensor, name string) ([]Detection, []LabelBox) {
	var dets []Detection
	for r := range slices.Chunk(tensors["detections/"+name].Float32s(), 6) {
		dets = append(dets, Detection{r[0], r[1], r[2], r[3], r[4], int(r[5])})
	}
	var labels []LabelBox
	for r := range slices.Chunk(tensors["labels/"+name].Float32s(), 5) {
		labels = append(labels, LabelBox{int(r[0]), r[1], r[2], r[3], r[4]})
	}
	return dets, labels
}

func recordedNames(tensors map[string]*onnx.Tensor) []string {
	var names []string
	for key := range tensors {
		if name, ok := strings.CutPrefix(key, "detections/"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestRecordedMatching(t *testing.T) {
	tensors := readTensors(t, "validation640.safetensors")
	for _, name := range recordedNames(tensors) {
		t.Run(name, func(t *testing.T) {
			hits := matchCOCO(recordedPicture(tensors, name))
			for i, v := range tensors["correct/"+name].Int64s() {
				if hits[i/10].At(i%10) != (v == 1) {
					t.Fatalf("detection %d, threshold %d: %v, want %v", i/10, i%10, v == 0, v == 1)
				}
			}
		})
	}
}

// matchCOCO is Match at COCO's thresholds.
func matchCOCO(dets []Detection, labels []LabelBox) []Hits {
	return Match(dets, labels, COCOThresholds())
}

func TestRecordedMetrics(t *testing.T) {
	var want struct {
		Images   int
		P, R     float64
		MAP50    float64 `json:"mAP50"`
		MAP      float64 `json:"mAP50_95"`
		PerClass []struct {
			ID             int
			P, R, F1, AP50 float64
			AP             float64 `json:"AP50_95"`
			TP, FP         float64
		} `json:"per_class"`
	}
	readJSON(t, "validation640.json", &want)
	tensors := readTensors(t, "validation640.safetensors")
	e := NewEvaluator(80)
	for _, name := range recordedNames(tensors) {
		if err := e.Add(recordedPicture(tensors, name)); err != nil {
			t.Fatal(err)
		}
	}
	got := e.Result()
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	if got.Images != want.Images || len(got.PerClass) != len(want.PerClass) {
		t.Fatalf("%d images, %d classes; want %d, %d", got.Images, len(got.PerClass), want.Images, len(want.PerClass))
	}
	near("precision", got.Precision, want.P)
	near("recall", got.Recall, want.R)
	near("mAP50", got.MAP50, want.MAP50)
	near("mAP50-95", got.MAP, want.MAP)
	for i, w := range want.PerClass {
		g := got.PerClass[i]
		name := fmt.Sprintf("class %d: ", w.ID)
		near(name+"index", float64(g.Class), float64(w.ID))
		near(name+"precision", g.P, w.P)
		near(name+"recall", g.R, w.R)
		near(name+"F1", g.F1, w.F1)
		near(name+"AP50", g.AP50, w.AP50)
		near(name+"AP", g.AP, w.AP)
		near(name+"TP", float64(g.TP), w.TP)
		near(name+"FP", float64(g.FP), w.FP)
	}
}

// TestRecordedVOC holds the two VOC averages against a published case of 15
// labels in 7 pictures. It takes x+w for a pixel inside the box, as VOC does, so
// that the box's edge lies one further.
func TestRecordedVOC(t *testing.T) {
	want := map[Method][]float64{
		EveryPoint:  {.3371980676, .2456866804, .0222222222, 0},
		ElevenPoint: {.3333333333, .2683982683, .0303030303, 0},
	}
	for method, aps := range want {
		e := NewEvaluator(1)
		e.Method, e.Thresholds = method, []float32{.1, .3, .5, .75}
		for i := range 7 {
			file := fmt.Sprintf("%05d.txt", i+1)
			var dets []Detection
			for _, f := range vocLines(t, "dets", file) {
				dets = append(dets, Detection{float32(f[1]), float32(f[2]), float32(f[1] + f[3] + 1), float32(f[2] + f[4] + 1), float32(f[0]), 0})
			}
			slices.SortStableFunc(dets, func(a, b Detection) int { return int(1000 * (b.Conf - a.Conf)) })
			var labels []LabelBox
			for _, f := range vocLines(t, "gts", file) {
				labels = append(labels, LabelBox{0, float32(f[0]), float32(f[1]), float32(f[0] + f[2] + 1), float32(f[1] + f[3] + 1)})
			}
			if err := e.Add(dets, labels); err != nil {
				t.Fatal(err)
			}
		}
		got := e.Result().PerClass[0].APs
		for i, w := range aps {
			if math.Abs(got[i]-w) > 1e-9 {
				t.Errorf("method %d at IoU %v: %v, want %v", method, e.Thresholds[i], got[i], w)
			}
		}
	}
}

// vocLines reads the numbers of lines like "object 25 16 38 56".
func vocLines(t *testing.T, kind, file string) [][]float64 {
	t.Helper()
	b, err := os.ReadFile(shared.Path(t, "eval", "voc_case1", kind, file))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float64
	for line := range strings.Lines(string(b)) {
		var row []float64
		for _, f := range strings.Fields(line)[1:] {
			var v float64
			if _, err := fmt.Sscan(f, &v); err != nil {
				t.Fatal(err)
			}
			row = append(row, v)
		}
		out = append(out, row)
	}
	return out
}
