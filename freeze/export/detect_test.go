package export

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
)

// TestExportedDetects: an export of any form finds what the network itself does.
func TestExportedDetects(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	head := m.State["model.4.m.0.weight"].Clone()
	for i := range onnx.Data[float32](head) { // fresh heads answer all but the same everywhere
		onnx.Data[float32](head)[i] *= 5e4
	}
	m.State["model.4.m.0.weight"] = head
	const n, side = 3, 64
	random := rand.New(rand.NewPCG(3, 3))
	images := make([]uint8, n*3*side*side)
	for i := range images {
		images[i] = uint8(random.Uint32())
	}
	nms := metric.NMSOptions{Conf: 0.001, IoU: .45, MaxDet: 20}
	d, err := step.NewDetector(m.Net, m.State, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want, err := d.Detect(images, n, side, side, nms)
	if err != nil {
		t.Fatal(err)
	}
	if len(want[0]) == 0 {
		t.Fatal("nothing to compare: the network finds nothing")
	}
	inside := &NMS{Conf: nms.Conf, IoU: nms.IoU, MaxDet: nms.MaxDet}
	for name, o := range map[string]Options{
		"fixed": {Batch: 3, Height: side, Width: side}, "batch of 2": {Batch: 2, Height: side, Width: side}, "dynamic": {Dynamic: true},
		"uint8": {Batch: 3, Height: side, Width: side, Uint8: true}, "uint8 dynamic": {Dynamic: true, Uint8: true},
		"nms": {Batch: 3, Height: side, Width: side, NMS: inside}, "nms of 2, uint8": {Batch: 2, Height: side, Width: side, NMS: inside, Uint8: true},
		"nms dynamic": {Dynamic: true, NMS: inside},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.onnx")
			if err := wire.Write(path, exported(t, m, o)); err != nil {
				t.Fatal(err)
			}
			e, err := Open(path, ort.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if e.Batch != o.Batch || e.Height != o.Height || e.Stride != 32 || strings.Join(e.Names, ",") != "cup,it's" {
				t.Errorf("read as %+v", e)
			}
			got, err := e.Detect(images, n, side, side, nms)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				nearDetections(t, got[i], want[i])
			}
		})
	}
}

func nearDetections(t *testing.T, got, want []metric.Detection) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d detections, want %d", len(got), len(want))
	}
	near := func(a, b, most float32) bool { return a-b <= most && b-a <= most }
	for i, g := range got {
		w := want[i]
		if g.Class != w.Class || !near(g.Conf, w.Conf, 1e-5) || !near(g.X1, w.X1, .01) || !near(g.Y1, w.Y1, .01) || !near(g.X2, w.X2, .01) || !near(g.Y2, w.Y2, .01) {
			t.Fatalf("detection %d: %+v, want %+v", i, g, w)
		}
	}
}

func TestOpenExportedRefuses(t *testing.T) {
	model := func(in onnx.Type, out []onnx.Dim, metadata map[string]string) *onnx.Model {
		b := op.NewBuilder("m")
		x := b.Input("images", in.DType, in.Shape)
		y := b.Rename(b.Op("Neg", nil, x), "y")
		b.Output("output0", y).Type.Shape = out
		b.Model.Metadata = metadata
		return b.Model
	}
	pictures := onnx.Type{DType: onnx.Float, Shape: onnx.Dims(1, 3, 64, 64)}
	rows := onnx.Dims(1, 100, 7)
	twoInputs := model(pictures, rows, nil)
	twoInputs.Inputs = append(twoInputs.Inputs, &onnx.Value{Name: "more", Type: pictures})
	for want, m := range map[string]*onnx.Model{
		"takes 2 inputs": twoInputs,
		"input images: float32[1 4 64 64]: want pictures [N,3,H,W]": model(onnx.Type{DType: onnx.Float, Shape: onnx.Dims(1, 4, 64, 64)}, rows, nil),
		"input images: int64[1 3 64 64]: want pictures":             model(onnx.Type{DType: onnx.Int64, Shape: onnx.Dims(1, 3, 64, 64)}, rows, nil),
		"no output has the three dimensions":                        model(pictures, onnx.Dims(1, 3, 8, 8), nil),
		"output output0 has 4 columns":                              model(pictures, onnx.Dims(1, 100, 4), nil),
		`metadata stride is "x"`:                                    model(pictures, rows, map[string]string{"stride": "x"}),
		"metadata: names at byte 0":                                 model(pictures, rows, map[string]string{"names": "cat"}),
		"metadata names 1 classes, output output0 has 2":            model(pictures, rows, map[string]string{"names": "{0: 'cat'}"}),
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := wire.Write(path, m); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, ort.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
