package yolov5_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

func parse(t testing.TB, table map[string]any, nc int) *yolov5.Network {
	t.Helper()
	net, err := yolov5.ParseTable(table, nc)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// TestVariants: channels, repeats and parameters of the five models. YOLOv5
// prints 7,235,389 parameters for s; the tables give the others.
func TestVariants(t *testing.T) {
	for _, c := range []struct {
		variant    string
		first      int64 // channels of layer 0
		last       int64 // of layer 9
		repeats    []int // of the C3 of the backbone, and of the neck
		parameters int64
	}{
		{"n", 16, 256, []int{1, 2, 3, 1, 1}, 1872157},
		{"s", 32, 512, []int{1, 2, 3, 1, 1}, 7235389},
		{"m", 48, 768, []int{2, 4, 6, 2, 2}, 21190557},
		{"l", 64, 1024, []int{3, 6, 9, 3, 3}, 46563709},
		{"x", 80, 1280, []int{4, 8, 12, 4, 4}, 86749405},
	} {
		t.Run(c.variant, func(t *testing.T) {
			net := parse(t, testkit.YOLOv5Table(c.variant, 80), 0)
			if net.Backbone != 10 || net.Head() != 24 || net.NC != 80 || !slices.Equal(net.Strides, []int64{8, 16, 32}) || net.MaxStride() != 32 {
				t.Errorf("backbone %d, head %d, nc %d, strides %v", net.Backbone, net.Head(), net.NC, net.Strides)
			}
			var repeats []int
			for _, i := range []int{2, 4, 6, 8, 13} {
				repeats = append(repeats, net.Layers[i].Repeat)
			}
			if !slices.Equal(repeats, c.repeats) || net.Layers[0].Out != c.first || net.Layers[9].Out != c.last {
				t.Errorf("repeats %v, channels %d … %d", repeats, net.Layers[0].Out, net.Layers[9].Out)
			}
			if got := net.Layers[12]; !slices.Equal(got.From, []int{11, 6}) || got.Out != got.In[0]+got.In[1] {
				t.Errorf("layer 12 takes %v, %v channels, gives %d", got.From, got.In, got.Out)
			}
			params, err := net.Params()
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, p := range params {
				if !p.Kind.Buffer() {
					total += onnx.NumElements(p.Shape)
				}
			}
			if total != c.parameters {
				t.Errorf("%d parameters, want %d", total, c.parameters)
			}
		})
	}
}

// TestParseTableAgain: a network's own table gives the network, also after JSON.
func TestParseTableAgain(t *testing.T) {
	net := parse(t, testkit.YOLOv5Table("n", 80), 20)
	if again := parse(t, net.Table, 0); !reflect.DeepEqual(again, net) {
		t.Errorf("another network:\n%+v\n%+v", again, net)
	}
	text, err := json.Marshal(net.Table)
	if err != nil {
		t.Fatal(err)
	}
	var table map[string]any
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	again := parse(t, table, 0)
	again.Table = net.Table
	for i := range again.Layers { // JSON has no integers
		again.Layers[i].Args = net.Layers[i].Args
	}
	if !reflect.DeepEqual(again, net) {
		t.Errorf("another network after JSON:\n%+v\n%+v", again, net)
	}
}

// with returns a small table with one entry replaced. The path names keys, and
// indices by number.
func with(value any, path ...any) map[string]any {
	type list = []any
	table := map[string]any{
		"nc": int64(2), "depth_multiple": 1.0, "width_multiple": 1.0, "anchors": list{list{int64(10), 13.5}, list{int64(30), int64(61)}},
		"backbone": list{list{int64(-1), int64(1), "Conv", list{int64(8), int64(3), int64(2)}}, list{int64(-1), int64(3), "C3", list{int64(8)}}},
		"head": list{
			list{int64(-1), int64(1), "Conv", list{int64(8), int64(3), int64(2)}}, list{int64(-1), int64(1), "nn.Upsample", list{nil, int64(2), "nearest"}},
			list{list{int64(-1), int64(1)}, int64(1), "Concat", list{int64(1)}}, list{list{int64(4), int64(2)}, int64(1), "Detect", list{"nc", "anchors"}},
		},
	}
	if len(path) == 0 {
		return table
	}
	var at any = table
	for _, p := range path[:len(path)-1] {
		if key, ok := p.(string); ok {
			at = at.(map[string]any)[key]
		} else {
			at = at.(list)[p.(int)]
		}
	}
	switch last := path[len(path)-1].(type) {
	case string:
		at.(map[string]any)[last] = value
	case int:
		at.(list)[last] = value
	}
	return table
}

func TestParseTableRefuses(t *testing.T) {
	if net := parse(t, with(nil), 0); len(net.Layers) != 6 || !slices.Equal(net.Strides, []int64{2, 4}) {
		t.Fatalf("the table itself: %+v", net)
	}
	type list = []any
	for _, c := range []struct {
		table map[string]any
		want  string
	}{
		{with(nil, "nc"), "model table: nc is <nil>, want 1 to "},
		{with(int64(-3), "nc"), "model table: nc is -3, want 1 to "},
		{with(1e18, "nc"), "model table: nc is 1e+18, want 1 to "},
		{with(1e9, "depth_multiple"), "model table: depth_multiple is 1e+09"},
		{with("half", "width_multiple"), "model table: width_multiple is half"},
		{with(math.NaN(), "width_multiple"), "model table: width_multiple is NaN"},
		{with(0.0, "width_multiple"), "model table: width_multiple is 0"},
		{with(nil, "anchors"), "model table: anchors are <nil>, want a list per level"},
		{with(list{int64(1)}, "anchors", 1), "model table: anchors of level 1 are [1], want pairs"},
		{with(list{int64(1), "x"}, "anchors", 1), "model table: anchor 0 of level 1 is 1,x"},
		{with(int64(-13), "anchors", 0, 1), "model table: anchor 0 of level 0 is 10,-13"},
		{with(math.NaN(), "anchors", 0, 0), "model table: anchor 0 of level 0 is NaN,13.5"},
		{with(math.Inf(1), "anchors", 0, 0), "model table: anchor 0 of level 0 is +Inf,13.5"},
		{with(list{list{1, 2}, list{1, 2}, list{1, 2}, list{1, 2}, list{1, 2}, list{1, 2}}, "anchors"), "model table: anchors for 6 levels"},
		{with("Mish", "activation"), `model table: activation "Mish" is none of SiLU`},
		{with("conv", "backbone"), `model table: key "backbone" holds no list of layers`},
		{with("conv", "head", 0), "model table: layer 2: row conv is not [from, number, module, args]"},
		{with(int64(7), "head", 0, 2), "model table: layer 2: module 7 is not a name"},
		{with("CrossConv", "head", 0, 2), "model table: layer 2: CrossConv: not a layer that yolofreeze can train (it can: "},
		{with(int64(7), "head", 0, 3), "model table: layer 2: Conv: args 7 are not a list"},
		{with(list{}, "head", 0, 3), "model table: layer 2: Conv: args [] lack the output channels"},
		{with(list{"64"}, "head", 0, 3), "model table: layer 2: Conv: args [64] lack the output channels"},
		{with(int64(0), "head", 0, 3, 2), "model table: layer 2: Conv: args [8 3 0]: a stride of 0 in all, want 1 to "},
		{with(int64(1<<40), "head", 0, 3, 0), "model table: layer 2: Conv: 1099511627776 output channels, want 1 to "},
		{with(int64(-3), "head", 0, 3, 1), "model table: layer 2: Conv: args [8 -3 2]: -3 is not within 0 to "},
		{with(list{int64(8), list{int64(1 << 20)}}, "head", 0, 3), "model table: layer 2: Conv: args [8 [1048576]]: 1048576 is not within 0 to "},
		{with(list{list{int64(-1), int64(1), "Detect", list{}}}, "backbone"), "model table: layer 0: Detect: 1 inputs, anchors for 2 levels"},
		{with(list{list{list{int64(-1), int64(-1)}, int64(1), "Detect", list{}}}, "backbone"), "model table: layer 0: Detect: takes the picture itself"},
		{with(int64(0), "backbone", 1, 1), "model table: layer 1: C3: number is 0"},
		{with(1.5, "backbone", 1, 1), "model table: layer 1: C3: number is 1.5"},
		{with(int64(5), "head", 0, 0), "model table: layer 2: Conv: input 5 of layer 2"},
		{with(int64(-4), "head", 0, 0), "model table: layer 2: Conv: input -4 of layer 2"},
		{with(list{}, "head", 2, 0), "model table: layer 4: Concat: takes nothing"},
		{with(int64(3), "head", 1, 3, 1), "model table: layer 3: Upsample: args [<nil> 3 nearest]: only nearest ×2 is known"},
		{with("bilinear", "head", 1, 3, 2), "model table: layer 3: Upsample: args [<nil> 2 bilinear]: only nearest ×2 is known"},
		{with(int64(2), "head", 2, 3, 0), "model table: layer 4: Concat: args [2]: only axis 1 is known"},
		{with(list{int64(4)}, "head", 3, 0), "model table: layer 5: Detect: 1 inputs, anchors for 2 levels"},
		{with(list{list{int64(-1), int64(1), "Conv", list{int64(8)}}}, "head"), "model table: the last layer is not Detect"},
		{with(list{list{int64(1), int64(0)}, int64(1), "Detect", list{}}, "head", 0), "model table: layer 3: Upsample: reads layer 2, which is Detect"},
		{with("nn.Upsample", "backbone", 0, 2), "model table: layer 0: Upsample: args [8 3 2]: only nearest ×2 is known"},
		{with(list{int64(-1), int64(1), "nn.Upsample", list{nil, int64(2), "nearest"}}, "backbone", 0), "model table: layer 0: Upsample: enlarges the picture"},
	} {
		if _, err := yolov5.ParseTable(c.table, 0); err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// TestSpoiledTables: whatever stands in one place of a table, reading it and
// listing its tensors ends, without a panic.
func TestSpoiledTables(t *testing.T) {
	values := []any{nil, "x", true, int64(-1), int64(0), int64(1), int64(999), int64(1) << 62, 0.5, -1e300, math.Inf(1), math.NaN(), []any{}, []any{int64(0), int64(0)}, map[string]any{}}
	for _, path := range paths(with(nil)) {
		for _, v := range values {
			table := with(v, path...)
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%v at %v: %v", v, path, r)
					}
				}()
				if net, err := yolov5.ParseTable(table, 0); err == nil {
					_, _ = net.Params()
				}
			}()
		}
	}
}

// paths lists every place of nested maps and lists.
func paths(v any) (all [][]any) {
	add := func(key, child any) {
		all = append(all, []any{key})
		for _, p := range paths(child) {
			all = append(all, append([]any{key}, p...))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			add(key, child)
		}
	case []any:
		for i, child := range v {
			add(i, child)
		}
	}
	return all
}

func TestSetAnchors(t *testing.T) {
	net := parse(t, with(nil), 0)
	anchors := [][][2]float64{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8.5}}}
	net.SetAnchors(anchors)
	if again := parse(t, net.Table, 0); fmt.Sprint(again.Anchors) != fmt.Sprint(anchors) || fmt.Sprint(net.Anchors) != fmt.Sprint(anchors) {
		t.Errorf("anchors %v, by the table %v", net.Anchors, again.Anchors)
	}
}
