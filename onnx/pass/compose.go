package pass

import (
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Compose turns the layers of a forward pass into composite operators (package op says
// which), whose pictures are channels-last, before its gradients are built: a Conv with
// the batch normalisation, or the bias, and the activation behind it. What stands between
// layers follows them into channels-last where it can; Transposes remain at the borders.
// Convolutions that depend on none of the values that train stay as they are: the runtime lays
// constant kernels out once for all steps, which no composite operator could.
//
// It returns what stands in for values that are no longer made.
func Compose(m *onnx.Model, trains []*onnx.Value) (map[*onnx.Value]*onnx.Value, error) {
	c := &composer{b: op.Extend(m), readers: map[*onnx.Value][]*onnx.Node{}, taken: map[*onnx.Node]bool{}, trained: map[*onnx.Value]bool{},
		last: map[*onnx.Value]*onnx.Value{}, gone: map[*onnx.Value]bool{}, instead: map[*onnx.Value]*onnx.Value{}}
	for _, n := range m.Nodes {
		for _, in := range n.Inputs {
			c.readers[in] = append(c.readers[in], n)
		}
	}
	for _, out := range m.Outputs {
		c.readers[out] = append(c.readers[out], nil)
	}
	for _, v := range trains {
		c.trained[v] = true
	}
	nodes := m.Nodes
	m.Nodes = nil
	for _, n := range nodes {
		if slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return c.trained[v] }) {
			for _, out := range n.Outputs {
				c.trained[out] = true
			}
		}
		if c.taken[n] {
			continue
		}
		made := false
		c.b.In(n.Name, func() { made = c.layer(n) || c.between(n) })
		if !made {
			for i, in := range n.Inputs {
				n.Inputs[i] = c.first(in)
			}
			m.Nodes = append(m.Nodes, n)
		}
	}
	return c.instead, c.b.Err()
}

type composer struct {
	b       *op.Builder
	readers map[*onnx.Value][]*onnx.Node // nil is the graph's output
	taken   map[*onnx.Node]bool          // are part of a layer
	trained map[*onnx.Value]bool         // depend on what trains
	last    map[*onnx.Value]*onnx.Value  // channels-last, by what the graph had
	gone    map[*onnx.Value]bool         // are made channels-last only
	instead map[*onnx.Value]*onnx.Value  // channels-first and other, by what the graph had
}

// first returns a value as the graph had it.
func (c *composer) first(v *onnx.Value) *onnx.Value {
	if r := c.instead[v]; r != nil {
		return r
	}
	if !c.gone[v] {
		return v
	}
	c.instead[v] = c.b.Transpose(c.last[v], 0, 3, 1, 2)
	return c.instead[v]
}

// moved says that a value is made channels-last only.
func (c *composer) moved(v, last *onnx.Value) {
	c.last[v], c.gone[v] = last, true
}

// channelsLast returns a value's twin.
func (c *composer) channelsLast(v *onnx.Value) *onnx.Value {
	if c.last[v] == nil {
		c.last[v] = c.b.Transpose(c.first(v), 0, 2, 3, 1)
	}
	return c.last[v]
}

// only returns the one node that reads a value, if it is of that operator.
func (c *composer) only(v *onnx.Value, operator string) *onnx.Node {
	if r := c.readers[v]; len(r) == 1 && r[0] != nil && r[0].Op == operator {
		return r[0]
	}
	return nil
}

// layer makes a composite node of a Conv and what follows it.
func (c *composer) layer(n *onnx.Node) bool {
	if n.Op != "Conv" {
		return false
	}
	w, err := op.ReadWindow(n, n.Inputs[1].Type.Shape[2:])
	_, static := n.Inputs[0].Type.Static()
	if err != nil || !static || w.Dilation != [2]int64{1, 1} {
		return false
	}
	l := op.Layer{Window: w}
	z := n.Outputs[0]
	if s := c.statistics(z); s != nil && n.Input(2) == nil {
		l.Epsilon = s.norm.Float("epsilon", 1e-5)
		y := c.activation(s.norm.Outputs[0], &l)
		out, mean, variance := c.b.ConvBatchNorm(c.channelsLast(n.Inputs[0]), n.Inputs[1], c.first(s.norm.Inputs[1]), c.first(s.norm.Inputs[2]), l)
		c.moved(y, out)
		if s.mean != nil {
			c.instead[s.mean], c.instead[s.variance] = c.b.Reshape(mean, 1, -1, 1, 1), c.b.Reshape(variance, 1, -1, 1, 1)
		}
		c.take(s.nodes...)
		return true
	}
	if !c.trained[z] {
		return false
	}
	y := c.activation(z, &l)
	if y == z && c.last[n.Inputs[0]] == nil {
		return false // the runtime's own is as quick, and there would be two borders more
	}
	var bias *onnx.Value
	if n.Input(2) != nil {
		bias = c.first(n.Inputs[2])
	}
	c.moved(y, c.b.ConvAct(c.channelsLast(n.Inputs[0]), c.first(n.Inputs[1]), bias, l))
	return true
}

func (c *composer) take(nodes ...*onnx.Node) {
	for _, n := range nodes {
		c.taken[n] = true
	}
}

// statistics are a normalisation by batch statistics, and the nodes that compute these
// a second time to move the running ones (op.Builder.BatchStatistics); mean and variance
// are nil where nobody does.
type statistics struct {
	norm           *onnx.Node
	mean, variance *onnx.Value
	nodes          []*onnx.Node
}

// statistics recognises them by z's readers; nil where they are not all that reads it.
func (c *composer) statistics(z *onnx.Value) *statistics {
	s := &statistics{}
	var reduce, centre *onnx.Node
	for _, r := range c.readers[z] {
		switch {
		case r == nil:
			return nil
		case r.Op == "BatchNormalization" && r.Int("training_mode", 0) == 1 && r.Inputs[0] == z && s.norm == nil:
			s.norm = r
		case r.Op == "ReduceMean" && overPictures(r) && reduce == nil:
			reduce = r
		case r.Op == "Sub" && r.Inputs[0] == z && centre == nil:
			centre = r
		default:
			return nil
		}
	}
	if s.norm == nil || (reduce == nil) != (centre == nil) || s.norm.Inputs[1].Node != nil || s.norm.Inputs[2].Node != nil {
		return nil
	}
	s.nodes = []*onnx.Node{s.norm}
	if reduce == nil {
		return s
	}
	readers := c.readers[centre.Outputs[0]]
	if centre.Inputs[1] != reduce.Outputs[0] || len(readers) != 2 || readers[0] != readers[1] || readers[0] == nil || readers[0].Op != "Mul" {
		return nil
	}
	square := readers[0]
	spread := c.only(square.Outputs[0], "ReduceMean")
	if spread == nil || !overPictures(spread) {
		return nil
	}
	s.mean, s.variance = reduce.Outputs[0], spread.Outputs[0]
	s.nodes = append(s.nodes, reduce, centre, square, spread)
	return s
}

// overPictures: over all axes of NCHW but the channels, which stay where they are.
func overPictures(n *onnx.Node) bool {
	return slices.Equal(n.Ints("axes", nil), []int64{0, 2, 3}) && n.Int("keepdims", 1) == 1
}

// activation takes the activation that alone reads x into a layer, and returns its output, or x.
func (c *composer) activation(x *onnx.Value, l *op.Layer) *onnx.Value {
	readers := c.readers[x]
	if len(readers) == 2 && readers[0] != nil && readers[1] != nil {
		sigmoid, mul := readers[0], readers[1]
		if sigmoid.Op != "Sigmoid" {
			sigmoid, mul = mul, sigmoid
		}
		if sigmoid.Op != "Sigmoid" || mul.Op != "Mul" || c.only(sigmoid.Outputs[0], "Mul") != mul {
			return x
		}
		l.Activation = "SiLU"
		c.take(sigmoid, mul)
		return mul.Outputs[0]
	}
	for _, name := range []string{"Relu", "LeakyRelu", "HardSwish"} {
		if n := c.only(x, name); n != nil {
			l.Activation, l.Alpha = name, n.Float("alpha", 0.01)
			c.take(n)
			return n.Outputs[0]
		}
	}
	return x
}

// between moves a node that is not a layer to channels-last, where its inputs are.
func (c *composer) between(n *onnx.Node) bool {
	if !slices.ContainsFunc(n.Inputs, func(v *onnx.Value) bool { return c.last[v] != nil }) || len(n.Outputs[0].Type.Shape) != 4 {
		return false
	}
	switch n.Op {
	case "Concat":
		if n.Int("axis", 0) != 1 {
			return false
		}
		list := make([]*onnx.Value, len(n.Inputs))
		for i, in := range n.Inputs {
			list[i] = c.channelsLast(in)
		}
		c.moved(n.Outputs[0], c.b.Concat(3, list...))
	case "Add":
		x, y := n.Inputs[0], n.Inputs[1]
		if !x.Type.Equal(y.Type) {
			return false
		}
		c.moved(n.Outputs[0], c.b.Add(c.channelsLast(x), c.channelsLast(y)))
	case "MaxPool":
		w, err := op.ReadWindow(n, nil)
		if err != nil || len(n.Outputs) != 1 || w.Dilation != [2]int64{1, 1} {
			return false
		}
		c.moved(n.Outputs[0], c.b.LargestOf(c.channelsLast(n.Inputs[0]), w))
	case "Resize":
		if !doubles(n) {
			return false
		}
		c.moved(n.Outputs[0], c.b.Op("Doubled", nil, c.channelsLast(n.Inputs[0])))
	default:
		return false
	}
	return true
}

// doubles tells whether a Resize repeats each pixel to a block of 2×2, as op.Layout.Upsample2 does.
func doubles(n *onnx.Node) bool {
	scales := n.Input(2)
	return scales != nil && scales.Const != nil && slices.Equal(scales.Const.Float64s(), []float64{1, 1, 2, 2}) && n.Str("mode", "nearest") == "nearest" &&
		n.Str("coordinate_transformation_mode", "half_pixel") == "asymmetric" && n.Str("nearest_mode", "round_prefer_floor") == "floor"
}
