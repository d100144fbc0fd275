package yolov5

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5/layouts"
)

// bare makes a network's state dict of zeros that share their memory, its
// anchors in cells beside it.
func bare(t *testing.T, net *Network) map[string]*onnx.Tensor {
	t.Helper()
	params, err := net.Params()
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	for _, p := range params {
		largest = max(largest, onnx.NumElements(p.Shape))
	}
	zeros := make([]byte, 4*largest)
	named := map[string]*onnx.Tensor{}
	for _, p := range params {
		named[p.Name] = &onnx.Tensor{DType: onnx.Float, Shape: p.Shape, Raw: zeros[:4*onnx.NumElements(p.Shape)]}
		if p.Kind == RunningMean {
			named[strings.Replace(p.Name, "running_mean", "num_batches_tracked", 1)] = onnx.Scalar(int64(0))
		}
	}
	var cells []float32
	for i, level := range net.Anchors {
		for _, a := range level {
			cells = append(cells, float32(a[0]/float64(net.Strides[i])), float32(a[1]/float64(net.Strides[i])))
		}
	}
	named[fmt.Sprintf("model.%d.anchors", net.Head())] = onnx.Of(cells, int64(len(net.Anchors)), int64(len(net.Anchors[0])), 2)
	return named
}

// layoutNetwork has the given depths of the backbone's stages, the first's in the head.
func layoutNetwork(t *testing.T, l layouts.Layout, width float64, depths ...int64) *Network {
	t.Helper()
	table := depthsTable(l, width, depths)
	var anchors []any
	for level := l.Finest; level <= len(l.Channels)+1; level++ {
		anchors = append(anchors, layouts.List(1<<level, 2<<level, 3<<level, 1<<level))
	}
	table["anchors"] = anchors
	net, err := ParseTable(table, 3)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func depthsTable(l layouts.Layout, width float64, depths []int64) map[string]any {
	return l.Table(width, func(layer int) int64 {
		if stage := layer/2 - 1; stage < len(depths) {
			return depths[stage]
		}
		return depths[0]
	})
}

// TestFromState: state dicts of all layouts are taken for what they are. The
// numbers of parameters are those that the public implementation
// (ultralytics/yolov5 at 5081342) counts for the same tables and three anchors a level.
func TestFromState(t *testing.T) {
	parameters := map[string]int64{"v6": 1767976, "v6 P6": 3098176, "v6 P2": 1804800, "v5": 1778344}
	for _, l := range layouts.All {
		for _, width := range []float64{0.25, 0.75, 1.25, 0.375} {
			t.Run(fmt.Sprintf("%s %v", l.Name, width), func(t *testing.T) {
				depths := []int64{1, 2, 3, 1, 1}
				if l.Early {
					depths[1] = 3
				}
				net := layoutNetwork(t, l, width, depths...)
				got, state, err := FromState(bare(t, net), nil)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(got.Guess, fmt.Sprintf("YOLOv5 %s of width %v,", l.Name, width)) {
					t.Errorf("guessed %q", got.Guess)
				}
				if !reflect.DeepEqual(got.Layers, net.Layers) || !reflect.DeepEqual(got.Anchors, net.Anchors) || got.NC != 3 || got.Backbone != net.Backbone {
					t.Errorf("nc %d, backbone %d, anchors %v", got.NC, got.Backbone, got.Anchors)
				}
				params, _ := net.Params()
				total := int64(0)
				for _, p := range params {
					if !p.Kind.Buffer() {
						total += onnx.NumElements(p.Shape)
					}
				}
				head := net.Layers[net.Head()]
				for _, c := range head.In { // two anchors here, three there
					total += (c + 1) * net.Outputs()
				}
				if want, ok := parameters[l.Name]; ok && width == 0.25 && total != want {
					t.Errorf("%d parameters, want %d", total, want)
				}
				if len(state) != len(params) {
					t.Errorf("%d tensors, want %d", len(state), len(params))
				}
			})
		}
	}
}

// TestFromStateWrapped: names behind a wrapper's prefix, BatchNorm folded, a table of one's own.
func TestFromStateWrapped(t *testing.T) {
	net := layoutNetwork(t, layouts.All[0], 0.25, 1, 2, 3, 1)
	net.SetFolded(true)
	named := map[string]*onnx.Tensor{}
	for name, tensor := range bare(t, net) {
		named["module."+name] = tensor
	}
	got, _, err := FromState(named, nil)
	if err != nil || !got.Folded {
		t.Errorf("folded: %v", err)
	}
	own := layouts.Layout{Name: "own", Stem: layouts.List("Conv", 8, 3, 2), Block: "C3", Channels: []int64{8, 16}, Pool: layouts.List("SPPF", 5), Finest: 2}
	net = layoutNetwork(t, own, 1, 1, 1)
	if _, _, err := FromState(bare(t, net), nil); err == nil || !strings.Contains(err.Error(), "its model's YAML file is needed") {
		t.Errorf("an unknown layout: %v", err)
	}
	table := depthsTable(own, 1, []int64{1, 1})
	table["anchors"] = int64(3)
	got, _, err = FromState(bare(t, net), table)
	if err != nil {
		t.Fatal(err)
	}
	if got.Guess != "" || !reflect.DeepEqual(got.Layers, net.Layers) || !reflect.DeepEqual(got.Anchors, net.Anchors) {
		t.Errorf("guess %q, anchors %v", got.Guess, got.Anchors)
	}
}

// TestFromStateCounters: what profilers (thop) and averaged models leave between
// the weights is none of theirs.
func TestFromStateCounters(t *testing.T) {
	net := layoutNetwork(t, layouts.All[0], 0.25, 1, 2, 3, 1)
	named := map[string]*onnx.Tensor{"n_averaged": onnx.Scalar(int64(7))}
	for name, tensor := range bare(t, net) {
		named["module."+name] = tensor
	}
	for _, module := range []string{"", "model.0.", "model.0.conv.", "model.24."} {
		named["module."+module+"total_ops"] = onnx.NewTensor(onnx.Double, 1)
		named["module."+module+"total_params"] = onnx.NewTensor(onnx.Double)
	}
	got, state, err := FromState(named, nil)
	if err != nil {
		t.Fatal(err)
	}
	if params, _ := net.Params(); len(state) != len(params) || !strings.HasPrefix(got.Guess, "YOLOv5 v6 of width 0.25") {
		t.Errorf("%d tensors, guess %q", len(state), got.Guess)
	}
}

func TestFromStateRefuses(t *testing.T) {
	for want, spoil := range map[string]func(named map[string]*onnx.Tensor){
		"no tensor model.N.anchors":            func(named map[string]*onnx.Tensor) { delete(named, "model.24.anchors") },
		"anchors is [6 2], want":               func(named map[string]*onnx.Tensor) { named["model.24.anchors"].Shape = []int64{6, 2} },
		"lacks the tensor model.24.m.0.weight": func(named map[string]*onnx.Tensor) { delete(named, "model.24.m.0.weight") },
		"m.0.weight has 15 channels for 2": func(named map[string]*onnx.Tensor) {
			named["model.24.m.0.weight"] = onnx.NewTensor(onnx.Float, 15, 1, 1, 1)
		},
		"holds model.24.proto: a segmentation model": func(named map[string]*onnx.Tensor) {
			named["model.24.proto.cv1.conv.weight"] = onnx.NewTensor(onnx.Float, 1)
		},
		"nothing there is called model.0.attention.weight, model.2.m.9.cv1.conv.weight, model.24.m.0.scale and 1 more: its model's": func(named map[string]*onnx.Tensor) {
			named["model.2.m.9.cv1.conv.weight"] = onnx.NewTensor(onnx.Float, 1)
			named["model.0.attention.weight"] = onnx.NewTensor(onnx.Float, 1)
			named["model.24.m.0.scale"] = onnx.NewTensor(onnx.Float, 4)
			named["model.24.m.0.shift"] = onnx.NewTensor(onnx.Float, 4)
		},
		"fit no published layout": func(named map[string]*onnx.Tensor) {
			named["model.2.m.9.cv1.conv.weight"] = onnx.NewTensor(onnx.Float, 1)
		},
		"its tensors fit no published layout of YOL": func(named map[string]*onnx.Tensor) { delete(named, "model.0.conv.weight") },
	} {
		named := bare(t, layoutNetwork(t, layouts.All[0], 0.25, 1, 2, 3, 1))
		spoil(named)
		if _, _, err := FromState(named, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
