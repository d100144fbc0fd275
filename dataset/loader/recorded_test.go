package loader

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/yolo"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
)

// TestRecordedRect makes the validation batches of coco256 and compares their
// shapes, and the labels mapped back, with YOLOv5's. Pictures of one shape are
// ties of the sort, which YOLOv5's library breaks as the processor likes: which
// of them is the last of one batch or the first of the next is not compared.
func TestRecordedRect(t *testing.T) {
	var want struct {
		Shapes map[string][2]int `json:"input_shapes"`
	}
	data, err := os.ReadFile(shared.Path(t, "golden", "pictures", "validation640.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	recorded, err := safetensors.Read(shared.Path(t, "golden", "pictures", "validation640.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := yolo.Open(shared.Path(t, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}})
	if err != nil {
		t.Fatal(err)
	}
	samples := set.Splits["val"]
	o := Options{Samples: samples, BatchSize: 16, ImageSize: 640, Rect: true, Pad: .5}
	seen := 0
	counts := map[[2]int]int{}
	type shaped struct {
		ratio float64
		shape [2]int
	}
	allowed := map[shaped]bool{}
	ratios := map[string]float64{}
	for _, s := range samples {
		name := strings.TrimSuffix(filepath.Base(s.Path), filepath.Ext(s.Path))
		ratios[name] = float64(s.Height) / float64(s.Width)
		allowed[shaped{ratios[name], want.Shapes[name]}] = true
		counts[want.Shapes[name]]++
	}
	for _, b := range epochOf(t, o, 0) {
		for i, s := range b.Samples {
			name := strings.TrimSuffix(filepath.Base(samples[s].Path), filepath.Ext(samples[s].Path))
			shape := [2]int{b.Height, b.Width}
			counts[shape]--
			if !allowed[shaped{ratios[name], shape}] {
				t.Errorf("%s: batch of %v, want %v", name, shape, want.Shapes[name])
			}
			seen++
			compareLabels(t, name, b.Labels(i), recorded.Tensors["labels/"+name].Float32s())
		}
	}
	if seen != len(want.Shapes) {
		t.Errorf("%d pictures, want %d", seen, len(want.Shapes))
	}
	for shape, n := range counts {
		if n != 0 {
			t.Errorf("batches of %v: %d pictures too few", shape, n)
		}
	}
}

func compareLabels(t *testing.T, name string, got []metric.LabelBox, want []float32) {
	t.Helper()
	if len(got) != len(want)/5 {
		t.Errorf("%s: %d labels, want %d", name, len(got), len(want)/5)
		return
	}
	for i, g := range got {
		for k, v := range []float32{float32(g.Class), g.X1, g.Y1, g.X2, g.Y2} {
			if math.Abs(float64(v-want[5*i+k])) > 2e-3 {
				t.Errorf("%s: label %d: %+v, want %v", name, i, g, want[5*i:5*i+5])
				break
			}
		}
	}
}
