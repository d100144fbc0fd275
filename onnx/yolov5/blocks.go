package yolov5

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Every BatchNorm2d of YOLOv5 has these; Momentum is the share that the running statistics keep.
const (
	Epsilon  = 1e-3
	Momentum = 0.97
)

// Kind says what a tensor of the state dict is: it decides the optimizer's group.
type Kind int

const (
	Weight      Kind = iota // convolution kernels: decayed
	Bias                    // biases of convolutions and norms
	NormScale               // BatchNorm weights: not decayed
	RunningMean             // buffers
	RunningVar
)

// Buffer reports whether the tensor is not a parameter.
func (k Kind) Buffer() bool { return k >= RunningMean }

// Param is a tensor of the state dict.
type Param struct {
	Name  string
	Shape []int64
	Kind  Kind
}

// Graph builds a network's forward pass.
type Graph struct {
	*op.Builder
	Net *Network
	// Param returns the value that stands for a tensor of the state dict: a constant or a graph input.
	Param func(Param) *onnx.Value
	// BatchStats says whether the BatchNorm called module normalises by the
	// batch's own statistics (and then moves the running ones); nil: none does.
	BatchStats func(module string) bool
	// Moved collects, by name, the new running statistics.
	Moved map[string]*onnx.Value
}

var activations = map[string]func(b *op.Builder, x *onnx.Value) *onnx.Value{
	"SiLU":      (*op.Builder).SiLU,
	"ReLU":      func(b *op.Builder, x *onnx.Value) *onnx.Value { return b.Op("Relu", nil, x) },
	"Hardswish": func(b *op.Builder, x *onnx.Value) *onnx.Value { return b.Op("HardSwish", nil, x) },
	"LeakyReLU": func(b *op.Builder, x *onnx.Value) *onnx.Value {
		return b.Op("LeakyRelu", op.Attrs{"alpha": float32(0.1)}, x)
	},
}

var blocks = map[string]func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value{
	"Conv": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		k := l.int(0, 1)
		return g.conv(prefix, x[0], l.Out, op.Square(k, l.int(1, 1), l.int(2, k/2)))
	},
	"Bottleneck": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		return g.bottleneck(prefix, x[0], l.Out, l.Out/2, l.bool(0, true))
	},
	"C3": (*Graph).c3, "BottleneckCSP": (*Graph).csp, "SPP": (*Graph).spp, "SPPF": (*Graph).sppf, "Focus": (*Graph).focus,
	"Upsample": func(g *Graph, _ Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
		g.In(prefix, func() { y = g.Upsample2(x[0]) })
		return y
	},
	"Concat": func(g *Graph, _ Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
		g.In(prefix, func() { y = g.Concat(1, x...) })
		return y
	},
}

// Forward builds the network on images [N,3,H,W], RGB in 0…1, and returns the
// raw output of each level: [N, anchors·(5+nc), H/stride, W/stride].
func (g *Graph) Forward(images *onnx.Value) ([]*onnx.Value, error) {
	g.Moved = map[string]*onnx.Value{}
	outs := make([]*onnx.Value, len(g.Net.Layers))
	for i, l := range g.Net.Layers[:g.Net.Head()] {
		x := make([]*onnx.Value, len(l.From))
		for j, f := range l.From {
			if x[j] = images; f >= 0 {
				x[j] = outs[f]
			}
		}
		outs[i] = g.layer(l, x)
		if g.Err() != nil {
			return nil, g.Err()
		}
	}
	detect := g.Net.Layers[g.Net.Head()]
	heads := make([]*onnx.Value, len(detect.From))
	for i, f := range detect.From {
		prefix := fmt.Sprintf("%s.m.%d", detect.Name(), i)
		out := int64(len(g.Net.Anchors[i])) * g.Net.Outputs()
		w := g.Param(Param{prefix + ".weight", []int64{out, detect.In[i], 1, 1}, Weight})
		bias := g.Param(Param{prefix + ".bias", []int64{out}, Bias})
		g.In(prefix, func() { heads[i] = g.Conv(outs[f], w, bias, op.Square(1, 1, 0)) })
	}
	return heads, g.Err()
}

// layer builds one table entry; a module with its own repeats (C3) takes
// them itself, any other becomes a chain named prefix.0, prefix.1, ….
func (g *Graph) layer(l Layer, x []*onnx.Value) *onnx.Value {
	block := blocks[l.Kind]
	if l.Repeat == 1 || l.Kind == "C3" || l.Kind == "BottleneckCSP" {
		return block(g, l, l.Name(), x)
	}
	for i := range l.Repeat {
		x = []*onnx.Value{block(g, l, fmt.Sprintf("%s.%d", l.Name(), i), x)}
	}
	return x[0]
}

// conv is Conv2d without bias, BatchNorm2d, activation.
func (g *Graph) conv(prefix string, x *onnx.Value, out int64, w op.Window) *onnx.Value {
	y := g.norm(prefix+".bn", g.kernel(prefix+".conv", x, out, w), out)
	return g.activate(prefix, y)
}

func (g *Graph) kernel(prefix string, x *onnx.Value, out int64, w op.Window) (y *onnx.Value) {
	if g.Err() != nil {
		return x
	}
	shape := []int64{out, x.Type.Shape[1].Size / w.Groups, w.Kernel[0], w.Kernel[1]}
	kernel := g.Param(Param{prefix + ".weight", shape, Weight})
	g.In(prefix, func() { y = g.Conv(x, kernel, nil, w) })
	return y
}

func (g *Graph) activate(prefix string, x *onnx.Value) (y *onnx.Value) {
	g.In(prefix+".act", func() { y = activations[g.Net.Act](g.Builder, x) })
	return y
}

// norm is BatchNorm2d: by running statistics, or by the batch's, in which case
// the running ones move as PyTorch moves them, with the unbiased variance.
func (g *Graph) norm(prefix string, x *onnx.Value, channels int64) (y *onnx.Value) {
	get := func(name string, k Kind) *onnx.Value {
		return g.Param(Param{prefix + "." + name, []int64{channels}, k})
	}
	scale, bias := get("weight", NormScale), get("bias", Bias)
	mean, variance := get("running_mean", RunningMean), get("running_var", RunningVar)
	g.In(prefix, func() {
		if g.BatchStats == nil || !g.BatchStats(prefix) {
			y = g.BatchNorm(x, scale, bias, mean, variance, Epsilon)
			return
		}
		attrs := op.Attrs{"epsilon": float32(Epsilon), "training_mode": int64(1)}
		y = g.Ops("BatchNormalization", 3, attrs, x, scale, bias, mean, variance)[0]
		s, ok := x.Type.Static()
		if !ok {
			g.Fail("batch statistics need a static shape, not %v", x.Type)
			return
		}
		n := float64(s[0] * s[2] * s[3])
		batchMean, batchVar, _ := g.BatchStatistics(x)
		move := func(name string, old, batch *onnx.Value, share float64) {
			g.Moved[prefix+"."+name] = g.Add(g.Scale(old, Momentum), g.Scale(g.Reshape(batch, -1), share))
		}
		move("running_mean", mean, batchMean, 1-Momentum)
		move("running_var", variance, batchVar, (1-Momentum)*n/max(n-1, 1))
	})
	return y
}

// bottleneck is 1×1, 3×3, and the input added when shortcut and channels allow.
func (g *Graph) bottleneck(prefix string, x *onnx.Value, out, hidden int64, shortcut bool) *onnx.Value {
	y := g.conv(prefix+".cv1", x, hidden, op.Square(1, 1, 0))
	y = g.conv(prefix+".cv2", y, out, op.Square(3, 1, 1))
	if g.Err() == nil && shortcut && x.Type.Shape[1].Size == out {
		g.In(prefix, func() { y = g.Add(x, y) })
	}
	return y
}

func (g *Graph) bottlenecks(l Layer, prefix string, x *onnx.Value, hidden int64) *onnx.Value {
	for i := range l.Repeat {
		x = g.bottleneck(fmt.Sprintf("%s.m.%d", prefix, i), x, hidden, hidden, l.bool(0, true))
	}
	return x
}

// c3 is a cross-stage partial block with three convolutions (Wang et al., arXiv:1911.11929).
func (g *Graph) c3(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	hidden, one := l.Out/2, op.Square(1, 1, 0)
	main := g.conv(prefix+".cv1", x[0], hidden, one)
	side := g.conv(prefix+".cv2", x[0], hidden, one)
	main = g.bottlenecks(l, prefix, main, hidden)
	g.In(prefix, func() { y = g.Concat(1, main, side) })
	return g.conv(prefix+".cv3", y, l.Out, one)
}

// csp is the cross-stage partial block of YOLOv5 v1 to v3.
func (g *Graph) csp(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	hidden, one := l.Out/2, op.Square(1, 1, 0)
	main := g.bottlenecks(l, prefix, g.conv(prefix+".cv1", x[0], hidden, one), hidden)
	main = g.kernel(prefix+".cv3", main, hidden, one)
	side := g.kernel(prefix+".cv2", x[0], hidden, one)
	g.In(prefix, func() { y = g.Concat(1, main, side) })
	y = g.activate(prefix, g.norm(prefix+".bn", y, 2*hidden))
	return g.conv(prefix+".cv4", y, l.Out, one)
}

// sppf is spatial pyramid pooling by three chained pools.
func (g *Graph) sppf(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	k, one := l.int(0, 5), op.Square(1, 1, 0)
	pools := []*onnx.Value{g.conv(prefix+".cv1", x[0], l.In[0]/2, one)}
	g.In(prefix, func() {
		for range 3 {
			pools = append(pools, g.MaxPool(pools[len(pools)-1], op.Square(k, 1, k/2)))
		}
		y = g.Concat(1, pools...)
	})
	return g.conv(prefix+".cv2", y, l.Out, one)
}

// spp is spatial pyramid pooling by parallel pools (He et al., arXiv:1406.4729).
func (g *Graph) spp(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	one := op.Square(1, 1, 0)
	pools := []*onnx.Value{g.conv(prefix+".cv1", x[0], l.In[0]/2, one)}
	g.In(prefix, func() {
		for _, k := range l.ints(0, 5, 9, 13) {
			pools = append(pools, g.MaxPool(pools[0], op.Square(k, 1, k/2)))
		}
		y = g.Concat(1, pools...)
	})
	return g.conv(prefix+".cv2", y, l.Out, one)
}

// focus moves each 2×2 block of pixels into channels, columns before rows, ahead of a Conv.
func (g *Graph) focus(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	g.In(prefix, func() {
		p := g.Split(g.SpaceToDepth(x[0], 2), 1, l.In[0], l.In[0], l.In[0], l.In[0])
		y = g.Concat(1, p[0], p[2], p[1], p[3])
	})
	k := l.int(0, 1)
	return g.conv(prefix+".conv", y, l.Out, op.Square(k, l.int(1, 1), l.int(2, k/2)))
}
