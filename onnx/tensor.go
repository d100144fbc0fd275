package onnx

import (
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// DType is an element type, numbered as TensorProto.DataType numbers it.
type DType int32

// The element types that YOLOv5 models and their training graphs use.
const (
	Undefined DType = 0
	Float     DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	String    DType = 8
	Bool      DType = 9
	Float16   DType = 10
	Double    DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16
)

var dtypes = map[DType]struct {
	name string
	size int
}{
	Float: {"float32", 4}, Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2}, Int16: {"int16", 2},
	Int32: {"int32", 4}, Int64: {"int64", 8}, String: {"string", 0}, Bool: {"bool", 1}, Float16: {"float16", 2},
	Double: {"float64", 8}, Uint32: {"uint32", 4}, Uint64: {"uint64", 8}, BFloat16: {"bfloat16", 2},
}

func (d DType) String() string {
	if t, ok := dtypes[d]; ok {
		return t.name
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// Size returns the bytes of one element, 0 for types without a fixed size.
func (d DType) Size() int { return dtypes[d].size }

// Tensor is a dense, row-major array. Raw holds the elements little-endian, as
// TensorProto.raw_data does; len(Raw) is always the product of Shape times DType.Size().
type Tensor struct {
	DType DType
	Shape []int64
	Raw   []byte
}

// Element is a Go type whose memory is that of a DType on a little-endian machine.
type Element interface {
	~float32 | ~float64 | ~int8 | ~uint8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~bool
}

// NewTensor returns a tensor of zeros.
func NewTensor(dtype DType, shape ...int64) *Tensor {
	return &Tensor{dtype, slices.Clone(shape), make([]byte, NumElements(shape)*int64(dtype.Size()))}
}

// Of wraps data, without copying it, in a tensor of the given shape.
// It panics when the shape does not hold len(data) elements.
func Of[T Element](data []T, shape ...int64) *Tensor {
	if NumElements(shape) != int64(len(data)) {
		panic(fmt.Sprintf("onnx.Of: shape %v does not hold %d elements", shape, len(data)))
	}
	var zero T
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*int(unsafe.Sizeof(zero)))
	return &Tensor{dtypeOf[T](), slices.Clone(shape), raw}
}

// Scalar wraps one element in a tensor of rank 0.
func Scalar[T Element](v T) *Tensor { return Of([]T{v}) }

// Data returns the tensor's elements without copying them.
// It panics when T is not the Go type of the tensor's DType.
func Data[T Element](t *Tensor) []T {
	if dtypeOf[T]() != t.DType {
		panic(fmt.Sprintf("onnx.Data: tensor of %v asked for as %v", t.DType, dtypeOf[T]()))
	}
	if len(t.Raw) == 0 {
		return nil
	}
	raw := t.Raw
	if uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%unsafe.Alignof(*new(T)) != 0 {
		panic("onnx.Data: misaligned tensor memory; Clone it first")
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw)/t.DType.Size())
}

func dtypeOf[T Element]() DType {
	switch any(*new(T)).(type) {
	case float32:
		return Float
	case float64:
		return Double
	case int8:
		return Int8
	case uint8:
		return Uint8
	case int16:
		return Int16
	case uint16:
		return Uint16
	case int32:
		return Int32
	case uint32:
		return Uint32
	case int64:
		return Int64
	case uint64:
		return Uint64
	case bool:
		return Bool
	}
	panic(fmt.Sprintf("onnx: no DType for %T", *new(T)))
}

// Clone returns a copy with memory of its own, aligned for any element type.
func (t *Tensor) Clone() *Tensor {
	c := NewTensor(t.DType, t.Shape...)
	copy(c.Raw, t.Raw)
	return c
}

// Len returns the number of elements.
func (t *Tensor) Len() int { return int(NumElements(t.Shape)) }

// NumElements returns the product of the dimensions, 1 for a scalar.
func NumElements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	return n
}

// Float64s returns a copy of the elements as float64; bool gives 0 and 1.
func (t *Tensor) Float64s() []float64 {
	switch t.DType {
	case Float:
		return convert[float32, float64](t)
	case Double:
		return slices.Clone(Data[float64](t))
	case Int8:
		return convert[int8, float64](t)
	case Uint8:
		return convert[uint8, float64](t)
	case Int16:
		return convert[int16, float64](t)
	case Uint16:
		return convert[uint16, float64](t)
	case Int32:
		return convert[int32, float64](t)
	case Uint32:
		return convert[uint32, float64](t)
	case Int64:
		return convert[int64, float64](t)
	case Uint64:
		return convert[uint64, float64](t)
	case Bool, Float16, BFloat16:
		return convertBits[float64](t)
	}
	panic("onnx: no numbers in a tensor of " + t.DType.String())
}

// Float32s returns a copy of the elements as float32.
func (t *Tensor) Float32s() []float32 {
	switch t.DType {
	case Float:
		return slices.Clone(Data[float32](t))
	case Float16, BFloat16, Bool:
		return convertBits[float32](t)
	}
	wide := t.Float64s()
	out := make([]float32, len(wide))
	for i, v := range wide {
		out[i] = float32(v)
	}
	return out
}

// Int64s returns a copy of the elements of an integer or bool tensor as int64.
func (t *Tensor) Int64s() []int64 {
	if t.DType == Int64 {
		return slices.Clone(Data[int64](t))
	}
	wide := t.Float64s()
	out := make([]int64, len(wide))
	for i, v := range wide {
		out[i] = int64(v)
	}
	return out
}

// AsFloat returns the tensor as float32: itself when it is that already.
func (t *Tensor) AsFloat() *Tensor {
	if t.DType == Float {
		return t
	}
	return Of(t.Float32s(), t.Shape...)
}

func convert[From, To float64 | float32 | int8 | uint8 | int16 | uint16 | int32 | uint32 | int64 | uint64](t *Tensor) []To {
	in := Data[From](t)
	out := make([]To, len(in))
	for i, v := range in {
		out[i] = To(v)
	}
	return out
}

// convertBits widens the types that Go has no arithmetic for.
func convertBits[To float32 | float64](t *Tensor) []To {
	out := make([]To, t.Len())
	for i := range out {
		switch t.DType {
		case Bool:
			out[i] = To(t.Raw[i])
		case Float16:
			out[i] = To(float16ToFloat32(uint16(t.Raw[2*i]) | uint16(t.Raw[2*i+1])<<8))
		case BFloat16:
			out[i] = To(math.Float32frombits(uint32(t.Raw[2*i])<<16 | uint32(t.Raw[2*i+1])<<24))
		}
	}
	return out
}

// float16ToFloat32 widens an IEEE 754 binary16 number.
func float16ToFloat32(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&0x1f, uint32(h)&0x3ff
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case exp == 0: // zero, subnormal: frac · 2⁻²⁴
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// ToFloat16 returns the tensor as float16, rounding to nearest even; values
// beyond ±65504 become infinite.
func (t *Tensor) ToFloat16() *Tensor {
	out := NewTensor(Float16, t.Shape...)
	for i, v := range t.Float32s() {
		h := float32ToFloat16(v)
		out.Raw[2*i], out.Raw[2*i+1] = byte(h), byte(h>>8)
	}
	return out
}

// ToBFloat16 returns the tensor as bfloat16, the upper half of float32, rounding
// to nearest even; the largest float32 become infinite.
func (t *Tensor) ToBFloat16() *Tensor {
	out := NewTensor(BFloat16, t.Shape...)
	for i, v := range t.Float32s() {
		b := math.Float32bits(v)
		if v == v {
			b += 0x7fff + b>>16&1
		} else {
			b |= 1 << 22 // NaN stays NaN
		}
		out.Raw[2*i], out.Raw[2*i+1] = byte(b>>16), byte(b>>24)
	}
	return out
}

// float32ToFloat16 rounds to the nearest IEEE 754 binary16 number, ties to even.
func float32ToFloat16(f float32) uint16 {
	b := math.Float32bits(f)
	sign, mag := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case mag > 0x7f800000:
		return sign | 0x7e00
	case mag >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case mag < 0x38800000: // subnormal: count units of 2⁻²⁴
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(mag))*(1<<24)))
	}
	mag += 0xfff + mag>>13&1 // round half to even
	return sign | uint16(mag>>13-(127-15)<<10)
}

// Like reports whether two tensors have the same type and shape.
func (t *Tensor) Like(u *Tensor) bool { return t.DType == u.DType && slices.Equal(t.Shape, u.Shape) }
