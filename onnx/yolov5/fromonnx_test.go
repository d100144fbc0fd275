package yolov5_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

// Tables of every generation, cut down: each layer that there is, at least once.
var generations = map[string]string{
	"v3: Focus, BottleneckCSP, SPP": `
activation: nn.Hardswish()
activations: {model.2: LeakyReLU(0.1), model.5: LeakyReLU(0.1), model.9: LeakyReLU(0.1)}
backbone: [[-1, 1, Focus, [8, 3]], [-1, 1, Conv, [16, 3, 2]], [-1, 2, BottleneckCSP, [16]], [-1, 1, Conv, [32, 3, 2]], [-1, 1, SPP, [32, [3, 5]]],
  [-1, 1, BottleneckCSP, [16, False]]]
head: [[-1, 1, Conv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]],
  [-1, 1, BottleneckCSP, [16, False]], [[9, 6], 1, Detect, [nc, anchors]]]`,
	"v5: Focus, C3, SPP": `
backbone: [[-1, 1, Focus, [8, 3]], [-1, 1, Conv, [16, 3, 2]], [-1, 3, C3, [16]], [-1, 1, Conv, [32, 3, 2]], [-1, 1, SPP, [32, [5, 9, 13]]], [-1, 1, C3, [32, False]]]
head: [[-1, 1, Conv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, C3, [16, False]],
  [-1, 1, Conv, [16, 3, 2]], [[-1, 6], 1, Concat, [1]], [-1, 1, C3, [32, False]], [[9, 12], 1, Detect, [nc, anchors]]]`,
	"v6: C3, SPPF": `
activation: nn.LeakyReLU(0.1)
backbone: [[-1, 1, Conv, [8, 6, 2, 2]], [-1, 1, Conv, [16, 3, 2]], [-1, 2, C3, [16]], [-1, 1, Conv, [32, 3, 2]], [-1, 1, SPPF, [32, 5]]]
head: [[-1, 1, Conv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, C3, [16, False]],
  [-1, 1, Conv, [16, 3, 2]], [[-1, 5], 1, Concat, [1]], [-1, 1, C3, [32, False]], [[8, 11], 1, Detect, [nc, anchors]]]`,
	"ghosts": `
backbone: [[-1, 1, Conv, [8, 6, 2, 2]], [-1, 1, GhostConv, [16, 3, 2]], [-1, 2, C3Ghost, [16]], [-1, 1, DWConv, [32, 3, 2]], [-1, 1, C3SPP, [32, [3, 5]]]]
head: [[-1, 1, GhostConv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, C3Ghost, [16, False]],
  [-1, 1, GhostConv, [16, 3, 2]], [[-1, 5], 1, Concat, [1]], [-1, 1, C3Ghost, [32, False]], [[8, 11], 1, Detect, [nc, anchors]]]`,
	"ghost bottlenecks": `
backbone: [[-1, 1, Conv, [8, 6, 2, 2]], [-1, 1, GhostBottleneck, [16, 3, 2]], [-1, 1, GhostBottleneck, [16]], [-1, 1, GhostBottleneck, [32, 5, 2]]]
head: [[-1, 1, Conv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, C3, [16, False]],
  [[7, 3], 1, Detect, [nc, anchors]]]`,
	"levels from coarse to fine, groups, no activation": `
activation: nn.ReLU()
activations: {model.5: Identity}
backbone: [[-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [16, 3, 2, None, 2]], [-1, 1, Bottleneck, [16]], [-1, 1, Conv, [32, 3, 2]], [-1, 1, C3, [32, False]]]
head: [[-1, 1, Conv, [16, 1, 1]], [-1, 1, nn.Upsample, [None, 2, nearest]], [[-1, 2], 1, Concat, [1]], [-1, 1, Conv, [16, 3]],
  [[4, 8], 1, Detect, [nc, anchors]]]`,
}

func generation(t testing.TB, name string, folded bool) *yolov5.Network {
	t.Helper()
	var table map[string]any
	if err := yaml.Decode([]byte(generations[name]), &table); err != nil {
		t.Fatal(err)
	}
	noneToNil(table)
	table["nc"], table["folded"] = int64(3), folded
	table["anchors"] = []any{[]any{10, 13, 16.5, 30}, []any{116, 90, 156, 198}}
	return parse(t, table, 0)
}

// noneToNil gives the word None of YOLOv5's tables its meaning in Python.
func noneToNil(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			noneToNil(child)
		}
	case []any:
		for i, child := range v {
			if child == "None" {
				v[i] = nil
			}
			noneToNil(child)
		}
	}
}

// decodedGraph is a network with its decoding, weights constant, as a file brings it.
func decodedGraph(t testing.TB, net *yolov5.Network, state map[string]*onnx.Tensor, shape ...onnx.Dim) *onnx.Model {
	t.Helper()
	b := op.NewBuilder("exported")
	g := &yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value { return b.Param(p.Name, state[p.Name]) }}
	heads, err := g.Forward(b.Input("images", onnx.Float, shape))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := net.Decode(b, heads)
	if err != nil {
		t.Fatal(err)
	}
	b.Output("output0", rows)
	return b.Model
}

// reread takes all names away and writes and reads the file.
func reread(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	for i, v := range slices.Concat(m.Inputs, m.Initializers) {
		v.Name = fmt.Sprintf("in%d", i)
	}
	for i, n := range m.Nodes {
		n.Name = ""
		for k, v := range n.Outputs {
			v.Name = fmt.Sprintf("%d.%d", i, k)
		}
	}
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := wire.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func evaluate(m *onnx.Model, feeds map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	in, answers := map[string]*ref.Array{}, map[string]*onnx.Tensor{}
	for name, x := range feeds {
		in[name] = ref.FromTensor(x)
	}
	out, err := ref.Run(m, in)
	for name, a := range out {
		answers[name] = a.Tensor(onnx.Double)
	}
	return answers, err
}

var dynamic = []onnx.Dim{onnx.Sym("batch"), {Size: 3}, onnx.Sym("height"), onnx.Sym("width")}

func TestFromGraph(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(generations)) {
		for _, folded := range []bool{true, false} {
			for _, shape := range [][]onnx.Dim{dynamic, onnx.Dims(2, 3, 64, 96)} {
				t.Run(fmt.Sprintf("%s folded=%t %v", name, folded, shape), func(t *testing.T) {
					net := generation(t, name, folded)
					state := started(t, net)
					got, weights, err := yolov5.FromGraph(reread(t, decodedGraph(t, net, state, shape...)), evaluate)
					if err != nil {
						t.Fatal(err)
					}
					sameNetwork(t, got, net)
					if len(weights) != len(state) {
						t.Errorf("%d tensors, want %d", len(weights), len(state))
					}
					for name, want := range state {
						if weights[name] == nil || !slices.Equal(weights[name].Raw, want.Raw) {
							t.Errorf("%s differs", name)
						}
					}
				})
			}
		}
	}
}

// sameNetwork compares all but the table.
func sameNetwork(t *testing.T, got, want *yolov5.Network) {
	t.Helper()
	for i, l := range want.Layers {
		if i >= len(got.Layers) {
			t.Fatalf("%d layers, want %d", len(got.Layers), len(want.Layers))
		}
		g := got.Layers[i]
		if g.Kind != l.Kind || g.Repeat != l.Repeat || g.Out != l.Out || !slices.Equal(g.From, l.From) {
			t.Errorf("layer %d is %s ×%d %v → %d, want %s ×%d %v → %d", i, g.Kind, g.Repeat, g.From, g.Out, l.Kind, l.Repeat, l.From, l.Out)
		}
	}
	if got.NC != want.NC || got.Act != want.Act || got.Folded != want.Folded || got.Backbone != want.Backbone || !slices.Equal(got.Strides, want.Strides) {
		t.Errorf("nc %d, %s, folded %t, backbone %d, strides %v", got.NC, got.Act, got.Folded, got.Backbone, got.Strides)
	}
	if !reflect.DeepEqual(got.Anchors, want.Anchors) {
		t.Errorf("anchors %v, want %v", got.Anchors, want.Anchors)
	}
	if !maps.Equal(got.Acts, want.Acts) {
		t.Errorf("activations %v, want %v", got.Acts, want.Acts)
	}
}

// edited walks a graph; what edit returns stands in for a node's outputs, nil keeps it.
func edited(t *testing.T, m *onnx.Model, edit func(b *op.Builder, n *onnx.Node) []*onnx.Value) *onnx.Model {
	t.Helper()
	nodes, instead := m.Nodes, map[*onnx.Value]*onnx.Value{}
	b := op.Extend(m)
	m.Nodes = nil
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if r := instead[in]; r != nil {
				n.Inputs[i] = r
			}
		}
		values := edit(b, n)
		if values == nil {
			m.Nodes = append(m.Nodes, n)
		}
		for i, v := range values {
			instead[n.Outputs[i]] = v
		}
	}
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	for i, out := range m.Outputs {
		if r := instead[out]; r != nil {
			m.Outputs[i] = r
		}
	}
	return m
}

// TestFromGraphSpeltOut: forms that other exporters and opsets give the same things.
func TestFromGraphSpeltOut(t *testing.T) {
	type values = []*onnx.Value
	net := generation(t, "v3: Focus, BottleneckCSP, SPP", true)
	state := started(t, net)
	for name, edit := range map[string]func(b *op.Builder, n *onnx.Node) values{
		"Hardswish by HardSigmoid": func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "HardSwish" {
				return nil
			}
			return values{b.Mul(b.Op("HardSigmoid", op.Attrs{"alpha": float32(1) / 6, "beta": float32(0.5)}, n.Inputs[0]), n.Inputs[0])}
		},
		"Hardswish by Clip": func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "HardSwish" {
				return nil
			}
			clip := b.Op("Clip", nil, b.Shift(n.Inputs[0], 3), b.Float(0), b.Float(6))
			return values{b.Div(b.Mul(n.Inputs[0], clip), b.Float(6))}
		},
		"Focus by slices": func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "Split" || n.Inputs[0].Node.Op != "SpaceToDepth" {
				return nil
			}
			end, list := b.Ints(math.MaxInt64), values{}
			for i := range int64(4) {
				rows := b.Op("Slice", nil, n.Inputs[0].Node.Inputs[0], b.Ints(i/2), end, b.Ints(2), b.Ints(2))
				list = append(list, b.Op("Slice", nil, rows, b.Ints(i%2), end, b.Ints(-1), b.Ints(2)))
			}
			return list
		},
		"pixels of 0…255": func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "SpaceToDepth" {
				return nil
			}
			return values{b.SpaceToDepth(b.Div(b.Op("Identity", nil, n.Inputs[0]), b.Float(255)), 2)}
		},
		"renamed everywhere": func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "Identity" {
				return nil
			}
			n.Inputs[0] = b.Op("Identity", nil, n.Inputs[0])
			return nil
		},
		"the number of pictures asked of these, in the decoding": func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "Reshape" && n.Inputs[0].Node != nil && n.Inputs[0].Node.Op == "Conv" {
				count := b.Op("Shape", op.Attrs{"start": int64(0), "end": int64(1)}, b.Model.Inputs[0])
				n.Inputs[1] = b.Concat(0, count, b.Ints(n.Inputs[1].Const.Int64s()[1:]...))
			}
			return nil
		},
		"computed sizes": func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "Resize" {
				return nil
			}
			double := &onnx.Value{Name: "double", Type: n.Outputs[0].Type}
			size := b.Concat(0, b.Ints(1, 16), b.Op("Cast", op.Attrs{"to": int64(onnx.Int64)}, b.Const(onnx.Of([]float32{16, 24}, 2))))
			double.Node = &onnx.Node{Op: "Resize", Attrs: n.Attrs, Inputs: values{n.Inputs[0], nil, nil, size}, Outputs: values{double}}
			b.Model.Nodes = append(b.Model.Nodes, double.Node)
			return values{double}
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, weights, err := yolov5.FromGraph(reread(t, edited(t, decodedGraph(t, net, state, onnx.Dims(1, 3, 64, 96)...), edit)), evaluate)
			if err != nil {
				t.Fatal(err)
			}
			sameNetwork(t, got, net)
			if len(weights) != len(state) {
				t.Errorf("%d tensors, want %d", len(weights), len(state))
			}
		})
	}
}

func TestFromGraphRefuses(t *testing.T) {
	type values = []*onnx.Value
	net := generation(t, "v6: C3, SPPF", true)
	state := started(t, net)
	for _, c := range []struct {
		want string
		edit func(b *op.Builder, n *onnx.Node) values
	}{
		{"is com.microsoft.FusedConv: a graph rewritten for one runtime", func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "Conv" {
				n.Op, n.Domain = "FusedConv", "com.microsoft"
				b.Model.Domains = map[string]int64{"com.microsoft": 1}
			}
			return nil
		}},
		{"(Tanh) is no part of a layer", func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "MaxPool" {
				n.Inputs[0] = b.Op("Tanh", nil, n.Inputs[0])
			}
			return nil
		}},
		{"layer 6 starts at node", func(b *op.Builder, n *onnx.Node) values { // a sum where YOLOv5 joins
			if n.Op != "Resize" {
				return nil
			}
			return values{b.Add(n.Inputs[0], n.Inputs[0])}
		}},
		{"decoding gives", func(b *op.Builder, n *onnx.Node) values { // another curve through the anchors
			if n.Op == "Mul" && n.Inputs[0] == n.Inputs[1] {
				return values{b.Scale(n.Inputs[0], 0.5)}
			}
			return nil
		}},
		{"is no probability: a segmentation model", func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "Concat" || n.Int("axis", 0) != 3 {
				return nil
			}
			p := b.Split(n.Inputs[2], 3, 3, 1)
			return values{b.Concat(3, n.Inputs[0], n.Inputs[1], p[0], b.Neg(p[1]))}
		}},
		{"has stride 16, by its layers", func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "Concat" && n.Int("axis", 0) == 3 {
				n.Inputs[0] = b.Scale(n.Inputs[0], 4)
			}
			return nil
		}},
		{"meet in node", func(b *op.Builder, n *onnx.Node) values {
			if n != b.Model.Outputs[0].Node {
				return nil
			}
			return values{b.Add(b.Slice(n.Inputs[0], 1, 0, 2), b.Slice(n.Inputs[1], 1, 0, 2))}
		}},
		{"not [pictures, boxes, 5 + classes]", func(b *op.Builder, n *onnx.Node) values {
			if n != b.Model.Outputs[0].Node {
				return nil
			}
			for i := range n.Inputs {
				n.Inputs[i] = b.Op("Unsqueeze", nil, n.Inputs[i], b.Ints(0))
			}
			return values{b.Concat(2, n.Inputs...)}
		}},
		{`outputs are the raw ones of each level`, func(b *op.Builder, n *onnx.Node) values {
			if n == b.Model.Outputs[0].Node {
				b.Model.Outputs = slices.Clone(n.Inputs)
			}
			return nil
		}},
		{"decoding reads the input \"in1\", which is not the pictures", func(b *op.Builder, n *onnx.Node) values {
			if n == b.Model.Outputs[0].Node {
				n.Inputs[0] = b.Mul(n.Inputs[0], b.Input("gain", onnx.Float, []onnx.Dim{}))
			}
			return nil
		}},
		{"no convolution leads to an output", func(b *op.Builder, n *onnx.Node) values {
			if n == b.Model.Outputs[0].Node {
				return values{b.Op("Tanh", nil, b.Model.Inputs[0])}
			}
			return nil
		}},
		{"reads the picture after", func(b *op.Builder, n *onnx.Node) values {
			if n.Op != "Resize" {
				return nil
			}
			w := b.Const(onnx.NewTensor(onnx.Float, 16, 3, 1, 1))
			bias := b.Const(onnx.NewTensor(onnx.Float, 16))
			return values{b.SiLU(b.Conv(b.Model.Inputs[0], w, bias, op.Square(1, 4, 0)))}
		}},
		{"is no head: want a convolution with a bias", func(b *op.Builder, n *onnx.Node) values {
			if n.Op == "Conv" && n.Inputs[1].Type.Shape[0].Size == 16 && n.Inputs[0].Type.Shape[1].Size == 32 && strings.Contains(n.Name, "model.12.m.1") {
				n.Inputs = n.Inputs[:2]
			}
			return nil
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			m := edited(t, decodedGraph(t, net, state, onnx.Dims(1, 3, 64, 96)...), c.edit)
			_, _, err := yolov5.FromGraph(reread(t, m), evaluate)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			if bad, ok := err.(interface{ BadInput() bool }); !ok || !bad.BadInput() {
				t.Error("not the input's fault")
			}
		})
	}
}

// TestFromGraphFixedSize: pictures whose sides are no multiples of the coarsest stride have no grid.
func TestFromGraphFixedSize(t *testing.T) {
	net := generation(t, "v6: C3, SPPF", true)
	m := decodedGraph(t, net, started(t, net), onnx.Dims(1, 3, 32, 32)...)
	m.Inputs[0].Type.Shape = onnx.Dims(1, 3, 36, 32)
	_, _, err := yolov5.FromGraph(m, evaluate)
	if err == nil || !strings.Contains(err.Error(), "not pictures of multiples of 8 pixels") {
		t.Errorf("error %v", err)
	}
}
