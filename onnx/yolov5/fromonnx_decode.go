package yolov5

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"yolofreeze/onnx"
)

// Evaluate runs a graph: outputs by name, from inputs by name, both of any element type.
type Evaluate func(m *onnx.Model, feeds map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error)

// tail is what an exported network does after its last convolutions.
type tail struct {
	model *onnx.Model
	heads []*onnx.Node  // those convolutions, level by level as the rows of join
	join  *onnx.Value   // the decoded boxes of all levels
	nodes []*onnx.Node  // from heads to join
	extra []*onnx.Value // inputs of the model that these read too

	image    *onnx.Value  // the model's pictures: some exporters ask their size in the decoding
	pictures *onnx.Tensor // blank ones, fed where they are read
}

// findTail looks behind the output with the most levels: its heads are the
// convolutions that lead to it through no other.
func findTail(m *onnx.Model) (*tail, error) {
	var best *tail
	for _, out := range m.Outputs {
		t := &tail{model: m}
		t.reach(out)
		if best == nil || len(t.heads) > len(best.heads) {
			best, t.join = t, out
		}
	}
	switch {
	case best == nil || len(best.heads) == 0:
		return nil, unfit("no convolution leads to an output: not an exported YOLOv5")
	case len(best.heads) > 16:
		return nil, unfit("%d convolutions lead to %q side by side: not an exported YOLOv5", len(best.heads), best.join.Name)
	case len(best.heads) == 1 && len(m.Outputs) > 1:
		return nil, unfit("its %d outputs are the raw ones of each level: the anchors are not in the file, export it with decoding", len(m.Outputs))
	case len(best.heads) == 1:
		return best, nil
	}
	return best, best.order()
}

// Heads names the raw outputs of an exported network, level by level: what the
// convolutions give that are followed by the decoding alone.
func Heads(m *onnx.Model) ([]string, error) {
	t, err := findTail(m)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(t.heads))
	for i, h := range t.heads {
		names[i] = h.Outputs[0].Name
	}
	return names, nil
}

// reach collects heads and nodes behind a value, producers first.
func (t *tail) reach(out *onnx.Value) {
	live := map[*onnx.Value]bool{out: true}
	for _, n := range slices.Backward(t.model.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return live[v] }) {
			continue
		}
		if n.Op == "Conv" {
			t.heads = append(t.heads, n)
			continue
		}
		t.nodes = append(t.nodes, n)
		for _, in := range n.Inputs {
			live[in] = true
		}
	}
	slices.Reverse(t.heads)
	slices.Reverse(t.nodes)
	t.extra = slices.DeleteFunc(slices.Clone(t.model.Inputs), func(v *onnx.Value) bool { return !live[v] })
}

// order finds where the levels meet, and in which order. What comes after, such
// as a choice of the best boxes, is cut off.
func (t *tail) order() error {
	from := map[*onnx.Value]uint{}
	for i, h := range t.heads {
		from[h.Outputs[0]] = 1 << i
	}
	for _, n := range t.nodes {
		all := uint(0)
		for _, in := range n.Inputs {
			all |= from[in]
		}
		for _, out := range n.Outputs {
			from[out] = all
		}
		if bits.OnesCount(all) < len(t.heads) {
			continue
		}
		var heads []*onnx.Node
		for _, in := range n.Inputs {
			if n.Op == "Concat" && bits.OnesCount(from[in]) == 1 {
				heads = append(heads, t.heads[bits.TrailingZeros(from[in])])
			}
		}
		if len(heads) != len(t.heads) || len(heads) != len(n.Inputs) || n.Output(0) == nil {
			return unfit("the last convolutions meet in node %q (%s), not level by level as in YOLOv5", n.Name, n.Op)
		}
		t.join = n.Outputs[0]
		t.reachJoin()
		t.heads = heads
		return nil
	}
	return unfit("the last convolutions never meet: not an exported YOLOv5")
}

func (t *tail) reachJoin() {
	t.heads, t.nodes = nil, nil
	t.reach(t.join)
}

// raw are inputs for the tail: each level's raw output of n pictures of the given size.
func (t *tail) raw(n, height, width int64, strides []int64, value func() float32) (heads []*onnx.Tensor) {
	for i, h := range t.heads {
		channels := paramShape(h.Inputs[1])[0] // as detect made sure of
		x := onnx.NewTensor(onnx.Float, n, channels, height/strides[i], width/strides[i])
		for k := range onnx.Data[float32](x) {
			onnx.Data[float32](x)[k] = value()
		}
		heads = append(heads, x)
	}
	return heads
}

// run evaluates the tail on raw outputs: rows of the first picture, and their length.
func (t *tail) run(eval Evaluate, raw []*onnx.Tensor) (rows []float64, width int, err error) {
	m := &onnx.Model{Opset: t.model.Opset, Name: "decode", Nodes: t.nodes, Outputs: []*onnx.Value{t.join}}
	for _, n := range t.nodes {
		for _, in := range n.Inputs {
			if in == nil || in.Const == nil || slices.Contains(m.Initializers, in) {
				continue
			}
			if in.Const.DType.Size() == 0 {
				return nil, 0, unfit("decode: node %q (%s) reads %v", n.Name, n.Op, in.Const.DType)
			}
			m.Initializers = append(m.Initializers, in)
		}
	}
	feeds := map[string]*onnx.Tensor{}
	for i, h := range t.heads {
		m.Inputs = append(m.Inputs, h.Outputs[0])
		feeds[h.Outputs[0].Name] = raw[i]
	}
	for _, in := range t.extra {
		if in != t.image {
			return nil, 0, unfit("its decoding reads the input %q, which is not the pictures: export it with these as its only input", in.Name)
		}
		m.Inputs = append(m.Inputs, in)
		feeds[in.Name] = t.pictures
	}
	out, err := eval(m, feeds)
	if err != nil {
		return nil, 0, unfit("decode: %v", err)
	}
	y := out[t.join.Name]
	if y == nil {
		return nil, 0, unfit("decode: no %q", t.join.Name)
	}
	if len(y.Shape) != 3 || y.Shape[0] != raw[0].Shape[0] {
		return nil, 0, unfit("%q is %v, not [pictures, boxes, 5 + classes]", t.join.Name, y.Shape)
	}
	return y.Float64s()[:y.Shape[1]*y.Shape[2]], int(y.Shape[2]), nil
}

// anchors reads the anchors off the answer to raw outputs of zero: there a box
// is as large as its anchor and in the middle of its cell.
func (t *tail) anchors(rows []float64, width int, raw []*onnx.Tensor, strides []int64) (anchors [][][2]float64, err error) {
	at := 0
	for i, x := range raw {
		cells := int(x.Shape[2] * x.Shape[3])
		if int(x.Shape[1])%width != 0 {
			return nil, unfit("level %d has %d channels, which are no anchors of %d values", i, x.Shape[1], width)
		}
		var level [][2]float64
		for range int(x.Shape[1]) / width {
			if at+cells*width > len(rows) {
				return nil, unfit("%q has %d rows, too few for its levels", t.join.Name, len(rows)/width)
			}
			first := rows[at : at+width]
			if stride := 2 * first[0]; math.Abs(stride-float64(strides[i])) > 1e-3*stride {
				return nil, unfit("level %d has stride %g, by its layers %d", i, stride, strides[i])
			}
			for k, p := range first[4:] {
				if math.Abs(p-0.5) > 1e-3 {
					return nil, unfit("value %d of a box is no probability: a segmentation model, or none of YOLOv5", 4+k)
				}
			}
			level = append(level, [2]float64{first[2], first[3]})
			at += cells * width
		}
		anchors = append(anchors, level)
	}
	if at != len(rows) {
		return nil, unfit("%q has %d rows, its levels make %d", t.join.Name, len(rows)/width, at/width)
	}
	return anchors, nil
}

// check holds the file's decoding of random outputs against the network's own.
func (t *tail) check(net *Network, eval Evaluate, n, height, width int64) error {
	random := rand.New(rand.NewPCG(1, 5))
	raw := t.raw(n, height, width, net.Strides, func() float32 { return float32(random.NormFloat64()) })
	got, _, err := t.run(eval, raw)
	if err != nil {
		return err
	}
	for i, x := range raw {
		raw[i] = onnx.Of(onnx.Data[float32](x)[:x.Len()/int(n)], 1, x.Shape[1], x.Shape[2], x.Shape[3])
	}
	want, err := net.Rows(raw, 0)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if len(got) != len(want) {
		return unfit("its decoding gives %d values, YOLOv5's %d", len(got), len(want))
	}
	for k, w := range want {
		if d := math.Abs(got[k] - float64(w)); !(d <= 2e-3*(1+math.Abs(float64(w)))) {
			return unfit("its decoding gives %g for value %d of box %d, YOLOv5's %g", got[k], k%int(net.Outputs()), k/int(net.Outputs()), w)
		}
	}
	return nil
}
