package op

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

var elementwise = []Op{
	{"Add", 2, []int64{7, 13, 14}, binary, rule(gradAdd)},
	{"Sub", 2, []int64{7, 13, 14}, binary, rule(gradSub)},
	{"Mul", 2, []int64{7, 13, 14}, binary, rule(gradMul)},
	{"Div", 2, []int64{7, 13, 14}, binary, rule(gradDiv)},
	{"Pow", 2, []int64{7, 12, 13, 15}, binary, rule(gradPow)},
	{"Max", 2, []int64{8, 12, 13}, binary, rule(gradMax)},
	{"Min", 2, []int64{8, 12, 13}, binary, rule(gradMin)},
	{"Exp", 1, []int64{6, 13}, unary, rule(gradExp)},
	{"Log", 1, []int64{6, 13}, unary, rule(gradLog)},
	{"Sqrt", 1, []int64{6, 13}, unary, rule(gradSqrt)},
	{"Neg", 1, []int64{6, 13}, unary, rule(gradNeg)},
	{"Abs", 1, []int64{6, 13}, unary, rule(gradAbs)},
	{"Sign", 1, []int64{9, 13}, unary, NoGrad},
	{"Floor", 1, []int64{6, 13}, unary, NoGrad},
	{"Reciprocal", 1, []int64{6, 13}, unary, rule(gradReciprocal)},
	{"Atan", 1, []int64{7, 22}, unary, rule(gradAtan)},
	{"Sigmoid", 1, []int64{6, 13}, unary, rule(gradSigmoid)},
	{"Tanh", 1, []int64{6, 13}, unary, rule(gradTanh)},
	{"Relu", 1, []int64{6, 13, 14}, unary, rule(gradRelu)},
	{"LeakyRelu", 1, []int64{6, 16}, unary, rule(gradLeakyRelu)},
	{"HardSigmoid", 1, []int64{6, 22}, unary, rule(gradHardSigmoid)},
	{"HardSwish", 1, []int64{14, 22}, unary, rule(gradHardSwish)},
	{"Softplus", 1, []int64{1, 22}, unary, rule(gradSoftplus)},
	{"Clip", 1, []int64{6, 11, 12, 13}, unary, rule(gradClip)},
	{"Identity", 1, []int64{1, 13, 14, 16, 19, 21}, unary, rule(func(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value { return dy })},
	{"Cast", 1, []int64{6, 9, 13, 19, 21}, inferCast, rule(gradCast)},
	{"Where", 3, []int64{9, 16}, inferWhere, rule(gradWhere)},
	{"Equal", 2, []int64{7, 11, 13, 19}, comparison, NoGrad},
	{"Less", 2, []int64{7, 9, 13}, comparison, NoGrad},
	{"LessOrEqual", 2, []int64{12, 16}, comparison, NoGrad},
	{"Greater", 2, []int64{7, 9, 13}, comparison, NoGrad},
	{"GreaterOrEqual", 2, []int64{12, 16}, comparison, NoGrad},
	{"And", 2, []int64{7}, comparison, NoGrad},
	{"Or", 2, []int64{7}, comparison, NoGrad},
	{"Not", 1, []int64{1}, unary, NoGrad},
}

func unary(n *onnx.Node) ([]onnx.Type, error) {
	return []onnx.Type{n.Inputs[0].Type}, nil
}

// binary covers operators of two broadcast inputs of one type. Max and Min
// are variadic in ONNX; yolofreeze emits them with two.
func binary(n *onnx.Node) ([]onnx.Type, error) {
	if len(n.Inputs) != 2 {
		return nil, fmt.Errorf("has %d inputs, not 2", len(n.Inputs))
	}
	x, y := n.Inputs[0].Type, n.Inputs[1].Type
	if x.DType != y.DType && n.Op != "Pow" {
		return nil, fmt.Errorf("mixes %v and %v", x.DType, y.DType)
	}
	shape, err := broadcast(x.Shape, y.Shape)
	return []onnx.Type{{DType: x.DType, Shape: shape}}, err
}

func comparison(n *onnx.Node) ([]onnx.Type, error) {
	types, err := binary(n)
	if err != nil {
		return nil, err
	}
	types[0].DType = onnx.Bool
	return types, nil
}

// broadcast joins two shapes by ONNX's (numpy's) multidirectional rule.
func broadcast(x, y []onnx.Dim) ([]onnx.Dim, error) {
	if x == nil || y == nil {
		return nil, nil
	}
	if len(x) < len(y) {
		x, y = y, x
	}
	out := append([]onnx.Dim{}, x...)
	for i, d := range y {
		j := len(x) - len(y) + i
		switch {
		case out[j] == d && (d.Known() || d.Name != ""), d.Size == 1:
		case out[j].Size == 1:
			out[j] = d
		case out[j].Known() && d.Known():
			return nil, fmt.Errorf("shapes %v and %v do not broadcast", x, y)
		case d.Known(): // an unknown dimension beside a fixed one can only be that or 1
			out[j] = d
		case !out[j].Known() && out[j] != d:
			out[j] = onnx.Dim{Size: onnx.Unknown}
		}
	}
	return out, nil
}

func inferCast(n *onnx.Node) ([]onnx.Type, error) {
	return []onnx.Type{{DType: onnx.DType(n.Int("to", 0)), Shape: n.Inputs[0].Type.Shape}}, nil
}

func inferWhere(n *onnx.Node) ([]onnx.Type, error) {
	shape, err := broadcast(n.Inputs[1].Type.Shape, n.Inputs[2].Type.Shape)
	if err != nil {
		return nil, err
	}
	shape, err = broadcast(shape, n.Inputs[0].Type.Shape)
	return []onnx.Type{{DType: n.Inputs[1].Type.DType, Shape: shape}}, err
}

func (o Arithmetic) Add(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Add", nil, x, y) }
func (o Arithmetic) Sub(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Sub", nil, x, y) }
func (o Arithmetic) Mul(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Mul", nil, x, y) }
func (o Arithmetic) Div(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Div", nil, x, y) }
func (o Arithmetic) Max(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Max", nil, x, y) }
func (o Arithmetic) Min(x, y *onnx.Value) *onnx.Value           { return o.b.Op("Min", nil, x, y) }
func (o Arithmetic) Sqrt(x *onnx.Value) *onnx.Value             { return o.b.Op("Sqrt", nil, x) }
func (o Arithmetic) Neg(x *onnx.Value) *onnx.Value              { return o.b.Op("Neg", nil, x) }
func (o Arithmetic) Sigmoid(x *onnx.Value) *onnx.Value          { return o.b.Op("Sigmoid", nil, x) }
func (o Arithmetic) Square(x *onnx.Value) *onnx.Value           { return o.b.Mul(x, x) }
func (o Arithmetic) OneMinus(x *onnx.Value) *onnx.Value         { return o.b.Sub(o.b.Float(1), x) }
func (o Arithmetic) Scale(x *onnx.Value, f float64) *onnx.Value { return o.b.Mul(x, o.b.Float(f)) }
func (o Arithmetic) Shift(x *onnx.Value, f float64) *onnx.Value { return o.b.Add(x, o.b.Float(f)) }

// Cast converts to an element type.
func (o Arithmetic) Cast(x *onnx.Value, to onnx.DType) *onnx.Value {
	b := o.b
	if x.Type.DType == to {
		return x
	}
	return b.Op("Cast", Attrs{"to": int64(to)}, x)
}

// FromBytes brings bytes of 0…255, the pixels of pictures, to 0…1 in a type of floats.
func (o Arithmetic) FromBytes(x *onnx.Value, to onnx.DType) *onnx.Value {
	b := o.b
	white := onnx.Scalar(float32(255))
	if to == onnx.Float16 {
		white = white.ToFloat16()
	}
	return b.Div(b.Cast(x, to), b.Const(white))
}

// SiLU is x·σ(x) (Elfwing et al., arXiv:1702.03118), written so that ONNX Runtime and gradMul recognise it.
func (o Arithmetic) SiLU(x *onnx.Value) *onnx.Value { return o.b.Mul(x, o.b.Sigmoid(x)) }

func gradAdd(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{dy[0], dy[0]}
}

func gradSub(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := []*onnx.Value{dy[0], nil}
	if b.Needs[1] {
		dx[1] = b.Neg(dy[0])
	}
	return dx
}

// gradMul knows two shapes of product that it differentiates as one: the
// square x·x, and SiLU x·σ(x), whose gradient σ + y(1-σ) saves two passes
// over the largest tensors of the network.
func gradMul(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	x, y := n.Inputs[0], n.Inputs[1]
	if x == y {
		return []*onnx.Value{b.Mul(dy[0], b.Scale(x, 2)), nil}
	}
	if y.Node != nil && y.Node.Op == "Sigmoid" && y.Node.Inputs[0] == x && b.Needs[0] && b.Needs[1] {
		slope := b.Add(y, b.Mul(n.Outputs[0], b.OneMinus(y)))
		return []*onnx.Value{b.Mul(dy[0], slope), nil}
	}
	dx := make([]*onnx.Value, 2)
	if b.Needs[0] {
		dx[0] = b.Mul(dy[0], y)
	}
	if b.Needs[1] {
		dx[1] = b.Mul(dy[0], x)
	}
	return dx
}

func gradDiv(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := make([]*onnx.Value, 2)
	if b.Needs[0] {
		dx[0] = b.Div(dy[0], n.Inputs[1])
	}
	if b.Needs[1] {
		dx[1] = b.Neg(b.Mul(dy[0], b.Div(n.Outputs[0], n.Inputs[1])))
	}
	return dx
}

func gradPow(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	if b.Needs[1] {
		b.Fail("the gradient of Pow with respect to its exponent is not built")
	}
	x, p := n.Inputs[0], n.Inputs[1]
	slope := b.Mul(p, b.Op("Pow", nil, x, b.Shift(p, -1)))
	return []*onnx.Value{b.Mul(dy[0], slope), nil}
}

// gradMax shares the gradient evenly where both inputs are equal, as PyTorch does.
func gradMax(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return b.select2(n.Inputs[0], n.Inputs[1], dy[0])
}

func gradMin(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return b.select2(n.Inputs[1], n.Inputs[0], dy[0])
}

// select2 splits dy into the part where x > y and the rest, and ties in half.
func (b *Backward) select2(x, y, dy *onnx.Value) []*onnx.Value {
	greater := b.Cast(b.Op("Greater", nil, x, y), onnx.Float)
	less := b.Cast(b.Op("Less", nil, x, y), onnx.Float)
	share := b.Shift(b.Scale(b.Sub(greater, less), 0.5), 0.5) // 1, ½ or 0
	dx := b.Mul(dy, share)
	return []*onnx.Value{dx, b.Sub(dy, dx)}
}

func gradExp(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Mul(dy[0], n.Outputs[0])}
}

func gradLog(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Div(dy[0], n.Inputs[0])}
}

func gradSqrt(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Div(b.Scale(dy[0], 0.5), n.Outputs[0])}
}

func gradNeg(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Neg(dy[0])}
}

func gradAbs(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Mul(dy[0], b.Op("Sign", nil, n.Inputs[0]))}
}

func gradReciprocal(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Neg(b.Mul(dy[0], b.Square(n.Outputs[0])))}
}

func gradAtan(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Div(dy[0], b.Shift(b.Square(n.Inputs[0]), 1))}
}

func gradSigmoid(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	y := n.Outputs[0]
	return []*onnx.Value{b.Mul(dy[0], b.Mul(y, b.OneMinus(y)))}
}

func gradTanh(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Mul(dy[0], b.OneMinus(b.Square(n.Outputs[0])))}
}

func gradRelu(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Mul(dy[0], b.positive(n.Inputs[0]))}
}

// positive is 1 where x > 0 and 0 elsewhere.
func (o Arithmetic) positive(x *onnx.Value) *onnx.Value {
	return o.b.Cast(o.b.Op("Greater", nil, x, o.b.Float(0)), x.Type.DType)
}

func gradLeakyRelu(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	alpha := float64(n.Float("alpha", 0.01))
	slope := b.Shift(b.Scale(b.positive(n.Inputs[0]), 1-alpha), alpha)
	return []*onnx.Value{b.Mul(dy[0], slope)}
}

func gradHardSigmoid(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	y := n.Outputs[0]
	inside := b.Mul(b.positive(y), b.positive(b.OneMinus(y)))
	return []*onnx.Value{b.Mul(dy[0], b.Scale(inside, float64(n.Float("alpha", 0.2))))}
}

// gradHardSwish differentiates x·clip(x/6+½, 0, 1): clip(…) + x/6 inside, the clipped factor outside.
func gradHardSwish(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	x := n.Inputs[0]
	factor := b.Op("HardSigmoid", Attrs{"alpha": float32(1) / 6, "beta": float32(0.5)}, x)
	inside := b.Mul(b.positive(factor), b.positive(b.OneMinus(factor)))
	return []*onnx.Value{b.Mul(dy[0], b.Add(factor, b.Mul(inside, b.Scale(x, 1.0/6))))}
}

func gradSoftplus(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Mul(dy[0], b.Sigmoid(n.Inputs[0]))}
}

// gradClip passes gradients where the input lies within the bounds, ends included, as PyTorch does.
func gradClip(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := dy[0]
	if slices.Contains(b.Needs[1:], true) {
		b.Fail("the gradient with respect to the bounds of Clip is not built")
	}
	for i, cmp := range []string{1: "Less", 2: "Greater"} {
		if bound := n.Input(i); i > 0 && bound != nil {
			outside := b.Cast(b.Op(cmp, nil, n.Inputs[0], bound), onnx.Float)
			dx = b.Mul(dx, b.OneMinus(outside))
		}
	}
	return []*onnx.Value{dx}
}

// gradCast passes nothing to integers: rounding is flat.
func gradCast(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	switch n.Inputs[0].Type.DType {
	case onnx.Float, onnx.Double, onnx.Float16, onnx.BFloat16:
	default:
		return []*onnx.Value{nil}
	}
	return []*onnx.Value{b.Cast(dy[0], n.Inputs[0].Type.DType)}
}

func gradWhere(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := make([]*onnx.Value, 3)
	if b.Needs[1] {
		dx[1] = b.Op("Where", nil, n.Inputs[0], dy[0], b.Float(0))
	}
	if b.Needs[2] {
		dx[2] = b.Op("Where", nil, n.Inputs[0], b.Float(0), dy[0])
	}
	return dx
}

// Elementwise reports whether an operator works element by element with broadcasting.
func Elementwise(name string) bool { return elementwiseNames[name] }

var elementwiseNames = map[string]bool{}

func init() {
	for _, o := range elementwise {
		elementwiseNames[o.Name] = true
	}
}
