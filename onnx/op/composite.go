package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// Domain is that of the composite operators: a whole layer of a network, forward or
// backward, for which package ort has kernels of its own. They stand in a graph only
// where it is built to be run at once (see pass.Compose); none is ever written to a file.
const Domain = "yolofreeze"

// Pictures are channels-last here, [N,H,W,C], kernels as everywhere [K,C/groups,h,w].
//
//   - ConvBatchNorm convolves, normalises by the batch's own mean and biased variance,
//     scales, shifts and activates: x, w, scale [K], shift [K] to y, the convolution's
//     result z, mean [K], variance [K].
//   - ConvBatchNormGrad: dy, x, w, scale, shift, z, mean, variance to dx, dw, dscale,
//     dshift. Outputs that nobody wants are left out. The kernel uses z's memory for
//     the gradient of z, so nobody else may read z.
//   - ConvAct convolves, adds a bias [K], if any, and activates: x, w, bias to y and, if
//     its gradient needs that, the sum z before the activation.
//   - ConvActGrad: dy, x, w, z to dx, dw, dbias; without activation z is left out.
//   - LargestOf takes the largest of each window, LargestOfGrad: dy, x to dx, where of equals
//     the first by rows, then columns, takes it all. Their attributes are MaxPool's.
//   - Doubled repeats each pixel to a block of 2×2, DoubledGrad adds blocks up: dy to dx.
//
// Layers have the attributes strides, pads, group, epsilon, activation (an operator's name,
// SiLU, or "" for none) and alpha (LeakyRelu's slope).
var composites = []Op{
	{"ConvBatchNorm", 4, []int64{1}, inferConvBatchNorm, rule(gradConvBatchNorm)},
	{"ConvBatchNormGrad", 8, []int64{1}, inferConvBatchNormGrad, Unsupported("it is itself a gradient")},
	{"ConvAct", 2, []int64{1}, inferConvAct, rule(gradConvAct)},
	{"ConvActGrad", 3, []int64{1}, inferConvActGrad, Unsupported("it is itself a gradient")},
	{"LargestOf", 1, []int64{1}, inferLargestOf, rule(gradLargestOf)},
	{"LargestOfGrad", 2, []int64{1}, inferLargestOfGrad, Unsupported("it is itself a gradient")},
	{"Doubled", 1, []int64{1}, inferDoubled, rule(gradDoubled)},
	{"DoubledGrad", 1, []int64{1}, inferDoubledGrad, Unsupported("it is itself a gradient")},
}

// Layer is what a composite operator's attributes say.
type Layer struct {
	Window
	Epsilon    float32
	Activation string
	Alpha      float32
}

func (l Layer) attrs() Attrs {
	return Attrs{"strides": l.Stride[:], "pads": l.Pads[:], "group": l.Groups,
		"epsilon": l.Epsilon, "activation": l.Activation, "alpha": l.Alpha}
}

// ConvBatchNorm appends the operator of that name and returns y, mean and variance.
func (o Layers) ConvBatchNorm(x, w, scale, shift *onnx.Value, l Layer) (y, mean, variance *onnx.Value) {
	b := o.b
	out := b.Ops("ConvBatchNorm", 4, l.attrs(), x, w, scale, shift)
	return out[0], out[2], out[3]
}

// ConvAct appends the operator of that name; bias may be nil.
func (o Layers) ConvAct(x, w, bias *onnx.Value, l Layer) *onnx.Value {
	return o.b.Op("ConvAct", l.attrs(), x, w, bias)
}

// convolved returns the type of the convolution of the pictures and the kernel that
// are a node's inputs from first on.
func convolved(n *onnx.Node, first int) (onnx.Type, error) {
	x, w := n.Inputs[first].Type, n.Inputs[first+1].Type
	if len(x.Shape) != 4 || len(w.Shape) != 4 || x.DType != onnx.Float || w.DType != onnx.Float {
		return x, fmt.Errorf("takes float32 NHWC and a kernel of rank 4, not %v and %v", x, w)
	}
	win, err := ReadWindow(n, w.Shape[2:])
	if err != nil {
		return x, err
	}
	if c, k := x.Shape[3], w.Shape[1]; c.Known() && k.Known() && c.Size != k.Size*win.Groups {
		return x, fmt.Errorf("input %v and kernel %v differ in channels (groups %d)", x, w, win.Groups)
	}
	space, err := win.slide(x.Shape[1:3])
	if err != nil {
		return x, err
	}
	return onnx.Type{DType: x.DType, Shape: []onnx.Dim{x.Shape[0], space[0], space[1], w.Shape[0]}}, nil
}

func inferConvBatchNorm(n *onnx.Node) ([]onnx.Type, error) {
	y, err := convolved(n, 0)
	if err != nil {
		return nil, err
	}
	if scale, shift := n.Inputs[2].Type, n.Inputs[3].Type; len(scale.Shape) != 1 || scale.Shape[0] != y.Shape[3] || !scale.Equal(shift) {
		return nil, fmt.Errorf("has the scale %v and the shift %v for %v channels", scale, shift, y.Shape[3])
	}
	return []onnx.Type{y, y, n.Inputs[2].Type, n.Inputs[3].Type}, nil
}

func inferConvBatchNormGrad(n *onnx.Node) ([]onnx.Type, error) {
	y, err := convolved(n, 1)
	if err != nil {
		return nil, err
	}
	if dy, z := n.Inputs[0].Type, n.Inputs[5].Type; !dy.Equal(y) || !z.Equal(y) {
		return nil, fmt.Errorf("takes gradient %v and result %v of a convolution to %v", dy, z, y)
	}
	for i := 3; i < 8; i++ {
		if t := n.Inputs[i].Type; i != 5 && (len(t.Shape) != 1 || t.Shape[0] != y.Shape[3]) {
			return nil, fmt.Errorf("input %d is %v for %v channels", i, t, y.Shape[3])
		}
	}
	return []onnx.Type{n.Inputs[1].Type, n.Inputs[2].Type, n.Inputs[3].Type, n.Inputs[4].Type}, nil
}

func inferConvAct(n *onnx.Node) ([]onnx.Type, error) {
	y, err := convolved(n, 0)
	if err != nil {
		return nil, err
	}
	if b := n.Input(2); b != nil && (len(b.Type.Shape) != 1 || b.Type.Shape[0] != y.Shape[3]) {
		return nil, fmt.Errorf("has the bias %v for %v channels", b.Type, y.Shape[3])
	}
	return []onnx.Type{y, y}, nil
}

func inferConvActGrad(n *onnx.Node) ([]onnx.Type, error) {
	y, err := convolved(n, 1)
	if err != nil {
		return nil, err
	}
	if dy := n.Inputs[0].Type; !dy.Equal(y) {
		return nil, fmt.Errorf("takes gradient %v of a convolution to %v", dy, y)
	}
	if z := n.Input(3); (z == nil) != (n.Str("activation", "") == "") || z != nil && !z.Type.Equal(y) {
		return nil, fmt.Errorf("lacks the sum before its activation, or has one without")
	}
	return []onnx.Type{n.Inputs[1].Type, n.Inputs[2].Type, {DType: y.DType, Shape: []onnx.Dim{y.Shape[3]}}}, nil
}

// gradient appends a composite operator's gradient with a node's attributes, without
// the outputs that are not wanted.
func (b *Backward) gradient(name string, n *onnx.Node, wanted []bool, inputs ...*onnx.Value) []*onnx.Value {
	attrs := Attrs{}
	for _, a := range n.Attrs {
		attrs[a.Name] = a.Value
	}
	out := b.Ops(name, len(wanted), attrs, inputs...)
	if b.err != nil {
		return out
	}
	made := out[0].Node
	for i, w := range wanted {
		if !w {
			made.Outputs[i], out[i] = nil, nil
		}
	}
	return out
}

func gradConvBatchNorm(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	if dy[0] == nil || dy[1] != nil || dy[2] != nil || dy[3] != nil {
		b.Fail("only the first output of ConvBatchNorm may be differentiated")
		return make([]*onnx.Value, 4)
	}
	x, w, scale, shift := n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Inputs[3]
	return b.gradient("ConvBatchNormGrad", n, b.Needs, dy[0], x, w, scale, shift, n.Outputs[1], n.Outputs[2], n.Outputs[3])
}

func gradConvAct(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := make([]*onnx.Value, len(n.Inputs))
	if dy[0] == nil {
		b.Fail("only the first output of ConvAct may be differentiated")
		return dx
	}
	var z *onnx.Value
	if n.Str("activation", "") != "" {
		z = &onnx.Value{Name: b.unique("sum"), Type: n.Outputs[0].Type, Node: n}
		n.Outputs = append(n.Outputs[:1], z)
	}
	wanted := append(b.Needs, false)[:3]
	copy(dx, b.gradient("ConvActGrad", n, wanted, dy[0], n.Inputs[0], n.Inputs[1], z))
	return dx
}

// LargestOf appends the operator of that name.
func (o Layers) LargestOf(x *onnx.Value, w Window) *onnx.Value {
	return o.b.Op("LargestOf", w.attrs(), x)
}

// largestOf returns the type of the largest of each window of pictures.
func largestOf(n *onnx.Node, x onnx.Type) (onnx.Type, error) {
	if len(x.Shape) != 4 || x.DType != onnx.Float {
		return x, fmt.Errorf("takes float32 NHWC, not %v", x)
	}
	w, err := ReadWindow(n, nil)
	if err != nil {
		return x, err
	}
	space, err := w.slide(x.Shape[1:3])
	if err != nil {
		return x, err
	}
	return onnx.Type{DType: x.DType, Shape: []onnx.Dim{x.Shape[0], space[0], space[1], x.Shape[3]}}, nil
}

func inferLargestOf(n *onnx.Node) ([]onnx.Type, error) {
	y, err := largestOf(n, n.Inputs[0].Type)
	return []onnx.Type{y}, err
}

func inferLargestOfGrad(n *onnx.Node) ([]onnx.Type, error) {
	dy, x := n.Inputs[0].Type, n.Inputs[1].Type
	y, err := largestOf(n, x)
	if err == nil && !dy.Equal(y) {
		err = fmt.Errorf("takes gradient %v of %v", dy, y)
	}
	return []onnx.Type{x}, err
}

func gradLargestOf(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return b.gradient("LargestOfGrad", n, b.Needs, dy[0], n.Inputs[0])
}

// scaled returns the type of pictures whose sides are multiplied and divided.
func scaled(x onnx.Type, times, by int64) ([]onnx.Type, error) {
	if len(x.Shape) != 4 || x.DType != onnx.Float {
		return nil, fmt.Errorf("takes float32 NHWC, not %v", x)
	}
	shape := append([]onnx.Dim{}, x.Shape...)
	for i, d := range shape[1:3] {
		if d.Known() && d.Size%by != 0 {
			return nil, fmt.Errorf("takes pictures of even sides, not %v", x)
		}
		if d.Known() {
			shape[1+i].Size = d.Size * times / by
		}
	}
	return []onnx.Type{{DType: x.DType, Shape: shape}}, nil
}

func inferDoubled(n *onnx.Node) ([]onnx.Type, error)     { return scaled(n.Inputs[0].Type, 2, 1) }
func inferDoubledGrad(n *onnx.Node) ([]onnx.Type, error) { return scaled(n.Inputs[0].Type, 1, 2) }

func gradDoubled(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.Op("DoubledGrad", nil, dy[0])}
}
