package yolov5_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

// one is a network of one layer, of 8 or 16 channels, and its Detect.
func one(t *testing.T, module string, args ...any) *yolov5.Network {
	t.Helper()
	type list = []any
	return parse(t, map[string]any{
		"nc": int64(1), "anchors": list{list{int64(8), int64(8)}}, "head": list{list{list{int64(-1)}, int64(1), "Detect", list{"nc", "anchors"}}},
		"backbone": list{list{int64(-1), int64(1), "Conv", list{int64(8), int64(1), int64(1)}}, list{int64(-1), int64(2), module, args}},
	}, 0)
}

// forward builds a network's forward pass on pictures of 8×8, all weights constant.
func forward(t *testing.T, net *yolov5.Network, state map[string]*onnx.Tensor, set func(*yolov5.Graph)) (*op.Builder, *yolov5.Graph) {
	t.Helper()
	b := op.NewBuilder("forward")
	g := &yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value { return b.Param(p.Name, state[p.Name]) }}
	if set != nil {
		set(g)
	}
	heads, err := g.Forward(b.Input("images", onnx.Float, onnx.Dims(2, 3, 8, 8)))
	if err != nil {
		t.Fatal(err)
	}
	b.Output("head", heads[0])
	return b, g
}

func pictures() map[string]*ref.Array {
	return map[string]*ref.Array{"images": ref.FromTensor(testkit.Random(rand.New(rand.NewPCG(1, 1)), 2, 3, 8, 8))}
}

// started are fresh weights whose BatchNorms are not the identity.
func started(t testing.TB, net *yolov5.Network) map[string]*onnx.Tensor {
	t.Helper()
	state, err := net.Init(5)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2, 2))
	params, _ := net.Params()
	for _, p := range params {
		if p.Kind != yolov5.Weight {
			for i, v := range onnx.Data[float32](state[p.Name]) {
				onnx.Data[float32](state[p.Name])[i] = v + float32(0.5*random.Float64())
			}
		}
	}
	return state
}

// TestPools: three chained pools of 5 are pools of 5, 9 and 13 side by side.
func TestPools(t *testing.T) {
	chained, parallel := one(t, "SPPF", int64(16), int64(5)), one(t, "SPP", int64(16), []any{int64(5), int64(9), int64(13)})
	state := started(t, chained)
	b, _ := forward(t, chained, state, nil)
	want := run(t, b, pictures())["head"]
	b, _ = forward(t, parallel, state, nil)
	if got := run(t, b, pictures())["head"]; !slices.Equal(got.Data, want.Data) {
		t.Error("SPP and SPPF differ")
	}
}

// TestFocus: channels are the picture's even columns and rows, odd rows, odd
// columns, both odd, in this order.
func TestFocus(t *testing.T) {
	type list = []any
	net := parse(t, map[string]any{
		"nc": int64(1), "anchors": list{list{int64(8), int64(8)}}, "head": list{list{list{int64(-1)}, int64(1), "Detect", list{}}},
		"backbone": list{list{int64(-1), int64(1), "Focus", list{int64(16), int64(1)}}},
	}, 0)
	b, _ := forward(t, net, started(t, net), nil)
	for _, n := range b.Model.Nodes {
		if n.Op == "Concat" {
			b.Output("slices", n.Outputs[0])
		}
	}
	fed := pictures()
	got, images := run(t, b, fed)["slices"], fed["images"].Data
	for i, v := range got.Data {
		x, y, c, n := i%4, i/4%4, i/16%12, i/16/12
		right, down := c/3/2, c/3%2
		if want := images[((n*3+c%3)*8+2*y+down)*8+2*x+right]; v != want {
			t.Fatalf("picture %d, channel %d, (%d,%d): %v, want %v", n, c, x, y, v, want)
		}
	}
}

// TestShortcuts: a bottleneck adds its input where it may and the channels agree.
func TestShortcuts(t *testing.T) {
	for _, c := range []struct {
		net  *yolov5.Network
		want int
	}{
		{one(t, "C3", int64(8)), 2}, {one(t, "C3", int64(16)), 2}, {one(t, "C3", int64(8), false), 0}, {one(t, "C3", int64(8), "False"), 0},
		{one(t, "BottleneckCSP", int64(16)), 2}, {one(t, "Bottleneck", int64(8)), 2}, {one(t, "Bottleneck", int64(16)), 1}, {one(t, "Bottleneck", int64(8), false), 0},
	} {
		b, _ := forward(t, c.net, started(t, c.net), nil)
		adds := 0
		for _, n := range b.Model.Nodes {
			if n.Op == "Add" {
				adds++
			}
		}
		if adds != c.want {
			t.Errorf("%s %v: %d sums, want %d", c.net.Layers[1].Kind, c.net.Layers[1].Args, adds, c.want)
		}
	}
}

// TestNames: modules repeated in a row are numbered, those of C3 stand in its m.
func TestNames(t *testing.T) {
	for module, want := range map[string]string{
		"Conv":          "model.1.0.conv model.1.0.bn model.1.1.conv model.1.1.bn",
		"C3":            "model.1.cv1.conv model.1.cv1.bn model.1.cv2.conv model.1.cv2.bn model.1.m.0.cv1.conv model.1.m.0.cv1.bn model.1.m.0.cv2.conv model.1.m.0.cv2.bn model.1.m.1.cv1.conv model.1.m.1.cv1.bn model.1.m.1.cv2.conv model.1.m.1.cv2.bn model.1.cv3.conv model.1.cv3.bn",
		"BottleneckCSP": "model.1.cv1.conv model.1.cv1.bn model.1.m.0.cv1.conv model.1.m.0.cv1.bn model.1.m.0.cv2.conv model.1.m.0.cv2.bn model.1.m.1.cv1.conv model.1.m.1.cv1.bn model.1.m.1.cv2.conv model.1.m.1.cv2.bn model.1.cv3 model.1.cv2 model.1.bn model.1.cv4.conv model.1.cv4.bn",
	} {
		params, err := one(t, module, int64(8)).Params()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range params {
			if name, ok := strings.CutSuffix(p.Name, ".weight"); ok && strings.HasPrefix(name, "model.1.") {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s has %q, want %s", module, got, want)
		}
	}
}

// TestBatchStatistics: a module on batch statistics normalises its output and
// moves its running statistics towards the batch's, the variance unbiased.
func TestBatchStatistics(t *testing.T) {
	net := one(t, "Conv", int64(8), int64(3))
	state := started(t, net)
	b, g := forward(t, net, state, func(g *yolov5.Graph) {
		g.BatchStats = func(module string) bool { return module == "model.1.1.bn" }
	})
	if moved := slices.Sorted(maps.Keys(g.Moved)); !slices.Equal(moved, []string{"model.1.1.bn.running_mean", "model.1.1.bn.running_var"}) {
		t.Fatalf("moved %v", moved)
	}
	b.Output("mean", g.Moved["model.1.1.bn.running_mean"])
	b.Output("var", g.Moved["model.1.1.bn.running_var"])
	for _, n := range b.Model.Nodes {
		if n.Op == "BatchNormalization" && (n.Int("training_mode", 0) == 1) != strings.HasPrefix(n.Name, "model.1.1.bn") {
			t.Errorf("%s: training mode %d", n.Name, n.Int("training_mode", 0))
		}
		switch n.Name {
		case "model.1.1.conv/Conv":
			b.Output("x", n.Outputs[0])
		case "model.1.1.bn/BatchNormalization":
			b.Output("y", n.Outputs[0])
		}
	}
	got := run(t, b, pictures())
	x, y := got["x"], got["y"]
	for c := range 8 {
		value := func(a *ref.Array, i int) float64 { return a.Data[(i/64*8+c)*64+i%64] }
		mean, square := 0.0, 0.0
		for i := range 128 {
			mean += value(x, i) / 128
		}
		for i := range 128 {
			square += math.Pow(value(x, i)-mean, 2)
		}
		part := func(name string) float64 { return float64(onnx.Data[float32](state["model.1.1.bn."+name])[c]) }
		near := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-7*max(1, math.Abs(want)) {
				t.Errorf("channel %d: %s is %v, want %v", c, what, got, want)
			}
		}
		near("running mean", got["mean"].Data[c], 0.97*part("running_mean")+0.03*mean)
		near("running variance", got["var"].Data[c], 0.97*part("running_var")+0.03*square/127)
		for _, i := range []int{0, 77} {
			near("output", value(y, i), (value(x, i)-mean)/math.Sqrt(square/128+1e-3)*part("weight")+part("bias"))
		}
	}
}

// TestBuildTwice: a network is built the same way each time.
func TestBuildTwice(t *testing.T) {
	net := one(t, "C3", int64(16))
	state := started(t, net)
	first, _ := forward(t, net, state, nil)
	second, _ := forward(t, net, state, nil)
	if first.Model.String() != second.Model.String() {
		t.Error("the second time it is another graph")
	}
}

func run(t *testing.T, b *op.Builder, feeds map[string]*ref.Array) map[string]*ref.Array {
	t.Helper()
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	if err := testkit.Sound(b.Model); err != nil {
		t.Fatal(err)
	}
	out, err := ref.Run(b.Model, feeds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
