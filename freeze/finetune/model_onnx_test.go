package finetune

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// exportFile writes an export of the model.
func exportFile(t *testing.T, m *Model, o ExportOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exported.onnx")
	if err := wire.Write(path, exported(t, m, o)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestONNXSource: every form of our own export comes back as the network it was made of.
func TestONNXSource(t *testing.T) {
	m := smallModel(t)
	want := exported(t, m, ExportOptions{Batch: 1, Height: 64, Width: 64})
	for _, o := range []ExportOptions{{Dynamic: true}, {Dynamic: true, Half: true}, {Opset: 11}, {Opset: 12, Half: true}, {Dynamic: true, Opset: 20}, {Batch: 2}} {
		o.Batch, o.Height, o.Width = max(o.Batch, 1), 64, 96
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			again, err := LoadModel(exportFile(t, m, o))
			if err != nil {
				t.Fatal(err)
			}
			if again.Net.Backbone != m.Net.Backbone || !again.Net.Folded || !slices.Equal(again.Names, m.Names) || again.Metadata[sourceFileKey] != "small.pt" {
				t.Errorf("backbone %d, folded %t, names %q, metadata %v", again.Net.Backbone, again.Net.Folded, again.Names, again.Metadata)
			}
			weights := 0
			for name, got := range again.State {
				tensor := want.Initializer(name).Const
				if o.Half {
					tensor = tensor.ToFloat16().AsFloat()
				}
				if !slices.Equal(got.Raw, tensor.Raw) {
					t.Errorf("%s differs", name)
				}
				weights++
			}
			if weights != 2*10 {
				t.Errorf("%d tensors, want kernel and bias of 10 convolutions", weights)
			}
		})
	}
}

// TestONNXSourceTrains: a run from an export trains kernels and biases, leaves
// the frozen ones alone, and its own weights and export are folded too.
func TestONNXSourceTrains(t *testing.T) {
	needORT(t)
	o := smallRun(t)
	o.Weights = exportFile(t, smallModel(t), ExportOptions{Dynamic: true})
	report := mustRun(t, o, &quiet{t: t})
	before, err := LoadModel(o.Weights)
	if err != nil {
		t.Fatal(err)
	}
	if report.Frozen.Tensors != 2 {
		t.Errorf("%d tensors frozen, want kernel and bias of layer 0", report.Frozen.Tensors)
	}
	for _, name := range []string{"last.safetensors", "best.onnx"} {
		after, err := LoadModel(filepath.Join(report.RunDir, "weights", name))
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

// TestRecordedONNXSource: a model read from an export predicts what the file
// itself predicts in ONNX Runtime.
func TestRecordedONNXSource(t *testing.T) {
	for _, c := range []struct {
		file      string
		dtype     onnx.DType
		tolerance float64
	}{
		{"yolov5n-v7.0-export.onnx", onnx.Float, 1e-3},
		// The file computes in float16, whose steps are 0.5 for pixels beyond 512.
		{"yolov5n-fp16-export-torch1.14.onnx", onnx.Float16, 1},
	} {
		t.Run(c.file, func(t *testing.T) {
			path := shared.Path(t, "models", c.file)
			needORT(t)
			m, err := LoadModel(path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			session, err := ort.Open(data, ort.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			want := runNoise(t, &bound{session: session}, c.dtype, 1, 640, 640)
			got := decoded(t, exported(t, m, ExportOptions{Batch: 1, Height: 640, Width: 640}), 1, 640, 640)
			if d := farthest(t, got, want); d > c.tolerance {
				t.Errorf("off by %g", d)
			}
		})
	}
}

// TestRecordedONNXWeights: the export's network is that of the checkpoint it was
// made from, and its weights are those with BatchNorm folded into them.
func TestRecordedONNXWeights(t *testing.T) {
	got, parent := loadShared(t, "yolov5n-v7.0-export.onnx"), loadShared(t, "yolov5n-v7.0.pt")
	want := exported(t, parent, ExportOptions{Batch: 1, Height: 64, Width: 64})
	if !slices.Equal(got.Names, parent.Names) || !slices.Equal(got.Net.Strides, parent.Net.Strides) || got.Net.Backbone != parent.Net.Backbone || !got.Net.Folded {
		t.Errorf("%d names, strides %v, backbone %d, folded %t", len(got.Names), got.Net.Strides, got.Net.Backbone, got.Net.Folded)
	}
	for i, level := range parent.Net.Anchors {
		if !slices.Equal(got.Net.Anchors[i], level) {
			t.Errorf("anchors %v, want %v", got.Net.Anchors[i], level)
		}
	}
	for i, l := range parent.Net.Layers {
		if g := got.Net.Layers[i]; g.Kind != l.Kind || g.Repeat != l.Repeat || g.Out != l.Out || !slices.Equal(g.From, l.From) {
			t.Errorf("layer %d: %+v, want %+v", i, g, l)
		}
	}
	for name, tensor := range got.State {
		folded := want.Initializer(name)
		if folded == nil {
			t.Errorf("%s is not in our own export", name)
			continue
		}
		w := folded.Const.Float64s()
		for i, v := range tensor.Float64s() {
			if math.Abs(v-w[i]) > 1e-6*(1+math.Abs(w[i])) {
				t.Errorf("%s: %g at %d, want %g", name, v, i, w[i])
				break
			}
		}
	}
	if len(got.State) != 2*60 {
		t.Errorf("%d tensors, want those of 60 convolutions", len(got.State))
	}
}

// TestExportsValidateAlike: YOLOv5's own exports, float32 and float16, have the
// average precision of the checkpoint, as LoadForVal reads them.
func TestExportsValidateAlike(t *testing.T) {
	folder := shared.Path(t)
	if testing.Short() {
		t.Skip("validates 128 pictures three times")
	}
	needORT(t)
	set, err := format.Open(filepath.Join(folder, "data", "coco256", "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}})
	if err != nil {
		t.Fatal(err)
	}
	want := validated(t, loadShared(t, "yolov5n-v7.0.pt"), set.Splits["val"], 320)
	for _, name := range []string{"yolov5n-v7.0-export.onnx", "yolov5n-fp16-export-torch1.14.onnx"} {
		m, err := LoadForVal(filepath.Join(folder, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := validated(t, m, set.Splits["val"], 320); math.Abs(got-want) > 0.002 {
			t.Errorf("%s: mAP50 %.4f, the checkpoint has %.4f", name, got, want)
		}
	}
}
