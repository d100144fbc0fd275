// Package module writes a network as a checkpoint of YOLOv5: a tree of instances of its
// own classes, with what each must know to run, so that its programs open the file as they
// open their own. Which classes and attributes these are is read off published checkpoints.
package module

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
)

// Checkpoint is what torch.Encode writes for a trained network: weights by state-dict name,
// in float32 or float16, names of the classes by index. BatchNorm that is folded comes back
// as one that changes nothing but for the bias, since YOLOv5's classes begin with it.
func Checkpoint(net *yolov5.Network, state map[string]*onnx.Tensor, names []string) (torch.Dict, error) {
	b := builder{net: net, state: state, windows: map[string]*onnx.Node{}, adds: map[string]bool{}, ends: map[string]bool{}}
	if err := b.trace(); err != nil {
		return nil, err
	}
	anchors, err := Anchors(net)
	if err != nil {
		return nil, err
	}
	list := make([]torch.Item, len(net.Layers))
	var save []int64
	for i, l := range net.Layers {
		list[i] = item(fmt.Sprint(i), b.layer(l, anchors))
		for _, f := range l.From {
			if f != i-1 {
				save = append(save, int64(f))
			}
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	slices.Sort(save)
	classes := torch.List{}
	for _, name := range names {
		classes = append(classes, name)
	}
	table, err := tableOf(net)
	if err != nil {
		return nil, err
	}
	model := b.instance("models.yolo", "Model", []torch.Item{item("model", b.instance("torch.nn.modules.container", "Sequential", list))},
		item("yaml", table), item("save", numbers(save)), item("names", classes),
		item("nc", net.NC), item("inplace", true), item("stride", b.strides()))
	return torch.Dict{item("epoch", -1), item("best_fitness", nil), item("model", model),
		item("ema", nil), item("updates", nil), item("optimizer", nil)}, nil
}

// Anchors is the buffer of the head: float32 [levels, anchors, 2], in cells.
func Anchors(net *yolov5.Network) (*onnx.Tensor, error) {
	per := len(net.Anchors[0])
	var cells []float32
	for i, level := range net.Anchors {
		if len(level) != per {
			return nil, fmt.Errorf("level %d has %d anchors, level 0 %d: no buffer of PyTorch's holds them", i, len(level), per)
		}
		for _, a := range level {
			cells = append(cells, float32(a[0]/float64(net.Strides[i])), float32(a[1]/float64(net.Strides[i])))
		}
	}
	return onnx.Of(cells, int64(len(net.Anchors)), int64(per), 2), nil
}

// tableOf is the layer table as YOLOv5's own parser takes it, which knows nothing of keys of ours.
func tableOf(net *yolov5.Network) (torch.Dict, error) {
	table := maps.Clone(net.Table)
	table["ch"] = int64(3)
	maps.DeleteFunc(table, func(key string, _ any) bool { return !slices.Contains(yolov5Keys, key) })
	delete(table, "activation")
	if net.Act != "SiLU" { // as Python calls it
		class, arguments, _ := strings.Cut(strings.TrimSuffix(net.Act, ")"), "(")
		table["activation"] = "nn." + class + "(" + arguments + ")"
	}
	var d torch.Dict
	for _, key := range yolov5Keys {
		if v, ok := table[key]; ok {
			d = append(d, item(key, v))
		}
	}
	return d, nil
}

// yolov5Keys are those of a table.
var yolov5Keys = []string{"nc", "depth_multiple", "width_multiple", "channel_multiple", "activation", "anchors", "backbone", "head", "ch"}

// builder makes instances. What windows and activations modules have is seen in the graph of
// the network, which is built once.
type builder struct {
	net     *yolov5.Network
	state   map[string]*onnx.Tensor
	windows map[string]*onnx.Node // the Conv, by module
	pools   map[string][]int64    // kernels, by module
	adds    map[string]bool       // modules that add their input
	ends    map[string]bool       // modules that end in an activation
	err     error
}

func (b *builder) trace() error {
	g := yolov5.Graph{Builder: op.NewBuilder("modules"), Net: b.net, Activated: func(module string) { b.ends[module] = true }}
	g.Param = func(p yolov5.Param) *onnx.Value { return g.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...)) }
	side := 2 * b.net.MaxStride()
	if _, err := g.Forward(g.Input("images", onnx.Float, onnx.Dims(1, 3, side, side))); err != nil {
		return err
	}
	b.pools = map[string][]int64{}
	for _, n := range g.Model.Nodes {
		module, _, _ := strings.Cut(n.Name, "/")
		switch n.Op {
		case "Conv":
			b.windows[module] = n
		case "MaxPool":
			b.pools[module] = append(b.pools[module], n.Ints("kernel_shape", nil)[0])
		case "Add":
			b.adds[module] = true
		}
	}
	return nil
}

// instance is a torch.nn.Module with children and attributes of its own; a Parameter or a
// tensor in their places goes to its parameters and buffers.
func (b *builder) instance(module, class string, children []torch.Item, attributes ...torch.Item) torch.Instance {
	parameters, buffers, modules := torch.Ordered{}, torch.Ordered{}, torch.Ordered{}
	for _, c := range children {
		switch c.Value.(type) {
		case torch.Parameter:
			parameters = append(parameters, c)
		case *onnx.Tensor:
			buffers = append(buffers, c)
		case nil: // a convolution without bias
			parameters = append(parameters, c)
		default:
			modules = append(modules, c)
		}
	}
	none := torch.Ordered{}
	state := torch.Dict{item("training", false), item("_parameters", parameters), item("_buffers", buffers),
		item("_non_persistent_buffers_set", torch.NoItems{}), item("_backward_hooks", none), item("_is_full_backward_hook", nil),
		item("_forward_hooks", none), item("_forward_pre_hooks", none), item("_state_dict_hooks", none),
		item("_load_state_dict_pre_hooks", none), item("_modules", modules)}
	return torch.Instance{Module: module, Class: class, State: append(state, attributes...)}
}

// strides is a level's pixels a cell, float32.
func (b *builder) strides() *onnx.Tensor {
	list := make([]float32, len(b.net.Strides))
	for i, s := range b.net.Strides {
		list[i] = float32(s)
	}
	return onnx.Of(list, int64(len(list)))
}

// layer is an entry of the table; of one that is repeated, a chain.
func (b *builder) layer(l yolov5.Layer, anchors *onnx.Tensor) torch.Instance {
	var made torch.Instance
	switch {
	case l.Kind == "Detect":
		made = b.detect(l, anchors)
	case l.Chained():
		links := make([]torch.Item, l.Repeat)
		for i := range links {
			links[i] = item(fmt.Sprint(i), b.block(l.Kind, fmt.Sprintf("%s.%d", l.Name(), i)))
		}
		made = b.sequential(links...)
	default:
		made = b.block(l.Kind, l.Name())
	}
	from := make([]int64, len(l.From))
	for i, f := range l.From {
		if from[i] = int64(f); f == l.Index-1 {
			from[i] = -1
		}
	}
	var f any = from[0]
	if len(from) > 1 || l.Kind == "Concat" || l.Kind == "Detect" {
		f = numbers(from)
	}
	class := made.Module + "." + made.Class
	if l.Chained() {
		class = common + "." + l.Kind
	}
	var count int64
	for name, t := range b.state {
		if strings.HasPrefix(name, l.Name()+".") && !strings.Contains(name, ".running_") {
			count += int64(t.Len())
		}
	}
	made.State = append(made.State, item("i", l.Index), item("f", f), item("type", class), item("np", count))
	return made
}

func (b *builder) detect(l yolov5.Layer, anchors *onnx.Tensor) torch.Instance {
	levels := make([]torch.Item, len(l.From))
	var unmade torch.List // of a picture's size, which is not known yet
	for i := range levels {
		levels[i] = item(fmt.Sprint(i), b.kernel(fmt.Sprintf("%s.m.%d", l.Name(), i)))
		unmade = append(unmade, onnx.NewTensor(onnx.Float, 1))
	}
	return b.instance("models.yolo", "Detect",
		[]torch.Item{item("anchors", anchors), item("m", b.instance("torch.nn.modules.container", "ModuleList", levels))},
		item("nc", b.net.NC), item("no", b.net.Outputs()), item("nl", len(levels)),
		item("na", len(b.net.Anchors[0])), item("grid", unmade), item("anchor_grid", unmade),
		item("inplace", true), item("stride", b.strides()))
}

func item(key string, value any) torch.Item { return torch.Item{Key: key, Value: value} }

// numbers is a list of integers.
func numbers(values []int64) torch.List {
	list := torch.List{}
	for _, v := range values {
		list = append(list, v)
	}
	return list
}
