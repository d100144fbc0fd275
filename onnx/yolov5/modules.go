package yolov5

import (
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/torch"
)

// modules collects what a checkpoint's modules say beyond their table.
type modules struct {
	acts  map[string]activation // by the module that ends in it
	first *activation           // of the first module that has one
	err   error
}

func (m *modules) walk(name string, o *torch.Object) {
	if m.err != nil {
		return
	}
	if eps, ok := o.Float("eps"); ok && o.Name == "BatchNorm2d" && math.Abs(eps-Epsilon) > 1e-9 {
		m.err = unfit("module %s has eps %g, those of YOLOv5 have %g", name, eps, Epsilon)
		return
	}
	for child, c := range o.Children() {
		if child == "act" {
			m.activation(name, c)
			continue
		}
		m.walk(name+"."+child, c)
	}
}

func (m *modules) activation(module string, o *torch.Object) {
	a, err := parseActivation(o.Name)
	if err != nil {
		m.err = unfit("module %s: %v", module, err)
		return
	}
	if slope, ok := o.Float("negative_slope"); ok && a.class == "LeakyReLU" {
		a.slope = float32(slope)
	}
	m.acts[module] = a
	if m.first == nil {
		m.first = &a
	}
}

// adopt notes the activations of modules that differ from the network's own.
func (net *Network) adopt(acts map[string]activation) error {
	b := op.NewBuilder("modules")
	differ := map[string]any{}
	g := Graph{Builder: b, Net: net, Param: func(p Param) *onnx.Value { return b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...)) }}
	g.Activated = func(module string) {
		if a, ok := acts[module]; ok && a.String() != net.Act {
			differ[module] = a.String()
		}
	}
	if _, err := g.Forward(b.Input("images", onnx.Float, onnx.Dims(1, 3, 2*net.MaxStride(), 2*net.MaxStride()))); err != nil {
		return unfit("%v", err)
	}
	if len(differ) == 0 {
		return nil
	}
	net.Table[ActivationsKey] = differ
	for module, text := range differ {
		net.Acts[module] = text.(string)
	}
	return nil
}
