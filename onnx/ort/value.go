package ort

/*
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"yolofreeze/onnx"
)

// Value is a tensor as the runtime sees it, an OrtValue, in the host's memory or
// a device's. Over an onnx.Tensor it copies nothing: the runtime reads and
// writes the tensor's own memory, which stays pinned until Close.
type Value struct {
	c      unsafe.Pointer
	typ    onnx.Type
	tensor *onnx.Tensor // nil when the runtime owns the memory
	memory *memory      // of the device; nil for host memory
	of     *Value       // whose memory a view shares
	pin    runtime.Pinner
}

// NewValue makes a Value over the memory of t, which must hold exactly the
// elements of its shape, aligned for them; strings are refused.
func NewValue(t *onnx.Tensor) (*Value, error) {
	if err := Init(); err != nil {
		return nil, err
	}
	size := t.DType.Size()
	if size == 0 {
		return nil, fmt.Errorf("ort: a tensor of %v has no plain memory to bind", t.DType)
	}
	elements := onnx.NumElements(t.Shape)
	for _, d := range t.Shape {
		if d < 0 {
			return nil, fmt.Errorf("ort: tensor %v%v: negative size", t.DType, t.Shape)
		}
	}
	if elements*int64(size) != int64(len(t.Raw)) {
		return nil, fmt.Errorf("ort: tensor %v%v holds %d bytes, not %d", t.DType, t.Shape, len(t.Raw), elements*int64(size))
	}
	v := &Value{typ: onnx.TypeOf(t), tensor: t}
	var data unsafe.Pointer
	if len(t.Raw) > 0 {
		data = unsafe.Pointer(unsafe.SliceData(t.Raw))
		if uintptr(data)%uintptr(size) != 0 {
			return nil, fmt.Errorf("ort: tensor %v%v: memory is not aligned to %d bytes; Clone it first", t.DType, t.Shape, size)
		}
		v.pin.Pin((*byte)(data))
	}
	var c unsafe.Pointer
	status := C.capi_value_over(data, C.size_t(len(t.Raw)), (*C.int64_t)(unsafe.SliceData(t.Shape)), C.size_t(len(t.Shape)), C.int(t.DType), &c)
	if err := check(status); err != nil {
		v.pin.Unpin()
		return nil, fmt.Errorf("ort: value over %v%v: %w", t.DType, t.Shape, err)
	}
	v.c = c
	runtime.SetFinalizer(v, (*Value).Close) // a Pinner that is collected while it pins ends the program
	return v, nil
}

// View returns a value of another shape over the memory of v, wherever that is.
// Once v is closed, the view is as good as closed.
func (v *Value) View(shape ...int64) (*Value, error) {
	view, err := v.part(0, shape)
	if err == nil && view.bytes() != v.bytes() {
		view.Close()
		err = errors.New("the sizes differ")
	}
	if err != nil {
		return nil, fmt.Errorf("ort: viewing %v as %v: %w", v.typ, shape, err)
	}
	return view, nil
}

// Part is View of the elements from one on, where memory has addresses: see Device.Addressable.
func (v *Value) Part(from int64, shape ...int64) (*Value, error) {
	part, err := v.part(from, shape)
	if err != nil {
		return nil, fmt.Errorf("ort: a part %v of %v from element %d on: %w", shape, v.typ, from, err)
	}
	return part, nil
}

func (v *Value) part(from int64, shape []int64) (*Value, error) {
	if v.closed() {
		return nil, errors.New("the value is closed")
	}
	typ := onnx.Type{DType: v.typ.DType, Shape: onnx.Dims(shape...)}
	part := &Value{typ: typ, memory: v.memory, of: v}
	start := from * int64(typ.DType.Size())
	end := start + part.bytes()
	switch {
	case from < 0 || end > v.bytes():
		return nil, errors.New("it does not lie within")
	case v.memory != nil && from > 0 && !v.memory.s.device.Addressable():
		return nil, fmt.Errorf("memory of %v has no addresses", v.memory.s.device)
	}
	if v.tensor != nil {
		part.tensor = &onnx.Tensor{DType: v.tensor.DType, Shape: slices.Clone(shape), Raw: v.tensor.Raw[start:end:end]}
	}
	status := C.capi_value_part(v.c, C.size_t(start), C.size_t(end-start), (*C.int64_t)(unsafe.SliceData(shape)), C.size_t(len(shape)), C.int(typ.DType), &part.c)
	if err := check(status); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(part, (*Value).Close)
	return part, nil
}

// Tensor returns the tensor that the value lies over, nil where the runtime owns the memory.
func (v *Value) Tensor() *onnx.Tensor { return v.tensor }

// Type returns the value's element type and shape.
func (v *Value) Type() onnx.Type { return v.typ }

// Address returns where the elements lie: in the host's memory, or the device's where that has addresses.
func (v *Value) Address() (unsafe.Pointer, error) {
	if v.closed() {
		return nil, errors.New("ort: the address of a value that is closed")
	}
	var data unsafe.Pointer
	err := check(C.capi_value_data(v.c, &data))
	return data, err
}

// OnDevice reports whether the value lies in a device's memory.
func (v *Value) OnDevice() bool { return v.memory != nil }

// closed reports whether the value, or one whose memory it shares, was closed.
func (v *Value) closed() bool { return v.c == nil || v.of != nil && v.of.closed() }

// bytes is the size of the value's elements.
func (v *Value) bytes() int64 {
	shape, _ := v.typ.Static()
	return onnx.NumElements(shape) * int64(v.typ.DType.Size())
}

// Close releases the value and lets go of the tensor's memory. Bindings that
// hold the value refuse to run afterwards. Closing twice does nothing.
func (v *Value) Close() {
	if v.c == nil {
		return
	}
	runtime.SetFinalizer(v, nil)
	C.capi_release_value(v.c)
	v.c = nil
	v.pin.Unpin()
	if v.memory != nil && v.of == nil {
		v.memory.released()
	}
	v.of = nil
}

// typeOf reads dtype and shape out of a tensor's type information; unknown
// dimensions carry the model's name for them.
func typeOf(info unsafe.Pointer) (onnx.Type, error) {
	var dtype, ranked C.int
	var rank C.size_t
	if err := check(C.capi_rank(info, &dtype, &ranked, &rank)); err != nil {
		return onnx.Type{}, err
	}
	t := onnx.Type{DType: onnx.DType(dtype)}
	if ranked == 0 {
		return t, nil
	}
	t.Shape = make([]onnx.Dim, rank)
	if rank == 0 {
		return t, nil
	}
	sizes, names := make([]C.int64_t, rank), make([]*C.char, rank)
	if err := check(C.capi_dims(info, &sizes[0], &names[0], rank)); err != nil {
		return onnx.Type{}, err
	}
	for i := range t.Shape {
		t.Shape[i] = onnx.Dim{Size: int64(sizes[i])}
		if sizes[i] < 0 {
			t.Shape[i] = onnx.Sym(C.GoString(names[i]))
		}
	}
	return t, nil
}

// valueType returns the type of a value that the runtime made.
func valueType(value unsafe.Pointer) (onnx.Type, error) {
	var info unsafe.Pointer
	if err := check(C.capi_value_type(value, &info)); err != nil {
		return onnx.Type{}, err
	}
	defer C.capi_release_info(info)
	typ, err := typeOf(info)
	if err == nil && typ.DType.Size() == 0 {
		err = fmt.Errorf("a value of type %v cannot be copied", typ)
	}
	return typ, err
}

// copyHost copies a value in host memory into raw, which has its size.
func copyHost(raw []byte, value unsafe.Pointer) error {
	if len(raw) == 0 {
		return nil
	}
	var data unsafe.Pointer
	if err := check(C.capi_value_data(value, &data)); err != nil {
		return err
	}
	copy(raw, unsafe.Slice((*byte)(data), len(raw)))
	return nil
}
