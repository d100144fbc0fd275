package pass

import (
	"math"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Half are the passes that make a graph compute in mixed precision, after those of For.
var Half = []Pass{
	{"mixed-precision", MixedPrecision},
	{"merge-equal", MergeEqual},
	{"drop-unused", DropUnused},
}

// MixedPrecision has convolutions and matrix products multiply in float16
// (Micikevicius et al., arXiv:1710.03740): their inputs are cast, their outputs
// cast back, and all else, parameters and sums over pictures among it, stays
// float32. What merely moves elements on the way to them, such as the unfolding
// ahead of a weight gradient, moves float16. Constants become float16 in the
// file, but for those beyond its range, whose node stays as it is.
func MixedPrecision(m *onnx.Model) error {
	h := halver{only: halfOnly(m), halves: map[*onnx.Value]*onnx.Value{}}
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if !multiplies(n) || !inRange(n) {
			return nil, false
		}
		y := b.Op(n.Op, attrsOf(n), h.all(b, n.Inputs)...)
		wide := b.Cast(y, onnx.Float)
		h.halves[wide] = y
		return []*onnx.Value{wide}, true
	})
}

// multiplies reports whether a node's time goes into products of float32.
func multiplies(n *onnx.Node) bool {
	return slices.Contains([]string{"Conv", "ConvTranspose", "MatMul"}, n.Op) && n.Inputs[0].Type.DType == onnx.Float
}

// moves reports whether a node only moves elements of its float32 inputs; it
// returns how many of them there are.
func moves(n *onnx.Node) (inputs int) {
	switch n.Op {
	case "Reshape", "Transpose", "Slice", "SpaceToDepth", "DepthToSpace", "Split":
		inputs = 1
	case "Pad":
		if n.Input(2) == nil { // with zeros
			inputs = 1
		}
	case "Concat":
		inputs = len(n.Inputs)
	}
	if inputs > 0 && n.Inputs[0].Type.DType != onnx.Float {
		return 0
	}
	return inputs
}

// largestHalf is the largest float16.
const largestHalf = 65504

func inRange(n *onnx.Node) bool {
	for _, v := range n.Inputs {
		if v == nil || v.Const == nil {
			continue
		}
		if slices.ContainsFunc(v.Const.Float32s(), func(f float32) bool { return math.Abs(float64(f)) > largestHalf }) {
			return false
		}
	}
	return true
}

// halfOnly finds the values that nothing needs in float32: all that read them
// are products, or move them to products.
func halfOnly(m *onnx.Model) map[*onnx.Value]bool {
	needed := map[*onnx.Value]bool{} // in float32
	for _, v := range m.Outputs {
		needed[v] = true
	}
	only := map[*onnx.Value]bool{}
	for _, n := range slices.Backward(m.Nodes) {
		moved := slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return v != nil && needed[v] })
		inHalf := 0
		switch {
		case multiplies(n) && inRange(n):
			inHalf = len(n.Inputs)
		case !moved:
			inHalf = moves(n)
		}
		for i, v := range n.Inputs {
			if v != nil && i >= inHalf {
				needed[v] = true
			}
		}
		for _, v := range n.Outputs {
			if v != nil && !needed[v] {
				only[v] = true
			}
		}
	}
	return only
}

// halver makes float16 of values, once each.
type halver struct {
	only   map[*onnx.Value]bool
	halves map[*onnx.Value]*onnx.Value
}

func (h *halver) all(b *op.Builder, values []*onnx.Value) []*onnx.Value {
	list := make([]*onnx.Value, len(values))
	for i, v := range values {
		if v != nil {
			list[i] = h.half(b, v)
		}
	}
	return list
}

func (h *halver) half(b *op.Builder, v *onnx.Value) *onnx.Value {
	if made := h.halves[v]; made != nil {
		return made
	}
	var made *onnx.Value
	switch {
	case v.Const != nil:
		made = b.Const(v.Const.ToFloat16())
	case v.Node != nil && h.only[v] && moves(v.Node) > 0:
		n := v.Node
		count := moves(n)
		inputs := slices.Concat(h.all(b, n.Inputs[:count]), n.Inputs[count:])
		for i, out := range b.Ops(n.Op, len(n.Outputs), attrsOf(n), inputs...) {
			if n.Outputs[i] != nil {
				h.halves[n.Outputs[i]] = out
			}
		}
		return h.halves[v]
	default:
		made = b.Cast(v, onnx.Float16)
	}
	h.halves[v] = made
	return made
}

func attrsOf(n *onnx.Node) op.Attrs {
	attrs := op.Attrs{}
	for _, a := range n.Attrs {
		attrs[a.Name] = a.Value
	}
	return attrs
}
