package ref

import (
	"math"
	"slices"

	"yolofreeze/onnx"
)

// Array is a dense, row-major array of any element type, carried as float64: integers
// are exact below 2⁵³, bool is 0 and 1. Arrays are not written to once they are made;
// results may share memory with operands.
type Array struct {
	Shape []int64
	Data  []float64
}

// maxElements bounds an array, so that a small file cannot ask for all memory (8 bytes
// each). A variable for tests only.
var maxElements int64 = 1 << 28

// FromTensor copies a tensor's elements. It panics on a tensor of strings.
func FromTensor(t *onnx.Tensor) *Array {
	return &Array{slices.Clone(t.Shape), t.Float64s()}
}

// Tensor rounds the array to an element type: integers toward zero and to the
// type's range, floats to nearest even. It panics on types without a fixed size.
func (a *Array) Tensor(d onnx.DType) *onnx.Tensor {
	switch d {
	case onnx.Double:
		return onnx.Of(slices.Clone(a.Data), a.Shape...)
	case onnx.Float:
		return float32s(a)
	case onnx.Float16:
		return float32s(a).ToFloat16()
	case onnx.BFloat16:
		return float32s(a).ToBFloat16()
	case onnx.Bool:
		t := onnx.NewTensor(d, a.Shape...)
		for i, v := range a.Data {
			if v != 0 {
				t.Raw[i] = 1
			}
		}
		return t
	case onnx.Int64:
		return convertInt[int64](a, math.MinInt64, math.MaxInt64)
	case onnx.Uint64:
		return convertInt[uint64](a, 0, math.MaxUint64)
	case onnx.Int32:
		return convertInt[int32](a, math.MinInt32, math.MaxInt32)
	case onnx.Uint32:
		return convertInt[uint32](a, 0, math.MaxUint32)
	case onnx.Int16:
		return convertInt[int16](a, math.MinInt16, math.MaxInt16)
	case onnx.Uint16:
		return convertInt[uint16](a, 0, math.MaxUint16)
	case onnx.Int8:
		return convertInt[int8](a, math.MinInt8, math.MaxInt8)
	case onnx.Uint8:
		return convertInt[uint8](a, 0, math.MaxUint8)
	}
	panic("ref: no numbers in a tensor of " + d.String())
}

// rounded is what remains of the array in a float type of 16 bits; other types keep all.
func (a *Array) rounded(d onnx.DType) *Array {
	if d != onnx.Float16 && d != onnx.BFloat16 {
		return a
	}
	return FromTensor(a.Tensor(d))
}

func float32s(a *Array) *onnx.Tensor {
	out := make([]float32, len(a.Data))
	for i, v := range a.Data {
		out[i] = float32(v)
	}
	return onnx.Of(out, a.Shape...)
}

type integer interface {
	int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64
}

// convertInt saturates, because Go leaves conversions out of range undefined.
func convertInt[T integer](a *Array, lowest, highest T) *onnx.Tensor {
	out := make([]T, len(a.Data))
	for i, v := range a.Data {
		switch {
		case v >= float64(highest): // 2⁶³ for MaxInt64, which float64 cannot hold
			out[i] = highest
		case v <= float64(lowest):
			out[i] = lowest
		case v == v:
			out[i] = T(v)
		}
	}
	return onnx.Of(out, a.Shape...)
}

// newArray returns zeros.
func newArray(shape []int64) *Array {
	return &Array{slices.Clone(shape), make([]float64, elements(shape))}
}

// elements counts what a shape holds. It refuses negative sizes and too large a product,
// of an empty array that of its other sizes, because loops run over them.
func elements(shape []int64) int64 {
	n, bound := int64(1), maxElements
	for _, d := range shape {
		need(d >= 0, "shape %v has a negative size", shape)
		need(d <= bound, "shape %v is too large", shape)
		bound /= max(d, 1)
		n *= d
	}
	return n
}

// filled returns an array of one value.
func filled(shape []int64, v float64) *Array {
	out := newArray(shape)
	for i := range out.Data {
		out.Data[i] = v
	}
	return out
}

// reshaped shares the elements under another shape of the same size.
func (a *Array) reshaped(shape []int64) *Array { return &Array{shape, a.Data} }

func (a *Array) rank() int64 { return int64(len(a.Shape)) }

func scalar(v float64) *Array { return &Array{[]int64{}, []float64{v}} }

// list makes a one-dimensional array of integers.
func list(v []int64) *Array {
	out := newArray([]int64{int64(len(v))})
	for i, x := range v {
		out.Data[i] = float64(x)
	}
	return out
}

// toInt rounds toward zero and saturates: Slice's "to the end" is math.MaxInt64.
func toInt(v float64) int64 {
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	case v != v:
		return 0
	}
	return int64(v)
}
