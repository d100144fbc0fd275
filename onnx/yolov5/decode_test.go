package yolov5_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

// twoLevels has one and two anchors on levels of 8 and 16 pixels a cell. Its
// only layer is a Detect that nothing feeds.
func twoLevels(nc int) *yolov5.Network {
	return &yolov5.Network{
		Layers: []yolov5.Layer{{Kind: "Detect"}}, NC: nc,
		Anchors: [][][2]float64{{{10, 13}}, {{30, 61}, {62, 45}}}, Strides: []int64{8, 16},
	}
}

// rawOutputs draws what Forward would return for n pictures.
func rawOutputs(random *rand.Rand, net *yolov5.Network, n, height, width int64) []*onnx.Tensor {
	heads := make([]*onnx.Tensor, len(net.Anchors))
	for i, anchors := range net.Anchors {
		heads[i] = testkit.Random(random, n, int64(len(anchors))*net.Outputs(), height/net.Strides[i], width/net.Strides[i])
	}
	return heads
}

// decoded computes one row of Decode's output from its definition.
func decoded(net *yolov5.Network, heads []*onnx.Tensor, picture int64, row int) []float64 {
	for level, head := range heads {
		h, w := int(head.Shape[2]), int(head.Shape[3])
		if rows := len(net.Anchors[level]) * h * w; row >= rows {
			row -= rows
			continue
		}
		anchor, y, x := row/(h*w), row/w%h, row%w
		values := make([]float64, net.Outputs())
		for k := range values {
			at := ((int(picture)*len(net.Anchors[level])+anchor)*len(values)+k)*h*w + y*w + x
			values[k] = 1 / (1 + math.Exp(-head.Float64s()[at]))
		}
		stride := float64(net.Strides[level])
		values[0] = (2*values[0] - 0.5 + float64(x)) * stride
		values[1] = (2*values[1] - 0.5 + float64(y)) * stride
		values[2] = math.Pow(2*values[2], 2) * net.Anchors[level][anchor][0]
		values[3] = math.Pow(2*values[3], 2) * net.Anchors[level][anchor][1]
		return values
	}
	return nil
}

// TestDecode: of fixed and of unknown sizes, the graph gives what decoded says,
// and Rows the same of one picture.
func TestDecode(t *testing.T) {
	const n, height, width = 2, 32, 48
	net := twoLevels(3)
	heads := rawOutputs(rand.New(rand.NewPCG(1, 2)), net, n, height, width)
	for _, dynamic := range []bool{false, true} {
		b := op.NewBuilder("decode")
		x, feeds := make([]*onnx.Value, len(heads)), map[string]*ref.Array{}
		for i, h := range heads {
			shape := onnx.Dims(h.Shape...)
			if dynamic {
				shape = []onnx.Dim{onnx.Sym("batch"), shape[1], onnx.Sym(fmt.Sprintf("h%d", i)), onnx.Sym(fmt.Sprintf("w%d", i))}
			}
			x[i] = b.Input(fmt.Sprintf("head%d", i), onnx.Float, shape)
			feeds[x[i].Name] = ref.FromTensor(h)
		}
		y, err := net.Decode(b, x)
		if err != nil {
			t.Fatal(err)
		}
		b.Output("output0", y)
		if err := testkit.Sound(b.Model); err != nil {
			t.Fatal(err)
		}
		out, err := ref.Run(b.Model, feeds)
		if err != nil {
			t.Fatal(err)
		}
		got, rows := out["output0"], 4*6+2*2*3
		if fmt.Sprint(got.Shape) != fmt.Sprint([]int{n, rows, 8}) {
			t.Fatalf("dynamic %t: shape %v", dynamic, got.Shape)
		}
		for i := range n * rows {
			for k, want := range decoded(net, heads, int64(i/rows), i%rows) {
				if v := got.Data[i*8+k]; math.Abs(v-want) > 1e-9*max(1, want) {
					t.Fatalf("dynamic %t: row %d value %d is %v, want %v", dynamic, i, k, v, want)
				}
			}
		}
	}
}

func TestRows(t *testing.T) {
	net := twoLevels(3)
	heads := rawOutputs(rand.New(rand.NewPCG(3, 4)), net, 1, 32, 48)
	for _, conf := range []float64{0, 0.001, 0.25, 0.6, 1} {
		got, err := net.Rows(heads, conf)
		if err != nil {
			t.Fatal(err)
		}
		kept := 0
		for row := range 4*6 + 2*2*3 {
			want := decoded(net, heads, 0, row)
			if want[4] <= conf {
				continue
			}
			if len(got) < 8*(kept+1) {
				t.Fatalf("conf %v: only %d rows", conf, len(got)/8)
			}
			for k, w := range want {
				g := float64(got[8*kept+k])
				dropped := k > 4 && g == 0 && w*want[4] <= conf
				if !dropped && math.Abs(g-w) > 1e-5*max(1, w) {
					t.Errorf("conf %v: row %d value %d is %v, want %v", conf, row, k, g, w)
				}
			}
			kept++
		}
		if len(got) != 8*kept {
			t.Errorf("conf %v: %d rows, want %d", conf, len(got)/8, kept)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	net := twoLevels(3)
	b := op.NewBuilder("decode")
	flat := b.Input("x", onnx.Float, onnx.Dims(1, 8, 4))
	if _, err := net.Decode(b, []*onnx.Value{flat}); err == nil {
		t.Error("one output was decoded for two levels")
	}
	if _, err := net.Decode(b, []*onnx.Value{flat, flat}); err == nil {
		t.Error("three dimensions were decoded")
	}
	good := rawOutputs(rand.New(rand.NewPCG(5, 6)), net, 1, 32, 32)
	for want, heads := range map[string][]*onnx.Tensor{
		"decode: 1 outputs for 2 levels":                                  good[:1],
		"decode: output 1: float32 [1 8 4 4], want float32 [N 16 H W]":    {good[0], good[0]},
		"decode: output 0: float64 [1 8 4 4], want float32 [N 8 H W]":     {onnx.NewTensor(onnx.Double, 1, 8, 4, 4), good[1]},
		"decode: output 0: float32 [8 4 4], want float32 [N 8 H W]":       {onnx.NewTensor(onnx.Float, 8, 4, 4), good[1]},
		"decode: output 0: float32 [1 9 4 4], want float32 [N 8 H W]":     {onnx.NewTensor(onnx.Float, 1, 9, 4, 4), good[1]},
		"decode: output 1: float32 [1 16 2 2 1], want float32 [N 16 H W]": {good[0], onnx.NewTensor(onnx.Float, 1, 16, 2, 2, 1)},
	} {
		if _, err := net.Rows(heads, 0.1); err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
