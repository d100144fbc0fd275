package yolov5

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

// FromGraph reads the network of an exported YOLOv5 and, as float32 and by
// their names in PyTorch, its weights. Nothing is taken from the names of nodes
// and values: the layers are recognised by what they compute, the anchors and
// the number of classes by running the decoding at the end with eval. BatchNorm
// is mostly folded in such files; Network.Folded then says so.
//
// The file does not tell where the backbone ends: it is taken to end before
// the layer that the first Upsample reads. A *UnfitError says what was missing.
func FromGraph(m *onnx.Model, eval Evaluate) (*Network, map[string]*onnx.Tensor, error) {
	for _, n := range m.Nodes {
		if n.Domain != "" {
			return nil, nil, unfit("node %q is %s.%s: a graph rewritten for one runtime, export it anew", n.Name, n.Domain, n.Op)
		}
		if n.Op == "DequantizeLinear" {
			return nil, nil, unfit("node %q is %s: a quantised model cannot be trained", n.Name, n.Op)
		}
	}
	t, err := findTail(m)
	if err != nil {
		return nil, nil, err
	}
	r, err := recognise(m, t)
	if err != nil {
		return nil, nil, err
	}
	net, err := r.detect(m, t, eval)
	if err != nil {
		return nil, nil, err
	}
	state, err := net.Pick(r.state)
	return net, state, err
}

// Limits on a file: of yolov5x6 at 1280 pixels there are some 600 units and 9
// million raw outputs.
const (
	maxUnits = 20_000
	maxRaw   = 1 << 26
)

// recognise finds the layers up to the heads.
func recognise(m *onnx.Model, t *tail) (*recogniser, error) {
	r := &recogniser{file: newSkeleton(behind(m, t.heads)), taken: map[*unit]bool{}, state: map[string]*onnx.Tensor{}, acts: map[string]activation{}, index: map[*onnx.Value]int{}}
	if len(r.file.units) > maxUnits {
		return nil, unfit("%d convolutions, activations and the like, more than %d", len(r.file.units), maxUnits)
	}
	r.table = tableParser{net: &Network{NC: 1, Act: "SiLU", Acts: map[string]string{}, Folded: true}, depth: 1, width: 1}
	for _, u := range r.file.units {
		if slices.Contains(t.heads, u.node) {
			r.taken[u] = true
		}
		if u.kind == unitNorm && r.file.from(u.in[0], "Conv") != nil {
			r.table.net.Folded = false
		}
		for _, in := range u.in {
			if in.Node == nil && in.Const == nil && r.image == nil {
				r.image = in
			}
		}
	}
	if r.image == nil {
		return nil, unfit("no layer of YOLOv5 reads an input of the graph")
	}
	return r, r.layers()
}

// behind returns the nodes that lead to the given ones, and these, producers first.
func behind(m *onnx.Model, ends []*onnx.Node) []*onnx.Node {
	live := map[*onnx.Node]bool{}
	for _, n := range ends {
		live[n] = true
	}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(m.Nodes) {
		if !live[n] {
			continue
		}
		nodes = append(nodes, n)
		for _, in := range n.Inputs {
			if in != nil && in.Node != nil {
				live[in.Node] = true
			}
		}
	}
	slices.Reverse(nodes)
	return nodes
}

// detect completes the table by the Detect layer and parses it.
func (r *recogniser) detect(m *onnx.Model, t *tail, eval Evaluate) (*Network, error) {
	from, strides := make([]any, len(t.heads)), make([]int64, len(t.heads))
	for i, h := range t.heads {
		at := slices.Index(r.made, r.file.root(h.Input(0)))
		if at < 0 || len(paramShape(h.Input(1))) != 4 || h.Input(2) == nil || h.Output(0) == nil {
			return nil, unfit("node %q (Conv) is no head: want a convolution with a bias of a layer's output", h.Name)
		}
		from[i], strides[i] = int64(at), r.table.stride[at]
		prefix := fmt.Sprintf("model.%d.m.%d", len(r.made), i)
		r.state[prefix+".weight"], r.state[prefix+".bias"] = constant(h.Inputs[1]), constant(h.Inputs[2])
	}
	n, height, width, err := r.pictures(strides)
	if err != nil {
		return nil, err
	}
	values := int64(0)
	for i, h := range t.heads {
		values += n * paramShape(h.Inputs[1])[0] * (height / strides[i]) * (width / strides[i])
	}
	if values > maxRaw {
		return nil, unfit("input %q is %v: %d raw outputs, more than %d", r.image.Name, r.image.Type, values, maxRaw)
	}
	t.image, t.pictures = r.image, r.blank(n, height, width)
	zeros := t.raw(n, height, width, strides, func() float32 { return 0 })
	rows, outputs, err := t.run(eval, zeros)
	if err != nil {
		return nil, err
	}
	if outputs < 6 {
		return nil, unfit("%q has %d values per box, want 5 and the classes", t.join.Name, outputs)
	}
	anchors, err := t.anchors(rows, outputs, zeros, strides)
	if err != nil {
		return nil, err
	}
	r.rows = append(r.rows, []any{from, int64(1), "Detect", []any{"nc", "anchors"}})
	net, err := ParseTable(r.document(anchors), outputs-5)
	if err != nil {
		return nil, unfit("%v", err)
	}
	return net, t.check(net, eval, n, height, width)
}

// pictures chooses how many pictures of which size the decoding is tried on: as
// the file fixes them, or a small one that is wider than it is high.
func (r *recogniser) pictures(strides []int64) (n, height, width int64, err error) {
	s := r.image.Type.Shape
	coarsest := slices.Max(strides)
	if len(s) != 4 {
		return 0, 0, 0, unfit("input %q is %v, not a batch of pictures", r.image.Name, r.image.Type)
	}
	if r.channelsLast() {
		s = []onnx.Dim{s[0], s[3], s[1], s[2]}
	}
	choose := func(d onnx.Dim, otherwise int64) int64 {
		if d.Known() {
			return d.Size
		}
		return otherwise
	}
	n, height, width = choose(s[0], 1), choose(s[2], 2*coarsest), choose(s[3], 3*coarsest)
	const most = 1 << 14
	if n < 1 || n > most || height < coarsest || height > most || width < coarsest || width > most || height%coarsest != 0 || width%coarsest != 0 {
		return 0, 0, 0, unfit("input %q is %v, not pictures of multiples of %d pixels", r.image.Name, r.image.Type, coarsest)
	}
	return n, height, width, nil
}

// blank are pictures as the file takes them.
func (r *recogniser) blank(n, height, width int64) *onnx.Tensor {
	if r.channelsLast() {
		return onnx.NewTensor(r.image.Type.DType, n, height, width, 3)
	}
	return onnx.NewTensor(r.image.Type.DType, n, 3, height, width)
}

func (r *recogniser) channelsLast() bool {
	s := r.image.Type.Shape
	return s[3].Size == 3 && s[1].Size != 3
}

// document is the table as YOLOv5 writes it. Its activation is the most common one.
func (r *recogniser) document(anchors [][][2]float64) map[string]any {
	count, common := map[activation]int{}, activation{class: "SiLU"}
	for _, a := range r.acts {
		count[a]++
	}
	for a, n := range count {
		if n > count[common] || n == count[common] && a.String() < common.String() {
			common = a
		}
	}
	differ := map[string]any{}
	for module, a := range r.acts {
		if a != common {
			differ[module] = a.String()
		}
	}
	for module, text := range r.table.net.Acts {
		differ[module] = text
	}
	backbone := len(r.rows) - 1
	for i, row := range r.rows {
		if row.([]any)[2] == "nn.Upsample" && i > 0 {
			backbone = i - 1
			break
		}
	}
	table := map[string]any{
		"nc": int64(0), "depth_multiple": 1.0, "width_multiple": 1.0, "activation": common.String(), foldedKey: r.table.net.Folded,
		"backbone": slices.Clone(r.rows[:backbone]), "head": slices.Clone(r.rows[backbone:]),
	}
	if len(differ) > 0 {
		table[ActivationsKey] = differ
	}
	net := Network{Table: table}
	net.SetAnchors(anchors)
	return table
}
