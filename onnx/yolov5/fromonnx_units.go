package yolov5

import (
	"math"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// unit is a step of a network as exporters of any age and simplifiers leave it
// recognisable: a few nodes that mean one thing.
type unit struct {
	kind   unitKind
	detail any           // comparable: what tells two units of a kind apart
	in     []*onnx.Value // roots (see skeleton.root)
	out    *onnx.Value
	node   *onnx.Node // the last of its nodes; of convolutions and norms the one that holds the parameters
}

type unitKind string

const (
	unitConv     unitKind = "convolution"
	unitNorm     unitKind = "normalisation"
	unitAct      unitKind = "activation"
	unitPool     unitKind = "pool"
	unitAdd      unitKind = "sum"
	unitConcat   unitKind = "concatenation"
	unitUpsample unitKind = "upsampling"
	unitFocus    unitKind = "focus"
)

// kernelDetail is the detail of a convolution.
type kernelDetail struct {
	window  op.Window
	out, in int64
}

// skeleton is a graph as units.
type skeleton struct {
	units []*unit // producers first
	made  map[*onnx.Value]*unit
	users map[*onnx.Value][]*unit
	alias map[*onnx.Value]*onnx.Value // values that only rename, cast or scale the pixels of another
}

// newSkeleton reads nodes, producers first. Nodes that are part of no unit are
// left out: their outputs are made by nobody.
func newSkeleton(nodes []*onnx.Node) *skeleton {
	s := &skeleton{made: map[*onnx.Value]*unit{}, users: map[*onnx.Value][]*unit{}, alias: map[*onnx.Value]*onnx.Value{}}
	for _, n := range nodes {
		if u := s.unit(n); u != nil {
			s.add(u, n, n.Outputs[0])
		}
	}
	return s
}

func (s *skeleton) add(u *unit, n *onnx.Node, out *onnx.Value) {
	u.node, u.out = n, out
	s.units = append(s.units, u)
	s.made[out] = u
	for i, in := range u.in {
		if !slices.Contains(u.in[:i], in) {
			s.users[in] = append(s.users[in], u)
		}
	}
}

// root returns the value that v is another name of.
func (s *skeleton) root(v *onnx.Value) *onnx.Value {
	if r, ok := s.alias[v]; ok {
		return r
	}
	return v
}

// from returns the node of the given operator that made v, nil where another or none did.
func (s *skeleton) from(v *onnx.Value, operator string) *onnx.Node {
	if v = s.root(v); v != nil && v.Node != nil && v.Node.Op == operator && v.Node.Domain == "" {
		return v.Node
	}
	return nil
}

// unit returns the unit that ends in n, nil where none does.
func (s *skeleton) unit(n *onnx.Node) *unit {
	if n.Domain != "" || n.Output(0) == nil || n.Input(0) == nil {
		return nil
	}
	x := s.root(n.Inputs[0])
	one := []*onnx.Value{x}
	switch n.Op {
	case "Identity", "Dropout", "Cast":
		s.alias[n.Outputs[0]] = x
	case "Conv":
		return s.conv(n, one)
	case "BatchNormalization":
		if len(n.Inputs) == 5 {
			return &unit{kind: unitNorm, detail: n.Float("epsilon", 1e-5), in: one}
		}
	case "Relu", "HardSwish", "LeakyRelu":
		a := activation{class: map[string]string{"Relu": "ReLU", "HardSwish": "Hardswish", "LeakyRelu": "LeakyReLU"}[n.Op]}
		if n.Op == "LeakyRelu" {
			a.slope = n.Float("alpha", 0.01)
		}
		return &unit{kind: unitAct, detail: a, in: one}
	case "MaxPool":
		if w, err := op.ReadWindow(n, nil); err == nil && n.Int("ceil_mode", 0) == 0 {
			return &unit{kind: unitPool, detail: w, in: one}
		}
	case "Concat":
		return s.concat(n)
	case "Resize", "Upsample":
		if s.doubles(n) {
			return &unit{kind: unitUpsample, in: one}
		}
	case "Transpose":
		if x.Node == nil && slices.Equal(n.Ints("perm", nil), []int64{0, 3, 1, 2}) {
			s.alias[n.Outputs[0]] = x // pictures that come with their channels last
		}
	case "Add", "Mul", "Div":
		if len(n.Inputs) == 2 && n.Inputs[1] != nil {
			return s.arithmetic(n)
		}
	}
	return nil
}

func (s *skeleton) conv(n *onnx.Node, in []*onnx.Value) *unit {
	shape := paramShape(n.Input(1))
	if len(shape) != 4 || n.Input(2) != nil && paramShape(n.Inputs[2]) == nil {
		return nil
	}
	w, err := op.ReadWindow(n, onnx.Dims(shape[2:]...))
	if err != nil {
		return nil
	}
	return &unit{kind: unitConv, detail: kernelDetail{w, shape[0], shape[1]}, in: in}
}

// paramShape returns the shape of a constant, or of an input that stands for one.
func paramShape(v *onnx.Value) []int64 {
	if t := constant(v); t != nil {
		return t.Shape
	}
	if v == nil || v.Node != nil {
		return nil
	}
	shape, _ := v.Type.Static()
	return shape
}

// constant returns the tensor that a value always is, nil where it varies.
func constant(v *onnx.Value) *onnx.Tensor {
	for v != nil && v.Const == nil {
		n := v.Node
		if n == nil || n.Domain != "" {
			return nil
		}
		switch n.Op {
		case "Constant":
			t, ok := n.Attr("value").(*onnx.Tensor)
			if !ok {
				return nil
			}
			v = &onnx.Value{Const: t}
		case "Identity", "Cast":
			v = n.Input(0)
		default:
			return nil
		}
	}
	if v == nil || v.Const.DType.Size() == 0 {
		return nil
	}
	return v.Const
}

// number returns the constant single number that a value is.
func number(v *onnx.Value) (float64, bool) {
	t := constant(v)
	if t == nil || t.Len() != 1 {
		return 0, false
	}
	return t.Float64s()[0], true
}

// is reports whether a value is a constant number, up to float16's rounding.
func is(v *onnx.Value, want float64) bool {
	got, ok := number(v)
	return ok && math.Abs(got-want) <= 1e-3*math.Abs(want)
}

// arithmetic knows sums of two values, the activations that are spelt out, and
// pixels brought from 0…255 to 0…1.
func (s *skeleton) arithmetic(n *onnx.Node) *unit {
	x, y := s.root(n.Inputs[0]), s.root(n.Inputs[1])
	for _, p := range [][2]*onnx.Value{{x, y}, {y, x}} {
		x, y := p[0], p[1]
		switch {
		case n.Op == "Add" || constant(x) != nil:
		case x.Node == nil && n.Op == "Mul" && is(y, 1.0/255), x.Node == nil && n.Op == "Div" && y == s.root(n.Inputs[1]) && is(y, 255):
			s.alias[n.Outputs[0]] = x
			return nil
		case n.Op == "Mul" && s.sigmoidOf(y, x):
			return &unit{kind: unitAct, detail: activation{class: "SiLU"}, in: []*onnx.Value{x}}
		case n.Op == "Mul" && s.hardSigmoidOf(y, x):
			return &unit{kind: unitAct, detail: activation{class: "Hardswish"}, in: []*onnx.Value{x}}
		}
	}
	switch {
	case n.Op == "Add" && constant(x) == nil && constant(y) == nil:
		return &unit{kind: unitAdd, in: []*onnx.Value{x, y}}
	case n.Op == "Div" && is(y, 6), n.Op == "Mul" && is(y, 1.0/6): // x·clip(x+3, 0, 6)/6
		if mul := s.from(x, "Mul"); mul != nil {
			a, b := s.root(mul.Input(0)), s.root(mul.Input(1))
			for _, p := range [][2]*onnx.Value{{a, b}, {b, a}} {
				if s.clippedOf(p[1], p[0]) {
					return &unit{kind: unitAct, detail: activation{class: "Hardswish"}, in: []*onnx.Value{p[0]}}
				}
			}
		}
	}
	return nil
}

func (s *skeleton) sigmoidOf(v, x *onnx.Value) bool {
	n := s.from(v, "Sigmoid")
	return n != nil && s.root(n.Input(0)) == x
}

// hardSigmoidOf reports whether v is clip(x+3, 0, 6)/6.
func (s *skeleton) hardSigmoidOf(v, x *onnx.Value) bool {
	if n := s.from(v, "HardSigmoid"); n != nil {
		return s.root(n.Input(0)) == x && math.Abs(float64(n.Float("alpha", 0.2))-1.0/6) < 1e-4 && n.Float("beta", 0.5) == 0.5
	}
	n := s.from(v, "Div")
	return n != nil && is(n.Input(1), 6) && s.clippedOf(s.root(n.Input(0)), x)
}

// clippedOf reports whether v is clip(x+3, 0, 6).
func (s *skeleton) clippedOf(v, x *onnx.Value) bool {
	clip := s.from(v, "Clip")
	if clip == nil {
		return false
	}
	low, high := float64(clip.Float("min", 0)), float64(clip.Float("max", 0))
	if len(clip.Inputs) == 3 {
		low, _ = number(clip.Inputs[1])
		high, _ = number(clip.Inputs[2])
	}
	add := s.from(clip.Input(0), "Add")
	return low == 0 && high == 6 && add != nil &&
		(s.root(add.Input(0)) == x && is(add.Input(1), 3) || s.root(add.Input(1)) == x && is(add.Input(0), 3))
}

// doubles reports whether a resize repeats each pixel 2×2. Sizes that the graph
// computes are taken to: where they do not, the levels' strides tell.
func (s *skeleton) doubles(n *onnx.Node) bool {
	if n.Str("mode", "nearest") != "nearest" {
		return false
	}
	switch how := n.Str("coordinate_transformation_mode", "half_pixel") + " " + n.Str("nearest_mode", "round_prefer_floor"); {
	case n.Op == "Upsample", how == "asymmetric floor", how == "asymmetric round_prefer_floor",
		how == "half_pixel round_prefer_floor", how == "half_pixel round_prefer_ceil", how == "tf_half_pixel_for_nn floor":
	default:
		return false
	}
	for i := 1; i < min(3, len(n.Inputs)); i++ { // scales are the second input of Upsample, the third of Resize
		if t := constant(n.Inputs[i]); t != nil && t.Len() == 4 {
			return slices.Equal(t.Float64s(), []float64{1, 1, 2, 2})
		}
	}
	return n.Op == "Resize" && n.Input(3) != nil
}

// concat knows joins of channels, and the four phases of a picture's pixels that Focus joins.
func (s *skeleton) concat(n *onnx.Node) *unit {
	if axis := n.Int("axis", 0); axis != 1 && axis != -3 || slices.Contains(n.Inputs, nil) {
		return nil
	}
	u := &unit{kind: unitConcat}
	for _, in := range n.Inputs {
		u.in = append(u.in, s.root(in))
	}
	s.regroup(n, u)
	if len(u.in) != 4 {
		return u
	}
	order := [4][2]int64{{0, 0}, {1, 0}, {0, 1}, {1, 1}} // row, column
	base, _, _ := s.phase(u.in[0])
	for i, in := range u.in {
		if of, phase, ok := s.phase(in); !ok || of != base || phase != order[i] {
			return u
		}
	}
	return &unit{kind: unitFocus, in: []*onnx.Value{base}}
}

// regroup undoes the merging of a ghost convolution's own concatenation with
// one that follows, which exporters do.
func (s *skeleton) regroup(n *onnx.Node, u *unit) {
	for i := 0; len(u.in) > 2 && i+1 < len(u.in); i++ {
		act := s.made[u.in[i+1]]
		if act == nil || act.kind != unitAct || s.made[act.in[0]] == nil {
			continue
		}
		cheap := s.made[act.in[0]]
		if k, ok := cheap.detail.(kernelDetail); !ok || cheap.in[0] != u.in[i] || k.window != depthwise(k.out, 5, 1) {
			continue
		}
		both := &onnx.Value{Name: n.Outputs[0].Name, Node: n}
		s.add(&unit{kind: unitConcat, in: []*onnx.Value{u.in[i], u.in[i+1]}}, n, both)
		u.in = slices.Replace(u.in, i, i+2, both)
	}
}

// phase reports of which value v is every second row and column, and from which on.
func (s *skeleton) phase(v *onnx.Value) (base *onnx.Value, phase [2]int64, ok bool) {
	if n := s.from(v, "Split"); n != nil {
		depth := s.from(n.Input(0), "SpaceToDepth")
		i := int64(slices.Index(n.Outputs, s.root(v)))
		if depth == nil || depth.Input(0) == nil || depth.Int("blocksize", 0) != 2 || len(n.Outputs) != 4 {
			return nil, phase, false
		}
		return s.root(depth.Inputs[0]), [2]int64{i / 2, i % 2}, true
	}
	var cut [2]bool
	for n := s.from(v, "Slice"); n != nil; n = s.from(v, "Slice") {
		starts, axes, steps := constant(n.Input(1)), constant(n.Input(3)), constant(n.Input(4))
		if n.Input(0) == nil || starts == nil || axes == nil || steps == nil || starts.Len() != axes.Len() || steps.Len() != axes.Len() {
			return nil, phase, false
		}
		for i, axis := range axes.Int64s() {
			if axis < 0 {
				axis += 4
			}
			start := starts.Int64s()[i]
			if axis < 2 || axis > 3 || cut[axis-2] || steps.Int64s()[i] != 2 || start < 0 || start > 1 {
				return nil, phase, false
			}
			cut[axis-2], phase[axis-2] = true, start
		}
		v = s.root(n.Inputs[0])
	}
	return v, phase, cut[0] && cut[1]
}
