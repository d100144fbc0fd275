package module_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/module"
)

// row is a table's row with integers as tables have them.
func row(from any, number int, kind string, args ...any) any {
	whole := func(v any) any {
		if n, ok := v.(int); ok {
			return int64(n)
		}
		return v
	}
	list := []any{}
	for _, a := range args {
		list = append(list, whole(a))
	}
	return []any{whole(from), int64(number), kind, list}
}

// everything has each module that is known once, one of them twice in a chain.
func everything(activation string) map[string]any {
	return map[string]any{
		"nc": int64(2), "depth_multiple": 1.0, "width_multiple": 1.0, "activation": activation,
		"anchors": []any{[]any{int64(10), int64(13), int64(16), int64(30)}, []any{int64(30), int64(61), int64(62), int64(45)}},
		"backbone": []any{
			row(-1, 1, "Focus", 8, 3), row(-1, 1, "Conv", 8, 3, 2), row(-1, 2, "Bottleneck", 8), row(-1, 2, "C3", 8),
			row(-1, 1, "GhostConv", 8, 3, 2), row(-1, 1, "C3Ghost", 8), row(-1, 1, "BottleneckCSP", 8, false), row(-1, 1, "SPP", 8, []any{int64(3), int64(5)}),
		},
		"head": []any{
			row(-1, 1, "GhostBottleneck", 16, 3, 2), row(-1, 1, "C3SPP", 16, []any{int64(3)}), row(-1, 1, "DWConv", 16, 3, 1), row(-1, 1, "SPPF", 16, 5),
			row(-1, 1, "nn.Upsample", nil, 2, "nearest"), row([]any{int64(-1), int64(7)}, 1, "Concat", 1), row(-1, 1, "Conv", 8, 1, 1),
			row([]any{int64(14), int64(11)}, 1, "Detect", "nc", "anchors"),
		},
	}
}

// TestCheckpoint: what goes out comes back through the reader of YOLOv5's own files, with the
// same network, names, activations and bytes.
func TestCheckpoint(t *testing.T) {
	for _, activation := range []string{"SiLU", "LeakyReLU(0.1)", "Hardswish"} {
		net, err := yolov5.ParseTable(everything(activation), 0)
		if err != nil {
			t.Fatal(err)
		}
		state, err := net.Init(3)
		if err != nil {
			t.Fatal(err)
		}
		got, classes, from := back(t, net, state)
		if !slices.Equal(classes, []string{"cat", "no: 'dog'"}) || from.Act != activation || fmt.Sprint(from.Anchors) != fmt.Sprint(net.Anchors) ||
			!slices.Equal(from.Strides, net.Strides) || len(from.Acts) != 0 {
			t.Errorf("%s: names %q, activation %s, others %v, anchors %v, strides %v", activation, classes, from.Act, from.Acts, from.Anchors, from.Strides)
		}
		for name, want := range state {
			if !slices.Equal(got[name].Raw, want.Raw) {
				t.Errorf("%s: %s differs", activation, name)
			}
		}
	}
}

// back writes a checkpoint and reads it.
func back(t *testing.T, net *yolov5.Network, state map[string]*onnx.Tensor) (map[string]*onnx.Tensor, []string, *yolov5.Network) {
	t.Helper()
	c, err := module.Checkpoint(net, state, []string{"cat", "no: 'dog'"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := torch.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.pt")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	read, err := torch.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if class := read.Model.Class(); class != "models.yolo.Model" {
		t.Errorf("the model is a %s", class)
	}
	for _, key := range []string{"folded", "activations"} {
		if _, there := read.YAML[key]; there {
			t.Errorf("the table has the key %s, which YOLOv5 does not know", key)
		}
	}
	from, got, err := yolov5.FromCheckpoint(read)
	if err != nil {
		t.Fatal(err)
	}
	return got, read.Names, from
}

// TestCheckpointOfFolded: BatchNorm that was folded away stands there again, and changes nothing.
func TestCheckpointOfFolded(t *testing.T) {
	table := everything("SiLU")
	table["folded"] = true
	net, err := yolov5.ParseTable(table, 0)
	if err != nil {
		t.Fatal(err)
	}
	state, err := net.Init(3)
	if err != nil {
		t.Fatal(err)
	}
	got, _, from := back(t, net, state)
	if from.Folded {
		t.Error("still folded")
	}
	for name, want := range state {
		if block, biased := strings.CutSuffix(name, ".conv.bias"); biased && !slices.Equal(got[block+".bn.bias"].Raw, want.Raw) {
			t.Errorf("%s is not the shift of BatchNorm", name)
		}
	}
	bn := func(name string) float64 { return got["model.1.bn."+name].Float64s()[0] }
	if v := bn("running_var") + yolov5.Epsilon; bn("weight") != 1 || bn("running_mean") != 0 || v < 1-1e-7 || v > 1+1e-7 {
		t.Errorf("scale %g, mean %g, variance with epsilon %g", bn("weight"), bn("running_mean"), v)
	}
}

// TestCheckpointRefuses: weights that lack a tensor, and anchors that no buffer holds.
func TestCheckpointRefuses(t *testing.T) {
	for want, spoil := range map[string]func(*yolov5.Network, map[string]*onnx.Tensor){
		"the weights lack model.1.conv.weight":        func(_ *yolov5.Network, s map[string]*onnx.Tensor) { delete(s, "model.1.conv.weight") },
		"the weights lack a tensor of model.1.bn":     func(_ *yolov5.Network, s map[string]*onnx.Tensor) { delete(s, "model.1.bn.bias") },
		"level 1 has 1 anchors, level 0 2: no buffer": func(n *yolov5.Network, _ map[string]*onnx.Tensor) { n.Anchors[1] = n.Anchors[1][:1] },
	} {
		net, err := yolov5.ParseTable(everything("SiLU"), 0)
		if err != nil {
			t.Fatal(err)
		}
		state, err := net.Init(3)
		if err != nil {
			t.Fatal(err)
		}
		spoil(net, state)
		if _, err := module.Checkpoint(net, state, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
