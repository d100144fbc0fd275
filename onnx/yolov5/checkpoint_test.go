package yolov5_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
)

func checkpoint(t *testing.T, file string) *torch.Checkpoint {
	t.Helper()
	c, err := torch.Load(shared.Path(t, "models", file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRecordedCheckpoints: the network of a checkpoint's own table has exactly
// the tensors of its state dict, by name and shape, but for counters and anchors.
func TestRecordedCheckpoints(t *testing.T) {
	for _, c := range []struct {
		file       string
		nc         int
		tensors    int
		parameters int64
	}{
		{"yolov5n-v7.0.pt", 80, 291, 1872157},
		{"yolov5n-v6.0.pt", 80, 291, 1872157},
		{"yolov5s-v6.0.pt", 80, 291, 7235389},
		{"custom-2class-waste-v7-optgit.pt", 2, 291, 1766623},
		{"focus-spp-v5style-H2B-2class.pt", 2, 301, 7066239},
	} {
		t.Run(c.file, func(t *testing.T) {
			read := checkpoint(t, c.file)
			net, state, err := yolov5.FromCheckpoint(read)
			if err != nil {
				t.Fatal(err)
			}
			if net.NC != c.nc || net.Backbone != 10 || net.Act != "SiLU" || len(net.Acts) != 0 || net.Folded || !slices.Equal(net.Strides, []int64{8, 16, 32}) {
				t.Errorf("nc %d, backbone %d, act %s %v, folded %t, strides %v", net.NC, net.Backbone, net.Act, net.Acts, net.Folded, net.Strides)
			}
			if want := "[[[10 13] [16 30] [33 23]] [[30 61] [62 45] [59 119]] [[116 90] [156 198] [373 326]]]"; fmt.Sprint(net.Anchors) != want {
				t.Errorf("anchors %v", net.Anchors)
			}
			params, err := net.Params()
			if err != nil {
				t.Fatal(err)
			}
			kinds, total := map[string]yolov5.Kind{}, int64(0)
			for _, p := range params {
				kinds[p.Name] = p.Kind
				if !p.Kind.Buffer() {
					total += onnx.NumElements(p.Shape)
				}
			}
			if len(params) != c.tensors || len(state) != c.tensors || total != c.parameters {
				t.Errorf("%d tensors, %d read, %d parameters; want %d and %d", len(params), len(state), total, c.tensors, c.parameters)
			}
			compareState(t, read, kinds, state)
		})
	}
}

func compareState(t *testing.T, read *torch.Checkpoint, kinds map[string]yolov5.Kind, state map[string]*onnx.Tensor) {
	t.Helper()
	for _, s := range read.State {
		last := s.Name[strings.LastIndexByte(s.Name, '.')+1:]
		if last == "num_batches_tracked" || last == "anchors" || last == "anchor_grid" {
			continue
		}
		got, kind := state[s.Name], kinds[s.Name]
		if got == nil {
			t.Errorf("%s of the checkpoint is not in the network", s.Name)
			continue
		}
		if got.DType != onnx.Float || !slices.Equal(got.Shape, s.Tensor.Shape) || !slices.Equal(got.Float32s(), s.Tensor.Float32s()) {
			t.Errorf("%s is %v, in the checkpoint %v", s.Name, got, s.Tensor)
		}
		want := map[string]yolov5.Kind{"bias": yolov5.Bias, "running_mean": yolov5.RunningMean, "running_var": yolov5.RunningVar, "weight": yolov5.Weight}[last]
		if last == "weight" && len(s.Tensor.Shape) == 1 {
			want = yolov5.NormScale
		}
		if kind != want || kind.Buffer() == s.Parameter {
			t.Errorf("%s is of kind %d, want %d; parameter %t", s.Name, kind, want, s.Parameter)
		}
	}
}

func TestRecordedUnfitCheckpoint(t *testing.T) {
	_, _, err := yolov5.FromCheckpoint(checkpoint(t, "coco-variant-c3x-crossconv.pt"))
	var unfit *yolov5.UnfitError
	if !errors.As(err, &unfit) || !unfit.BadInput() || !strings.HasPrefix(err.Error(), "model table: layer 2: C3x: not a layer that yolofreeze can train") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

// made is a checkpoint of fresh weights, without modules.
func made(t *testing.T) *torch.Checkpoint {
	t.Helper()
	net := parse(t, with(nil), 0)
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	c := &torch.Checkpoint{YAML: with(nil), NC: 2, Strides: []float64{2, 4}, Anchors: onnx.Of([]float64{5, 6.75, 7.5, 15.25}, 2, 1, 2)}
	params, _ := net.Params()
	for _, p := range params {
		c.State = append(c.State, torch.NamedTensor{Name: p.Name, Tensor: state[p.Name], Parameter: !p.Kind.Buffer()})
	}
	return c
}

func TestFromCheckpointRefuses(t *testing.T) {
	if net, state, err := yolov5.FromCheckpoint(made(t)); err != nil || len(state) == 0 || fmt.Sprint(net.Anchors) != "[[[10 13.5]] [[30 61]]]" {
		t.Fatalf("the checkpoint itself: %v, %d tensors, anchors %v", err, len(state), net)
	}
	layer := func(kinds ...string) (list []torch.Layer) {
		for i, k := range kinds {
			list = append(list, torch.Layer{Index: i, Object: &torch.Object{Module: "models.common", Name: k}})
		}
		return list
	}
	for _, c := range []struct {
		name  string
		spoil func(c *torch.Checkpoint)
		want  string
	}{
		{"no table", func(c *torch.Checkpoint) { c.YAML = nil }, "holds no layer table"},
		{"another task", func(c *torch.Checkpoint) { c.Layers = layer("Conv", "Segment") }, "layer 1 is Segment: a segmentation model"},
		{"unlike its table", func(c *torch.Checkpoint) { c.Layers = layer("Focus", "Detect") }, "layer 0 is models.common.Focus, in its own table Conv"},
		{"more layers", func(c *torch.Checkpoint) {
			c.Layers = layer("Conv", "C3", "Conv", "Upsample", "Concat", "Detect", "Detect")
		}, "holds 7 layers, its own table 6"},
		{"another stride", func(c *torch.Checkpoint) { c.Strides = []float64{2, 8} }, "stride of level 1 is 8, by the layer table it is 4"},
		{"anchors of another form", func(c *torch.Checkpoint) { c.Anchors = onnx.NewTensor(onnx.Float, 2, 2) }, "anchors are [2 2] for 2 levels"},
		{"anchors of no size", func(c *torch.Checkpoint) { c.Anchors = onnx.NewTensor(onnx.Float, 2, 1, 2) }, "model table: anchor 0 of level 0 is 0,0"},
		{"a tensor missing", func(c *torch.Checkpoint) { c.State = c.State[1:] }, "lacks the tensor model.0.conv.weight [8 3 3 3]"},
		{"a tensor of another shape", func(c *torch.Checkpoint) { c.State[0].Tensor = onnx.NewTensor(onnx.Float, 8, 3, 6, 6) },
			"tensor model.0.conv.weight is [8 3 6 6], the layer table asks for [8 3 3 3]"},
		{"another number of classes", func(c *torch.Checkpoint) { c.NC = 3 }, "tensor model.5.m.0.weight is [7 16 1 1], the layer table asks for [8 16 1 1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkpoint := made(t)
			c.spoil(checkpoint)
			_, _, err := yolov5.FromCheckpoint(checkpoint)
			var unfit *yolov5.UnfitError
			if !errors.As(err, &unfit) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestRegrow: classes that stay, boxes and objectness keep their weights, wherever
// they stand now; a new class has what a new head has.
func TestRegrow(t *testing.T) {
	net := parse(t, testkit.YOLOv5Table("n", 3), 0)
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	from := []int{2, -1, 0, 1, -1}
	grown, got, err := net.Regrow(state, from, 3)
	if err != nil || grown.NC != 5 || net.NC != 3 {
		t.Fatalf("nc %d, before %d, %v", grown.NC, net.NC, err)
	}
	_, fresh, _, err := net.Rehead(state, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for name, tensor := range state {
		if !strings.HasPrefix(name, "model.24.") {
			if got[name] != tensor {
				t.Errorf("%s was not kept", name)
			}
			continue
		}
		changed++
		row := len(onnx.Data[float32](tensor)) / 3 / 8
		rows := func(t *onnx.Tensor, i int) []float32 { return onnx.Data[float32](t)[i*row : (i+1)*row] }
		for a := range 3 {
			for k := range 10 {
				want := rows(fresh[name], a*10+k)
				if k < 5 {
					want = rows(tensor, a*8+k)
				} else if before := from[k-5]; before >= 0 {
					want = rows(tensor, a*8+5+before)
				}
				if !slices.Equal(rows(got[name], a*10+k), want) {
					t.Errorf("%s: output %d of anchor %d is another's", name, k, a)
				}
			}
		}
	}
	if changed != 6 {
		t.Errorf("%d tensors of Detect", changed)
	}
	if _, _, err := net.Regrow(state, make([]int, 1<<20), 3); err == nil || !strings.Contains(err.Error(), "nc is 1048576") {
		t.Error(err)
	}
}

// TestRehead: another number of classes keeps all but the Detect convolutions,
// whose biases start at the log odds that YOLOv5 adds to PyTorch's initialisation.
func TestRehead(t *testing.T) {
	net := parse(t, testkit.YOLOv5Table("n", 80), 0)
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	if same, again, fresh, err := net.Rehead(state, 80, 3); err != nil || same != net || len(fresh) != 0 || len(again) != len(state) {
		t.Errorf("the same number of classes: %v, fresh %v", err, fresh)
	}
	for _, nc := range []int{1, 2, 20} {
		other, rest, fresh, err := net.Rehead(state, nc, 3)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"model.24.m.0.weight", "model.24.m.0.bias", "model.24.m.1.weight", "model.24.m.1.bias", "model.24.m.2.weight", "model.24.m.2.bias"}
		if !slices.Equal(fresh, want) || other.NC != nc || other.Table["nc"] != int64(nc) || net.NC != 80 {
			t.Errorf("fresh %v; nc %d, table %v, before %d", fresh, other.NC, other.Table["nc"], net.NC)
		}
		for name, tensor := range state {
			if kept := rest[name] == tensor; kept == slices.Contains(fresh, name) {
				t.Errorf("nc %d: %s kept %t", nc, name, kept)
			}
		}
		for level, stride := range []float64{8, 16, 32} {
			initialised(t, other, rest, level, math.Log(8/math.Pow(640/stride, 2)), math.Log(0.6/(float64(nc)-0.99999)))
		}
		_, twice, _, _ := net.Rehead(state, nc, 3)
		_, seeded, _, _ := net.Rehead(state, nc, 4)
		for _, name := range fresh {
			if !slices.Equal(twice[name].Raw, rest[name].Raw) || slices.Equal(seeded[name].Raw, rest[name].Raw) {
				t.Errorf("nc %d: %s does not depend on the seed alone", nc, name)
			}
		}
	}
	if _, _, _, err := net.Rehead(state, 1<<20, 3); err == nil || !strings.Contains(err.Error(), "nc is 1048576") {
		t.Error(err)
	}
}

// initialised checks one level's Detect convolution: uniform within ±1/√channels,
// biases shifted by the objectness's and the classes' log odds.
func initialised(t *testing.T, net *yolov5.Network, state map[string]*onnx.Tensor, level int, objectness, class float64) {
	t.Helper()
	prefix := fmt.Sprintf("model.24.m.%d", level)
	channels := net.Layers[24].In[level]
	bound := 1/math.Sqrt(float64(channels)) + 1e-6
	weight, bias := state[prefix+".weight"], state[prefix+".bias"]
	if no := 3 * net.Outputs(); !slices.Equal(weight.Shape, []int64{no, channels, 1, 1}) || !slices.Equal(bias.Shape, []int64{no}) {
		t.Fatalf("%s: shapes %v and %v", prefix, weight.Shape, bias.Shape)
	}
	square := 0.0
	for _, v := range weight.Float64s() {
		square += v * v / float64(weight.Len())
		if math.Abs(v) > bound {
			t.Fatalf("%s.weight holds %v, the bound is %v", prefix, v, bound)
		}
	}
	if want := bound * bound / 3; math.Abs(square/want-1) > 0.1 {
		t.Errorf("%s.weight has mean square %v, a uniform one %v", prefix, square, want)
	}
	for i, v := range bias.Float64s() {
		switch k := int64(i) % net.Outputs(); {
		case k == 4:
			v -= objectness
		case k > 4:
			v -= class
		}
		if math.Abs(v) > bound {
			t.Errorf("%s.bias[%d] lies %v from where it starts, the bound is %v", prefix, i, v, bound)
		}
	}
}

func TestInit(t *testing.T) {
	net := parse(t, with(nil), 0)
	state, err := net.Init(7)
	if err != nil {
		t.Fatal(err)
	}
	params, _ := net.Params()
	for _, p := range params {
		v, fill := state[p.Name].Float64s(), 0.0
		if !slices.Equal(state[p.Name].Shape, p.Shape) {
			t.Errorf("%s is %v, want %v", p.Name, state[p.Name].Shape, p.Shape)
		}
		switch {
		case strings.HasPrefix(p.Name, "model.5."): // TestRehead
			continue
		case p.Kind == yolov5.Weight:
			if bound := 1 / math.Sqrt(float64(onnx.NumElements(p.Shape[1:]))); slices.Max(v) > bound || slices.Min(v) < -bound || slices.Max(v) < bound/2 {
				t.Errorf("%s runs from %v to %v, the bound is %v", p.Name, slices.Min(v), slices.Max(v), bound)
			}
			continue
		case p.Kind == yolov5.NormScale, p.Kind == yolov5.RunningVar:
			fill = 1
		}
		if slices.ContainsFunc(v, func(x float64) bool { return x != fill }) {
			t.Errorf("%s is not all %v", p.Name, fill)
		}
	}
}
