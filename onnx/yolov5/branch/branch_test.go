package branch_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/branch"
)

type list = []any

// table is a network of two levels, with an activation of its own in its neck.
func table() map[string]any {
	row := func(from any, module string, args ...any) any { return list{from, int64(1), module, list(args)} }
	return map[string]any{
		"nc": int64(4), "depth_multiple": 1.0, "width_multiple": 1.0, "activations": map[string]any{"model.3": "ReLU"},
		"anchors":  list{list{int64(10), int64(13)}, list{int64(30), int64(61)}},
		"backbone": list{row(int64(-1), "Conv", int64(8), int64(3), int64(2)), row(int64(-1), "Conv", int64(8), int64(3), int64(2)), row(int64(-1), "Conv", int64(16), int64(3), int64(2))},
		"head":     list{row(int64(1), "Conv", int64(8), int64(1), int64(1)), row(list{int64(3), int64(2)}, "Detect", "nc", "anchors")},
	}
}

func parsed(t *testing.T, table map[string]any, nc int) *yolov5.Network {
	t.Helper()
	net, err := yolov5.ParseTable(table, nc)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// TestAppend: what was appended comes out as it went in, whatever else was appended.
func TestAppend(t *testing.T) {
	first := parsed(t, table(), 0)
	joined := first
	var branches []*yolov5.Network
	for i, shared := range []int{3, 2, 4, 1} {
		own := parsed(t, table(), i+1)
		own.SetAnchors([][][2]float64{{{1, 2}}, {{3, float64(4 + i)}}})
		next, name, err := branch.Append(joined, own, shared)
		if err != nil {
			t.Fatal(err)
		}
		last := own.Layers[own.Head()].Name()
		if got, want := name(last+".m.0.weight"), next.Layers[next.Head()].Name()+".m.0.weight"; got != want {
			t.Errorf("shared %d: the Detect layer's weight is called %s, want %s", shared, got, want)
		}
		if got := name("model.0.conv.weight"); got != "model.0.conv.weight" {
			t.Errorf("a shared tensor is called %s", got)
		}
		joined, branches = next, append(branches, own)
	}
	if joined.NC != 4+1+2+3+4 || len(joined.Branches) != 5 || joined.Levels() != 10 {
		t.Fatalf("%d classes, %d branches, %d levels", joined.NC, len(joined.Branches), joined.Levels())
	}
	for i, want := range append([]*yolov5.Network{first}, branches...) {
		got, _, err := branch.Of(joined, i)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Branches) != 0 || got.NC != want.NC || got.Backbone != want.Backbone || !reflect.DeepEqual(got.Anchors, want.Anchors) ||
			!maps.Equal(got.Acts, want.Acts) || len(got.Layers) != len(want.Layers) {
			t.Errorf("branch %d is %+v, want %+v", i, got, want)
		}
		a, err1 := got.Params()
		b, err2 := want.Params()
		if err1 != nil || err2 != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("branch %d has the tensors %v, want %v (%v, %v)", i, a, b, err1, err2)
		}
	}
	again := parsed(t, joined.Table, joined.NC)
	if !reflect.DeepEqual(again.Branches, joined.Branches) || again.NC != joined.NC {
		t.Error("its table read again is another network")
	}
	for _, shared := range []int{0, -1, 5} {
		if _, _, err := branch.Append(first, branches[0], shared); err == nil {
			t.Errorf("a branch behind %d layers was appended", shared)
		}
	}
}

// TestStrangeBranches: tables that Append would not write are refused, or read without a panic.
func TestStrangeBranches(t *testing.T) {
	anchors := list{list{int64(1), int64(2)}}
	detect := func(from any, args ...any) any { return list{from, int64(1), "Detect", list(args)} }
	for want, row := range map[string]any{
		"":                                detect(int64(0), int64(1), anchors), // of fewer layers than the backbone
		"reads layer 4, which is Detect":  detect(int64(-1), int64(1), anchors),
		"want its own classes":            detect(int64(0), "nc", "anchors"),
		"anchors are anchors, want":       detect(int64(0), int64(1), "anchors"),
		"1 inputs, anchors for 2 levels":  detect(int64(0), int64(1), append(list{anchors[0]}, anchors...)),
		"the last layer is not Detect":    list{int64(0), int64(1), "Conv", list{int64(8)}},
		"args [0 [[1 2]]], want its own ": detect(int64(0), int64(0), anchors),
	} {
		bad := table()
		bad["head"] = append(bad["head"].(list), row)
		net, err := yolov5.ParseTable(bad, 0)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err != nil {
			continue
		}
		for i := range net.Branches {
			if one, _, err := branch.Of(net, i); err != nil || len(one.Branches) != 0 {
				t.Errorf("branch %d: %v", i, err)
			}
		}
	}
	bad := table()
	bad["head"] = append(bad["head"].(list), detect(int64(0), int64(3), anchors))
	if _, err := yolov5.ParseTable(bad, 3); err == nil || !strings.Contains(err.Error(), "3 classes, the branches behind the first one have 3") {
		t.Errorf("no class left for the first branch: %v", err)
	}
}
