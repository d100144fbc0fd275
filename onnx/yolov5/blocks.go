package yolov5

import (
	"fmt"
	"slices"

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
	// Activated, where it is set, hears of each module that ends in the network's activation.
	Activated func(module string)
	// Scope is put before the names of all nodes; it ends in a slash where it is not empty.
	Scope string
	// Moved collects, by name, the new running statistics: the old ones times Momentum, and Added.
	Moved, Added map[string]*onnx.Value
}

// In is the Builder's, within Scope.
func (g *Graph) In(scope string, f func()) { g.Builder.In(g.Scope+scope, f) }

var blocks = map[string]func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value{
	"Conv": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		return g.conv(prefix, x[0], l.Out, l.window(l.int(3, 1)))
	},
	"DWConv": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		w := l.window(divisor(l.In[0], l.Out))
		w.Pads = op.Square(w.Kernel[0], 1, w.Kernel[0]/2).Pads
		return g.conv(prefix, x[0], l.Out, w)
	},
	"GhostConv": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		return g.ghost(prefix, x[0], l.Out, op.Square(l.int(0, 1), l.int(1, 1), l.int(0, 1)/2), g.conv)
	},
	"Bottleneck": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		return g.bottleneck(prefix, x[0], l.Out, l.hidden(2), l.bool(0, true), l.int(1, 1))
	},
	"GhostBottleneck": func(g *Graph, l Layer, prefix string, x []*onnx.Value) *onnx.Value {
		return g.ghostBottleneck(prefix, x[0], l.Out, l.int(0, 3), l.int(1, 1))
	},
	"C3": (*Graph).c3, "C3SPP": (*Graph).c3spp, "C3Ghost": (*Graph).c3ghost,
	"BottleneckCSP": (*Graph).csp, "SPP": (*Graph).spp, "SPPF": (*Graph).sppf, "Focus": (*Graph).focus,
	"Upsample": func(g *Graph, _ Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
		g.In(prefix, func() { y = g.Upsample2(x[0]) })
		return y
	},
	"Concat": func(g *Graph, _ Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
		g.In(prefix, func() { y = g.Concat(1, x...) })
		return y
	},
}

// repeating are the blocks that hold their repeats in themselves.
var repeating = []string{"C3", "C3Ghost", "BottleneckCSP"}

// Chained reports whether the layer is its module several times, one behind the other.
func (l Layer) Chained() bool { return l.Repeat > 1 && !slices.Contains(repeating, l.Kind) }

// Forward builds the network on images [N,3,H,W], RGB in 0…1, and returns the
// raw output of each level, branch by branch: [N, anchors·(5+nc), H/stride, W/stride].
func (g *Graph) Forward(images *onnx.Value) ([]*onnx.Value, error) {
	return g.ForwardFrom(0, map[int]*onnx.Value{Images: images})
}

// ForwardFrom is Forward without the layers before the one called first. outs
// holds, by layer, what of these the others read (see Network.Cut); it takes up
// the outputs of the layers that are built.
func (g *Graph) ForwardFrom(first int, outs map[int]*onnx.Value) ([]*onnx.Value, error) {
	var heads []*onnx.Value
	for _, branch := range g.Net.Detects() {
		if err := g.Run(first, branch.Head(), outs); err != nil {
			return nil, err
		}
		detect := branch.Layers[branch.Head()]
		for i, f := range detect.From {
			prefix := fmt.Sprintf("%s.m.%d", detect.Name(), i)
			out := int64(len(branch.Anchors[i])) * branch.Outputs()
			heads = append(heads, g.kernel(prefix, outs[f], out, op.Square(1, 1, 0), true))
		}
		first = branch.Head() + 1
	}
	return heads, g.Err()
}

// Run builds the layers from first up to, not including, last on what outs
// holds, and adds their outputs to it.
func (g *Graph) Run(first, last int, outs map[int]*onnx.Value) error {
	if g.Moved == nil {
		g.Moved, g.Added = map[string]*onnx.Value{}, map[string]*onnx.Value{}
	}
	for _, l := range g.Net.Layers[first:last] {
		x := make([]*onnx.Value, len(l.From))
		for i, f := range l.From {
			x[i] = outs[f]
		}
		outs[l.Index] = g.layer(l, x)
		if g.Err() != nil {
			return g.Err()
		}
	}
	return nil
}

// layer builds one table entry; a module with its own repeats takes them
// itself, any other becomes a chain named prefix.0, prefix.1, ….
func (g *Graph) layer(l Layer, x []*onnx.Value) *onnx.Value {
	block := blocks[l.Kind]
	if !l.Chained() {
		return block(g, l, l.Name(), x)
	}
	for i := range l.Repeat {
		x = []*onnx.Value{block(g, l, fmt.Sprintf("%s.%d", l.Name(), i), x)}
	}
	return x[0]
}

// window reads the arguments kernel, stride and padding, half the kernel where it is not given.
func (l Layer) window(groups int64) op.Window {
	k := l.int(0, 1)
	w := op.Square(k, l.int(1, 1), l.int(2, k/2))
	w.Groups = groups
	return w
}

// conv is Conv2d without bias, BatchNorm2d, activation.
func (g *Graph) conv(prefix string, x *onnx.Value, out int64, w op.Window) *onnx.Value {
	return g.activate(prefix, g.affine(prefix, x, out, w))
}

// affine is conv without its activation: Conv2d and BatchNorm2d, be they folded or not.
func (g *Graph) affine(prefix string, x *onnx.Value, out int64, w op.Window) *onnx.Value {
	if g.Net.Folded {
		return g.kernel(prefix+".conv", x, out, w, true)
	}
	return g.norm(prefix+".bn", g.kernel(prefix+".conv", x, out, w, false), out)
}

// kernel is Conv2d.
func (g *Graph) kernel(prefix string, x *onnx.Value, out int64, w op.Window, biased bool) (y *onnx.Value) {
	if g.Err() != nil {
		return x
	}
	in := x.Type.Shape[1].Size
	if w.Groups < 1 || in < 1 || out < 1 || in%w.Groups != 0 || out%w.Groups != 0 {
		return g.Fail("%s: %d groups of %d and %d channels", prefix, w.Groups, in, out)
	}
	weight := g.Param(Param{prefix + ".weight", []int64{out, in / w.Groups, w.Kernel[0], w.Kernel[1]}, Weight})
	var bias *onnx.Value
	if biased {
		bias = g.Param(Param{prefix + ".bias", []int64{out}, Bias})
	}
	g.In(prefix, func() { y = g.Conv(x, weight, bias, w) })
	return y
}

// activate ends the block of that name in its activation.
func (g *Graph) activate(prefix string, x *onnx.Value) (y *onnx.Value) {
	text, ok := g.Net.Acts[prefix]
	if !ok {
		text = g.Net.Act
	}
	a, err := parseActivation(text)
	if err != nil {
		return g.Fail("%s: %w", prefix, err)
	}
	if g.Activated != nil {
		g.Activated(prefix)
	}
	g.In(prefix+".act", func() { y = a.build(g.Builder, x) })
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
			kept, added := g.Scale(old, Momentum), g.Scale(g.Reshape(batch, -1), share)
			g.Added[prefix+"."+name], g.Moved[prefix+"."+name] = added, g.Add(kept, added)
		}
		move("running_mean", mean, batchMean, 1-Momentum)
		move("running_var", variance, batchVar, (1-Momentum)*n/max(n-1, 1))
	})
	return y
}

// bottleneck is 1×1, 3×3, and the input added when shortcut and channels allow.
func (g *Graph) bottleneck(prefix string, x *onnx.Value, out, hidden int64, shortcut bool, groups int64) *onnx.Value {
	y := g.conv(prefix+".cv1", x, hidden, op.Square(1, 1, 0))
	w := op.Square(3, 1, 1)
	w.Groups = groups
	y = g.conv(prefix+".cv2", y, out, w)
	if g.Err() == nil && shortcut && x.Type.Shape[1].Size == out {
		g.In(prefix, func() { y = g.Add(x, y) })
	}
	return y
}

func (g *Graph) bottlenecks(l Layer, prefix string, x *onnx.Value, hidden int64) *onnx.Value {
	for i := range l.Repeat {
		x = g.bottleneck(fmt.Sprintf("%s.m.%d", prefix, i), x, hidden, hidden, l.bool(0, true), l.int(1, 1))
	}
	return x
}

// c3 is a cross-stage partial block with three convolutions (Wang et al., arXiv:1911.11929).
func (g *Graph) c3(l Layer, prefix string, x []*onnx.Value) *onnx.Value {
	return g.stage(l, prefix, x[0], l.hidden(2), func(x *onnx.Value, hidden int64) *onnx.Value {
		return g.bottlenecks(l, prefix, x, hidden)
	})
}

// c3spp is c3 with a pyramid of pools in place of bottlenecks.
func (g *Graph) c3spp(l Layer, prefix string, x []*onnx.Value) *onnx.Value {
	return g.stage(l, prefix, x[0], l.hidden(4), func(x *onnx.Value, hidden int64) *onnx.Value {
		return g.pyramid(prefix+".m", x, hidden, l.ints(0, 5, 9, 13))
	})
}

// stage is a cross-stage partial block around an inner part.
func (g *Graph) stage(l Layer, prefix string, x *onnx.Value, hidden int64, inner func(x *onnx.Value, hidden int64) *onnx.Value) (y *onnx.Value) {
	one := op.Square(1, 1, 0)
	main := g.conv(prefix+".cv1", x, hidden, one)
	side := g.conv(prefix+".cv2", x, hidden, one)
	main = inner(main, hidden)
	g.In(prefix, func() { y = g.Concat(1, main, side) })
	return g.conv(prefix+".cv3", y, l.Out, one)
}

// csp is the cross-stage partial block of YOLOv5 v1 to v3. Its BatchNorm follows
// a Concat, so it stays where those of other blocks are folded.
func (g *Graph) csp(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	hidden, one := l.hidden(2), op.Square(1, 1, 0)
	main := g.bottlenecks(l, prefix, g.conv(prefix+".cv1", x[0], hidden, one), hidden)
	main = g.kernel(prefix+".cv3", main, hidden, one, false)
	side := g.kernel(prefix+".cv2", x[0], hidden, one, false)
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
func (g *Graph) spp(l Layer, prefix string, x []*onnx.Value) *onnx.Value {
	return g.pyramid(prefix, x[0], l.Out, l.ints(0, 5, 9, 13))
}

func (g *Graph) pyramid(prefix string, x *onnx.Value, out int64, kernels []int64) (y *onnx.Value) {
	if g.Err() != nil {
		return x
	}
	one := op.Square(1, 1, 0)
	pools := []*onnx.Value{g.conv(prefix+".cv1", x, x.Type.Shape[1].Size/2, one)}
	g.In(prefix, func() {
		for _, k := range kernels {
			pools = append(pools, g.MaxPool(pools[0], op.Square(k, 1, k/2)))
		}
		y = g.Concat(1, pools...)
	})
	return g.conv(prefix+".cv2", y, out, one)
}

// focus moves each 2×2 block of pixels into channels, columns before rows, ahead of a Conv.
func (g *Graph) focus(l Layer, prefix string, x []*onnx.Value) (y *onnx.Value) {
	g.In(prefix, func() {
		p := g.Split(g.SpaceToDepth(x[0], 2), 1, l.In[0], l.In[0], l.In[0], l.In[0])
		y = g.Concat(1, p[0], p[2], p[1], p[3])
	})
	return g.conv(prefix+".conv", y, l.Out, l.window(l.int(3, 1)))
}
