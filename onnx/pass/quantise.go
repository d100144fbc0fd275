package pass

import (
	"math"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
)

// IntegersSuffix follows a kernel's name where its integers stand.
const IntegersSuffix = "_quantized"

// Range is what an activation's values lie between.
type Range struct{ Low, High float64 }

// Activations lists the float values that lead to a convolution, graph inputs
// included: what Quantise turns into integers. What the last convolutions give,
// and all that is made of it, is not among them.
func Activations(m *onnx.Model) []*onnx.Value {
	leads := leadsToConv(m)
	var list []*onnx.Value
	add := func(v *onnx.Value) {
		if v != nil && leads[v] && v.Type.DType == onnx.Float {
			list = append(list, v)
		}
	}
	for _, v := range m.Inputs {
		add(v)
	}
	for _, n := range m.Nodes {
		for _, v := range n.Outputs {
			add(v)
		}
	}
	return list
}

// leadsToConv marks the values, constants aside, that some convolution depends on.
func leadsToConv(m *onnx.Model) map[*onnx.Value]bool {
	leads := map[*onnx.Value]bool{}
	for _, n := range slices.Backward(m.Nodes) {
		if n.Op != "Conv" && !slices.ContainsFunc(n.Outputs, func(v *onnx.Value) bool { return leads[v] }) {
			continue
		}
		for _, v := range n.Inputs {
			if v != nil && v.Const == nil {
				leads[v] = true
			}
		}
	}
	return leads
}

// passing are operators that only choose or move values: an integer means
// before and after them the same.
var passing = map[string]bool{"MaxPool": true, "Resize": true, "Slice": true, "Split": true, "Transpose": true,
	"Reshape": true, "Identity": true, "SpaceToDepth": true, "DepthToSpace": true}

// Quantise writes a model for 8-bit integers in QDQ form: each of its
// Activations goes through QuantizeLinear and DequantizeLinear (uint8, one scale
// and zero point, from its range), and kernels of Conv come out of
// DequantizeLinear (int8, a scale for each output channel, zero point 0). A
// runtime computes on the integers themselves where it can.
func Quantise(m *onnx.Model, ranges map[string]Range) error {
	q := quantiser{Builder: op.Extend(m), params: map[*onnx.Value]quantised{}, made: map[*onnx.Value]quantised{}}
	wanted := map[*onnx.Value]bool{}
	for _, v := range Activations(m) {
		wanted[v] = true
	}
	inputs, nodes := m.Inputs, m.Nodes
	m.Nodes = nil
	for _, v := range inputs {
		if wanted[v] {
			q.activation(v, ranges)
		}
	}
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if p, ok := q.params[in]; ok {
				n.Inputs[i] = p.value
			}
		}
		if n.Op == "Conv" {
			q.conv(n)
		}
		m.Nodes = append(m.Nodes, n)
		for _, out := range n.Outputs {
			if wanted[out] {
				q.activation(out, ranges)
			}
		}
	}
	return q.Err()
}

type quantiser struct {
	*op.Builder
	params map[*onnx.Value]quantised // by the activation as it was
	made   map[*onnx.Value]quantised // by what its readers read now
}

// quantised is an activation after it went through integers.
type quantised struct{ value, scale, zero *onnx.Value }

// activation adds the pair of nodes behind v.
func (q *quantiser) activation(v *onnx.Value, ranges map[string]Range) {
	p, ok := quantised{}, false
	if n := v.Node; n != nil && passing[n.Op] {
		p, ok = q.made[n.Inputs[0]]
	}
	if !ok {
		r, known := ranges[v.Name]
		if !known || !(r.Low <= r.High) || math.IsInf(r.High-r.Low, 0) {
			q.Fail("quantise: %q has no range of values", v.Name)
			return
		}
		scale, zero := r.uint8()
		p.scale, p.zero = q.Const(onnx.Scalar(scale)), q.Const(onnx.Scalar(zero))
	}
	q.In(v.Name, func() {
		p.value = q.Op("DequantizeLinear", nil, q.Op("QuantizeLinear", nil, v, p.scale, p.zero), p.scale, p.zero)
	})
	q.params[v], q.made[p.value] = p, p
}

// uint8 chooses scale and zero point. 0, which pads pictures, is always exact.
func (r Range) uint8() (scale float32, zero uint8) {
	low, high := min(r.Low, 0), max(r.High, 0)
	if high == low {
		return 1, 0
	}
	scale = float32((high - low) / math.MaxUint8)
	return scale, uint8(min(max(math.RoundToEven(-low/float64(scale)), 0), math.MaxUint8))
}

// conv lets a convolution of a quantised input take its kernel from integers.
// Its bias stays float: kernels for int32 are what CUDA and TensorRT lack, and a
// runtime that computes on integers rounds it itself.
func (q *quantiser) conv(n *onnx.Node) {
	x, ok := q.made[n.Inputs[0]]
	w, bias := n.Inputs[1], n.Input(2)
	if !ok || w.Const == nil || w.Const.DType != onnx.Float {
		return
	}
	least := make([]float32, w.Const.Shape[0])
	if bias != nil && bias.Const != nil {
		for c, v := range bias.Const.Float32s() { // as an integer it shall fit into int32
			least[c] = max(v, -v) / x.scale.Const.Float32s()[0] / (1 << 30)
		}
	}
	kernel, scales := toInt8(w.Const, least)
	channels := []int64{int64(len(scales))}
	integers, by := q.Param(w.Name+IntegersSuffix, kernel), q.Param(w.Name+"_scale", onnx.Of(scales, channels...))
	zeros := q.Param(w.Name+"_zero_point", onnx.NewTensor(onnx.Int8, channels...))
	q.In(w.Name, func() {
		n.Inputs[1] = q.Op("DequantizeLinear", op.Attrs{"axis": int64(0)}, integers, by, zeros)
	})
}

// toInt8 rounds a kernel to integers from -127 to 127, by a scale for each output
// channel that is not below least.
func toInt8(w *onnx.Tensor, least []float32) (*onnx.Tensor, []float32) {
	values := w.Float32s()
	scales, out := make([]float32, w.Shape[0]), make([]int8, len(values))
	each := len(values) / max(len(scales), 1)
	for c := range scales {
		channel := values[c*each : (c+1)*each]
		most := float32(0)
		for _, v := range channel {
			most = max(most, v, -v)
		}
		if scales[c] = max(most/math.MaxInt8, least[c]); scales[c] == 0 {
			scales[c] = 1
		}
		for i, v := range channel {
			out[c*each+i] = int8(math.RoundToEven(float64(v / scales[c])))
		}
	}
	return onnx.Of(out, w.Shape...), scales
}

// Dequantise undoes Quantise, up to rounding: pairs of QuantizeLinear and
// DequantizeLinear go, constants become floats again.
func Dequantise(m *onnx.Model) error {
	err := rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "DequantizeLinear" || len(n.Inputs) < 2 || n.Inputs[0] == nil {
			return nil, false
		}
		if before := n.Inputs[0].Node; before != nil && before.Op == "QuantizeLinear" {
			return before.Inputs[:1], true
		}
		if !allConst(n.Inputs) {
			return nil, false
		}
		in := make([]*ref.Array, len(n.Inputs))
		for i, v := range n.Inputs {
			in[i] = ref.FromTensor(v.Const)
		}
		out, err := ref.Eval(n, m.Opset, in)
		if err != nil {
			b.Fail("%w", err)
			return nil, false
		}
		return []*onnx.Value{b.Const(out[0].Tensor(onnx.Float))}, true
	})
	if err != nil {
		return err
	}
	return DropUnused(m)
}
