package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/torch"
)

// writeState writes tensors as a bare state dict.
func writeState(t *testing.T, named map[string]*onnx.Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.safetensors")
	if err := safetensors.Write(path, &safetensors.File{Tensors: named}); err != nil {
		t.Fatal(err)
	}
	return path
}

// smallState is the small model's state dict with the anchors in cells.
func smallState(t *testing.T) map[string]*onnx.Tensor {
	named := fixture.SmallModel(t).State
	named["model.4.anchors"] = onnx.Of([]float32{10. / 4, 13. / 4, 16. / 4, 30. / 4}, 1, 2, 2)
	return named
}

const smallYAML = `
nc: 80 # another number than the tensors have
depth_multiple: 1.0
width_multiple: 1.0
anchors: 2
backbone:
  [[-1, 1, Conv, [8, 6, 2, 2]], [-1, 1, C3, [8]], [-1, 1, SPPF, [16, 5]]]
head:
  [[-1, 1, Conv, [8, 3, 2]],
   [[-1], 1, Detect, [nc, anchors]]]
`

func TestStateDictAndTable(t *testing.T) {
	cfg := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(cfg, []byte(smallYAML), 0o666); err != nil {
		t.Fatal(err)
	}
	path := writeState(t, smallState(t))
	m, err := model.LoadAs(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := fixture.SmallModel(t)
	if m.Net.NC != 2 || m.Net.Backbone != 3 || !slices.Equal(m.Net.Anchors[0], want.Net.Anchors[0]) || len(m.State) != len(want.State) || len(m.Notes()) != 0 {
		t.Errorf("nc %d, anchors %v, %d tensors, notes %q", m.Net.NC, m.Net.Anchors, len(m.State), m.Notes())
	}
	if _, err := model.Load(path); err == nil || !strings.Contains(err.Error(), "fit no published layout") {
		t.Errorf("without the table: %v", err)
	}
	if info, err := model.Inspect(path); err != nil || len(info.Parameters) != len(smallState(t)) || info.Layers != nil {
		t.Errorf("inspected: %v, %+v", err, info)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("a: [1"), 0o666); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "own.safetensors")
	if err := model.Save(own, want); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, cfg, want string }{
		{path, broken, "broken.yaml: not a YAML file of a model"},
		{path, "nowhere.yaml", "no such file"},
		{own, cfg, "own.safetensors: knows its own layers"},
	} {
		if _, err := model.LoadAs(c.path, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s as %s: %v, want %q", c.path, c.cfg, err, c.want)
		}
	}
}

// TestRecordedStateDict: the tensors of a checkpoint without the checkpoint
// around them are its network.
func TestRecordedStateDict(t *testing.T) {
	for file, guess := range map[string]string{
		"yolov5n-v7.0.pt": "v6 of width 0.25", "yolov5s-v6.0.pt": "v6 of width 0.5", "focus-spp-v5style-H2B-2class.pt": "v5 of width 0.5",
	} {
		t.Run(file, func(t *testing.T) {
			c, err := torch.Load(shared.Path(t, "models", file))
			if err != nil {
				t.Fatal(err)
			}
			want := fixture.LoadShared(t, file)
			m, err := model.Load(writeState(t, model.TensorsOf(c)))
			if err != nil {
				t.Fatal(err)
			}
			if notes := m.Notes(); len(notes) != 1 || !strings.Contains(notes[0], guess) {
				t.Errorf("notes %q", notes)
			}
			if m.Net.NC != want.Net.NC || m.Net.Backbone != want.Net.Backbone || len(m.State) != len(want.State) {
				t.Errorf("nc %d, backbone %d, %d tensors", m.Net.NC, m.Net.Backbone, len(m.State))
			}
			for i, l := range want.Net.Layers {
				if g := m.Net.Layers[i]; g.Kind != l.Kind || g.Repeat != l.Repeat || !slices.Equal(g.From, l.From) {
					t.Errorf("layer %d is %+v, want %+v", i, g, l)
				}
			}
			for i, level := range want.Net.Anchors {
				if !slices.Equal(m.Net.Anchors[i], level) {
					t.Errorf("anchors %v, want %v", m.Net.Anchors[i], level)
				}
			}
		})
	}
}
