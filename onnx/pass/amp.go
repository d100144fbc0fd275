package pass

import (
	"fmt"
	"math"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Mixed are the passes, after those of For, that make a graph for a
// provider compute in mixed precision, with products in float16 or bfloat16.
func Mixed(products onnx.DType, target Target) []Pass {
	list := []Pass{{"mixed-precision", func(m *onnx.Model) error { return MixedPrecision(m, products) }}}
	switch {
	case target == CPUProvider:
		list = append(list, Pass{"round-narrow", RoundNarrow})
	case products == onnx.BFloat16: // on CUDA alone: a newer opset, which lacks a kernel for MaxPool there
		list = slices.Concat([]Pass{{"lower-maxpool-indices", LowerMaxPoolIndices}, {"lower-maxpool", LowerMaxPool}}, list, []Pass{{"raise-opset", RaiseOpset}})
	}
	return append(list, Pass{"merge-equal", MergeEqual}, Pass{"drop-unused", DropUnused})
}

// MixedPrecision has convolutions and matrix products multiply in float16 or
// bfloat16 (Micikevicius et al., arXiv:1710.03740): their inputs are cast, their
// outputs cast back, and all else, parameters and sums over pictures among it,
// stays float32. What merely moves elements on the way to them, such as the
// unfolding ahead of a weight gradient, moves the narrow type. Constants become
// narrow in the file, but for those beyond its range, whose node stays as it is.
func MixedPrecision(m *onnx.Model, to onnx.DType) error {
	kind, ok := narrowTypes[to]
	if !ok {
		return fmt.Errorf("products in %v: want float16 or bfloat16", to)
	}
	h := narrower{narrowType: kind, to: to, only: kind.only(m), made: map[*onnx.Value]*onnx.Value{}}
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if !h.multiplies(n) {
			return nil, false
		}
		y := b.Op(n.Op, attrsOf(n), h.all(b, n.Inputs)...)
		wide := b.Cast(y, onnx.Float)
		h.made[wide] = y
		return []*onnx.Value{wide}, true
	})
}

// narrowType says what is done in a type of 16 bits.
type narrowType struct {
	largest  float64  // number
	products []string // operators
	movers   []string // operators, of the first input but for Concat
}

// CUDA has no kernel of bfloat16 for ConvTranspose, Pad, SpaceToDepth and DepthToSpace.
var narrowTypes = map[onnx.DType]narrowType{
	onnx.Float16: {65504, []string{"Conv", "ConvTranspose", "MatMul"},
		[]string{"Reshape", "Transpose", "Slice", "Split", "Concat", "Pad", "SpaceToDepth", "DepthToSpace"}},
	onnx.BFloat16: {0x1.fep127, []string{"Conv", "MatMul"}, []string{"Reshape", "Transpose", "Slice", "Split", "Concat"}},
}

// multiplies reports whether a node's time goes into products of float32 that the type can hold.
func (k narrowType) multiplies(n *onnx.Node) bool {
	return slices.Contains(k.products, n.Op) && n.Inputs[0].Type.DType == onnx.Float && k.inRange(n)
}

// moves reports whether a node only moves elements of its float32 inputs; it
// returns how many of them there are.
func (k narrowType) moves(n *onnx.Node) (inputs int) {
	switch {
	case !slices.Contains(k.movers, n.Op) || n.Inputs[0].Type.DType != onnx.Float:
		return 0
	case n.Op == "Pad" && n.Input(2) != nil: // with other than zeros
		return 0
	case n.Op == "Concat":
		return len(n.Inputs)
	}
	return 1
}

func (k narrowType) inRange(n *onnx.Node) bool {
	for _, v := range n.Inputs {
		if v == nil || v.Const == nil {
			continue
		}
		if slices.ContainsFunc(v.Const.Float32s(), func(f float32) bool { return math.Abs(float64(f)) > k.largest }) {
			return false
		}
	}
	return true
}

// only finds the values that nothing needs in float32: all that read them
// are products, or move them to products.
func (k narrowType) only(m *onnx.Model) map[*onnx.Value]bool {
	needed := map[*onnx.Value]bool{} // in float32
	for _, v := range m.Outputs {
		needed[v] = true
	}
	only := map[*onnx.Value]bool{}
	for _, n := range slices.Backward(m.Nodes) {
		moved := slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return v != nil && needed[v] })
		narrow := 0
		switch {
		case k.multiplies(n):
			narrow = len(n.Inputs)
		case !moved:
			narrow = k.moves(n)
		}
		for i, v := range n.Inputs {
			if v != nil && i >= narrow {
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

// narrower makes the narrow type of values, once each.
type narrower struct {
	narrowType
	to   onnx.DType
	only map[*onnx.Value]bool
	made map[*onnx.Value]*onnx.Value
}

func (h *narrower) all(b *op.Builder, values []*onnx.Value) []*onnx.Value {
	list := make([]*onnx.Value, len(values))
	for i, v := range values {
		if v != nil {
			list[i] = h.narrow(b, v)
		}
	}
	return list
}

func (h *narrower) narrow(b *op.Builder, v *onnx.Value) *onnx.Value {
	if made := h.made[v]; made != nil {
		return made
	}
	var made *onnx.Value
	switch {
	case v.Const != nil && h.to == onnx.BFloat16:
		made = b.Const(v.Const.ToBFloat16())
	case v.Const != nil:
		made = b.Const(v.Const.ToFloat16())
	case v.Node != nil && h.only[v] && h.moves(v.Node) > 0:
		n := v.Node
		count := h.moves(n)
		inputs := slices.Concat(h.all(b, n.Inputs[:count]), n.Inputs[count:])
		for i, out := range b.Ops(n.Op, len(n.Outputs), attrsOf(n), inputs...) {
			if n.Outputs[i] != nil {
				h.made[n.Outputs[i]] = out
			}
		}
		return h.made[v]
	default:
		made = b.Cast(v, h.to)
	}
	h.made[v] = made
	return made
}

func attrsOf(n *onnx.Node) op.Attrs {
	attrs := op.Attrs{}
	for _, a := range n.Attrs {
		attrs[a.Name] = a.Value
	}
	return attrs
}
