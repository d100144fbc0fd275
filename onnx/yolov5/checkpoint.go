package yolov5

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/torch"
)

// UnfitError says why a model is not one that this package can build.
type UnfitError struct{ Reason string }

func (e *UnfitError) Error() string { return e.Reason }

// BadInput marks the error as the input's fault.
func (e *UnfitError) BadInput() bool { return true }

func unfit(format string, args ...any) error { return &UnfitError{fmt.Sprintf(format, args...)} }

// FromCheckpoint reads the network of a checkpoint: its own layer table, with
// the anchors and the activations that its modules carry, or of a bare state
// dict as FromState guesses it. The weights it needs are checked against it and
// returned as float32, by name.
func FromCheckpoint(c *torch.Checkpoint) (*Network, map[string]*onnx.Tensor, error) {
	named := map[string]*onnx.Tensor{}
	for _, t := range c.State {
		named[t.Name] = t.Tensor
	}
	if c.YAML == nil && c.Model == nil {
		return FromState(named, nil)
	}
	if len(c.Layers) > 0 {
		if err := detects(c.Layers[len(c.Layers)-1]); err != nil {
			return nil, nil, err
		}
	}
	if c.YAML == nil {
		return nil, nil, unfit("holds a model without its layer table")
	}
	table := maps.Clone(c.YAML)
	if c.Anchors != nil {
		anchors, err := pixelAnchors(c.Anchors, c.Strides)
		if err != nil {
			return nil, nil, err
		}
		table["anchors"] = anchors
	}
	if fusedState(named) {
		table[foldedKey] = true
	}
	m := modules{acts: map[string]activation{}}
	for _, l := range c.Layers {
		m.walk(fmt.Sprintf("model.%d", l.Index), l.Object)
	}
	if m.err != nil {
		return nil, nil, m.err
	}
	if m.first != nil {
		table["activation"] = m.first.String()
	}
	net, err := ParseTable(table, c.NC)
	if err != nil {
		return nil, nil, unfit("%v", err)
	}
	if err := net.fits(c); err != nil {
		return nil, nil, err
	}
	if err := net.adopt(m.acts); err != nil {
		return nil, nil, err
	}
	state, err := net.Pick(named)
	return net, state, err
}

// detects makes sure of the last layer's class.
func detects(last torch.Layer) error {
	switch kind := last.Object.Name; kind {
	case "Detect":
		return nil
	case "Segment":
		return unfit("layer %d is Segment: a segmentation model, yolofreeze trains detectors", last.Index)
	case "Classify":
		return unfit("layer %d is Classify: a classification model, yolofreeze trains detectors", last.Index)
	default:
		return unfit("layer %d is %s, not the Detect of YOLOv5: a model of another kind or for another task", last.Index, kind)
	}
}

// fits holds the network against the modules of the checkpoint.
func (net *Network) fits(c *torch.Checkpoint) error {
	for i, l := range c.Layers {
		if i >= len(net.Layers) {
			return unfit("holds %d layers, its own table %d", len(c.Layers), len(net.Layers))
		}
		if kind := l.Object.Name; kind != net.Layers[i].Kind && kind != "Sequential" {
			return unfit("layer %d is %s, in its own table %s", i, l.Object.Class(), net.Layers[i].Kind)
		}
	}
	for i, s := range c.Strides {
		if i < len(net.Strides) && float64(net.Strides[i]) != s {
			return unfit("stride of level %d is %v, by the layer table it is %d", i, s, net.Strides[i])
		}
	}
	return nil
}

// Pick returns, as float32, the tensors that the network needs, checked by name and shape.
func (net *Network) Pick(named map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	params, err := net.Params()
	if err != nil {
		return nil, unfit("%v", err)
	}
	state := make(map[string]*onnx.Tensor, len(params))
	for _, p := range params {
		t := named[p.Name]
		if t == nil {
			return nil, unfit("lacks the tensor %s %v", p.Name, p.Shape)
		}
		if !slices.Equal(t.Shape, p.Shape) {
			return nil, unfit("tensor %s is %v, the layer table asks for %v", p.Name, t.Shape, p.Shape)
		}
		state[p.Name] = t.AsFloat()
	}
	return state, nil
}

// pixelAnchors turns the anchors buffer, [levels, anchors, 2] in cells, into the table's form in pixels.
func pixelAnchors(t *onnx.Tensor, strides []float64) ([]any, error) {
	if len(t.Shape) != 3 || t.Shape[2] != 2 || int(t.Shape[0]) != len(strides) {
		return nil, unfit("anchors are %v for %d levels", t.Shape, len(strides))
	}
	values := t.Float64s()
	each := int(t.Shape[1]) * 2
	levels := make([]any, len(strides))
	for i, s := range strides {
		flat := make([]any, each)
		for j := range flat {
			flat[j] = values[i*each+j] * s
		}
		levels[i] = flat
	}
	return levels, nil
}

// SetAnchors replaces the anchors, in pixels, in the network and its table.
func (net *Network) SetAnchors(anchors [][][2]float64) {
	net.Anchors = anchors
	net.Table["anchors"] = anchorList(anchors)
}

// anchorList is the form that anchors have in a table.
func anchorList(anchors [][][2]float64) []any {
	levels := make([]any, len(anchors))
	for i, level := range anchors {
		flat := []any{}
		for _, a := range level {
			flat = append(flat, a[0], a[1])
		}
		levels[i] = flat
	}
	return levels
}

// Rehead returns the network for another number of classes, and state with
// its Detect convolutions freshly initialised (by InitHead) and the rest kept.
// With the same number of classes nothing changes. It names what was initialised.
func (net *Network) Rehead(state map[string]*onnx.Tensor, nc int, seed uint64) (*Network, map[string]*onnx.Tensor, []string, error) {
	if nc == net.NC {
		return net, state, nil, nil
	}
	fresh, err := ParseTable(net.Table, nc)
	if err != nil {
		return nil, nil, nil, unfit("%v", err)
	}
	state = maps.Clone(state)
	return fresh, state, fresh.InitHead(state, seed), nil
}

// Regrow returns the network for other classes, each of which is one of net's, by
// number, and keeps its weights, or new, where from has -1, and gets those of InitHead.
// Boxes, objectness and all before Detect stay as they are.
func (net *Network) Regrow(state map[string]*onnx.Tensor, from []int, seed uint64) (*Network, map[string]*onnx.Tensor, error) {
	grown, err := ParseTable(net.Table, len(from))
	if err != nil {
		return nil, nil, unfit("%v", err)
	}
	all := maps.Clone(state)
	fresh := grown.InitHead(all, seed)
	for i, name := range fresh {
		to, was := onnx.Data[float32](all[name]), onnx.Data[float32](state[name])
		row := len(to) / len(grown.Anchors[i/2]) / int(grown.Outputs()) // numbers for one output: a kernel, or a bias
		for a := range grown.Anchors[i/2] {
			keep := func(output, before int) {
				copy(to[(a*int(grown.Outputs())+output)*row:][:row], was[(a*int(net.Outputs())+before)*row:])
			}
			for k := range 5 {
				keep(k, k)
			}
			for class, before := range from {
				if before >= 0 {
					keep(5+class, 5+before)
				}
			}
		}
	}
	return grown, all, nil
}

// InitHead gives the Detect convolutions PyTorch's default initialisation,
// uniform within ±1/√fan_in, and adds to the biases the log odds of 8 objects
// a picture of 640 pixels and of evenly likely classes (Lin et al.,
// arXiv:1708.02002, section 3.3). It returns the tensors' names.
func (net *Network) InitHead(state map[string]*onnx.Tensor, seed uint64) []string {
	random := rand.New(rand.NewPCG(seed, 24))
	detect := net.Layers[net.Head()]
	var names []string
	for i, c := range detect.In {
		na, no := int64(len(net.Anchors[i])), net.Outputs()
		weight, bias := uniform(random, c, na*no, c, 1, 1), uniform(random, c, na*no)
		cells := 640 / float64(net.Strides[i])
		b := onnx.Data[float32](bias)
		for a := range na {
			b[a*no+4] += float32(math.Log(8 / (cells * cells)))
			for k := a*no + 5; k < (a+1)*no; k++ {
				b[k] += float32(math.Log(0.6 / (float64(net.NC) - 0.99999)))
			}
		}
		prefix := fmt.Sprintf("%s.m.%d", detect.Name(), i)
		state[prefix+".weight"], state[prefix+".bias"] = weight, bias
		names = append(names, prefix+".weight", prefix+".bias")
	}
	return names
}

// Init returns freshly initialised weights for the whole network.
func (net *Network) Init(seed uint64) (map[string]*onnx.Tensor, error) {
	params, err := net.Params()
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(seed, 0))
	state := map[string]*onnx.Tensor{}
	for _, p := range params {
		t := onnx.NewTensor(onnx.Float, p.Shape...)
		switch p.Kind {
		case Weight:
			t = uniform(random, onnx.NumElements(p.Shape[1:]), p.Shape...)
		case NormScale, RunningVar:
			for i := range onnx.Data[float32](t) {
				onnx.Data[float32](t)[i] = 1
			}
		}
		state[p.Name] = t
	}
	net.InitHead(state, seed)
	return state, nil
}

// uniform draws within ±1/√fanIn.
func uniform(random *rand.Rand, fanIn int64, shape ...int64) *onnx.Tensor {
	t := onnx.NewTensor(onnx.Float, shape...)
	bound := 1 / math.Sqrt(float64(fanIn))
	for i := range onnx.Data[float32](t) {
		onnx.Data[float32](t)[i] = float32((2*random.Float64() - 1) * bound)
	}
	return t
}
