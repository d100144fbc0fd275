package export

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// exportFile writes an export of the model.
func exportFile(t *testing.T, m *model.Model, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "exported.onnx")
	if err := wire.Write(path, exported(t, m, o)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestONNXSource: every form of our own export comes back as the network it was made of.
func TestONNXSource(t *testing.T) {
	m := fixture.SmallModel(t)
	want := exported(t, m, Options{Batch: 1, Height: 64, Width: 64})
	for _, o := range []Options{{Dynamic: true}, {Dynamic: true, Half: true}, {Opset: 11}, {Opset: 12, Half: true}, {Dynamic: true, Opset: 20}, {Batch: 2}} {
		o.Batch, o.Height, o.Width = max(o.Batch, 1), 64, 96
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			again, err := model.Load(exportFile(t, m, o))
			if err != nil {
				t.Fatal(err)
			}
			if again.Net.Backbone != m.Net.Backbone || !again.Net.Folded || !slices.Equal(again.Names, m.Names) || again.Metadata[model.SourceFileKey] != "small.pt" {
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
			fixture.NeedORT(t)
			m, err := model.Load(path)
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
			want := runNoise(t, session, c.dtype, 1, 640, 640)
			got := decoded(t, exported(t, m, Options{Batch: 1, Height: 640, Width: 640}), 1, 640, 640)
			if d := farthest(t, got, want); d > c.tolerance {
				t.Errorf("off by %g", d)
			}
		})
	}
}

// TestRecordedONNXWeights: the export's network is that of the checkpoint it was
// made from, and its weights are those with BatchNorm folded into them.
func TestRecordedONNXWeights(t *testing.T) {
	got, parent := fixture.LoadShared(t, "yolov5n-v7.0-export.onnx"), fixture.LoadShared(t, "yolov5n-v7.0.pt")
	want := exported(t, parent, Options{Batch: 1, Height: 64, Width: 64})
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
