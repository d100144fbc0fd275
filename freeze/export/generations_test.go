package export

import (
	"math"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
)

// TestRecordedFocusSPP: a checkpoint of v5's layout predicts what the public
// implementation (ultralytics/yolov5 at 5081342, torch 2.11) was recorded to
// predict on three photographs: the means of all values, and the surest box.
func TestRecordedFocusSPP(t *testing.T) {
	m := fixture.LoadShared(t, "focus-spp-v5style-H2B-2class.pt")
	f, err := safetensors.Read(shared.Path(t, "golden", "pictures", "letterbox.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	fixture.NeedORT(t)
	g := exported(t, m, Options{Batch: 1, Height: 320, Width: 320})
	b, err := step.Open(g, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, want := range []struct {
		photograph string
		means      [7]float64
		row        int
		box        [7]float64
	}{
		{"000000000139", [7]float64{160.379, 160.162, 33.3525, 30.8634, 0.0161719, 0.771768, 0.199532},
			5411, [7]float64{185.852, 170.249, 31.1811, 31.9785, 0.763767, 0.997138, 0.00273186}},
		{"000000005193", [7]float64{160.511, 160.287, 34.5311, 32.2622, 0.0269186, 0.741222, 0.241658},
			659, [7]float64{154.897, 132.371, 32.7022, 32.979, 0.946892, 0.999136, 0.000847015}},
		{"000000007784", [7]float64{160.953, 160.45, 40.7399, 38.3194, 0.00232742, 0.5917, 0.384691},
			5069, [7]float64{163.532, 216.384, 30.0257, 34.0774, 0.418858, 0.995912, 0.00448351}},
	} {
		t.Run(want.photograph, func(t *testing.T) {
			pixels := f.Tensors["letterbox320/"+want.photograph].Raw // [320,320,3]
			planes := make([]float32, len(pixels))
			for i, p := range pixels {
				planes[i%3*320*320+i/3] = float32(p) / 255
			}
			out, err := b.Run(map[string]*onnx.Tensor{"images": onnx.Of(planes, 1, 3, 320, 320)})
			if err != nil {
				t.Fatal(err)
			}
			rows := out["output0"].Float64s()
			var means [7]float64
			for i, v := range rows {
				means[i%7] += v / float64(len(rows)/7)
			}
			for k := range 7 {
				if d := math.Abs(means[k] - want.means[k]); d > 1e-5*want.means[k] {
					t.Errorf("mean of value %d is %.6g, recorded %.6g", k, means[k], want.means[k])
				}
				if v := rows[7*want.row+k]; math.Abs(v-want.box[k]) > 1e-4*want.box[k] {
					t.Errorf("value %d of row %d is %.6g, recorded %.6g", k, want.row, v, want.box[k])
				}
			}
		})
	}
}

// TestExportHardSwish: below opset 14, which brought the operator, its formula stands in.
func TestExportHardSwish(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	m.Net.Act, m.Net.Table["activation"] = "Hardswish", "nn.Hardswish()"
	want := decoded(t, exported(t, m, Options{Batch: 1, Height: 64, Width: 64}), 1, 64, 64)
	for _, opset := range []int64{11, 13, 14} {
		path := exportFile(t, m, Options{Batch: 1, Height: 64, Width: 64, Opset: opset})
		again, err := model.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if again.Net.Act != "Hardswish" {
			t.Errorf("opset %d: read back with %s", opset, again.Net.Act)
		}
		if d := farthest(t, decoded(t, exported(t, again, Options{Batch: 1, Height: 64, Width: 64, Opset: opset}), 1, 64, 64), want); d > 1e-4 {
			t.Errorf("opset %d: off by %g", opset, d)
		}
	}
}
