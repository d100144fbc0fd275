package ort

/*
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"yolofreeze/onnx"
	"yolofreeze/onnx/wire"
)

// memory is the memory of a session's device. Values in it keep it: its
// allocator is released after the last of them, and so is the session's provider,
// to which a value that is released gives its buffer back.
type memory struct {
	info unsafe.Pointer // OrtMemoryInfo, of the environment or never released
	from unsafe.Pointer // OrtAllocator
	s    *Session

	lock   sync.Mutex
	values int    // that own a part of it
	end    func() // what waits for the last of them
}

// value makes a Value of an OrtValue that owns a part of the memory.
func (m *memory) value(c unsafe.Pointer, typ onnx.Type) *Value {
	m.lock.Lock()
	m.values++
	m.lock.Unlock()
	return &Value{c: c, typ: typ, memory: m}
}

// released says that such a value is gone.
func (m *memory) released() { m.change(func() { m.values-- }) }

// finish has end called once no value is left.
func (m *memory) finish(end func()) { m.change(func() { m.end = end }) }

func (m *memory) change(by func()) {
	m.lock.Lock()
	by()
	var end func()
	if m.values == 0 {
		end, m.end = m.end, nil
	}
	m.lock.Unlock()
	if end != nil {
		end()
	}
}

// openMemory finds the device's memory; nil where the device works in the host's.
func (s *Session) openMemory() error {
	var info unsafe.Pointer
	switch s.device.Kind {
	case CPU:
		return nil
	case CUDA:
		if err := check(C.capi_named_memory(cudaMemory, C.int(s.device.Index), &info)); err != nil {
			return err
		}
	default:
		device, err := s.device.plugged()
		if err != nil {
			return err
		}
		if info = C.capi_device_memory(device); info == nil {
			return nil
		}
	}
	var from unsafe.Pointer
	if err := check(C.capi_allocator(s.c, info, &from)); err != nil {
		return fmt.Errorf("the memory of %v: %w", s.device, err)
	}
	s.memory = &memory{info: info, from: from, s: s}
	runtime.SetFinalizer(s.memory, func(m *memory) { C.capi_release_allocator(m.from) })
	return nil
}

// cudaMemory is what the CUDA provider calls its device memory (core/framework/allocator.h).
var cudaMemory = C.CString("Cuda")

// Place puts a tensor where the session's device works, as a value to bind. In
// host memory it lies over t itself; in a device's memory it holds a copy.
func (s *Session) Place(t *onnx.Tensor) (*Value, error) {
	if s.memory == nil {
		return NewValue(t)
	}
	v, err := s.allocate(onnx.TypeOf(t))
	if err != nil {
		return nil, err
	}
	if err := v.Write(t); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// allocate makes a value in device memory, its contents undefined.
func (s *Session) allocate(typ onnx.Type) (*Value, error) {
	shape, ok := typ.Static()
	if !ok || typ.DType.Size() == 0 {
		return nil, fmt.Errorf("ort: no memory can be allocated for %v", typ)
	}
	var c unsafe.Pointer
	status := C.capi_allocate(s.memory.from, (*C.int64_t)(unsafe.SliceData(shape)), C.size_t(len(shape)), C.int(typ.DType), &c)
	if err := check(status); err != nil {
		return nil, fmt.Errorf("ort: allocating %v on %v: %w", typ, s.device, err)
	}
	v := s.memory.value(c, typ)
	runtime.SetFinalizer(v, (*Value).Close)
	return v, nil
}

// pinnedMemory is what the CUDA provider calls host memory that no page of is ever moved.
var pinnedMemory = C.CString("CudaPinned")

// Pin moves a tensor to memory of the host's from which CUDA copies to the device at full
// speed; from other memory it copies in pieces through such memory of its own. The tensor
// ends with release. Other devices have no such memory, and the tensor stays where it is.
func (s *Session) Pin(t *onnx.Tensor) (release func(), err error) {
	if s.device.Kind != CUDA || len(t.Raw) == 0 {
		return func() {}, nil
	}
	var info, from, c, data unsafe.Pointer
	if err := check(C.capi_named_memory(pinnedMemory, C.int(s.device.Index), &info)); err != nil {
		return nil, err
	}
	if err := check(C.capi_allocator(s.c, info, &from)); err != nil {
		return nil, fmt.Errorf("ort: the pinned memory of %v: %w", s.device, err)
	}
	err = check(C.capi_allocate(from, (*C.int64_t)(unsafe.SliceData(t.Shape)), C.size_t(len(t.Shape)), C.int(t.DType), &c))
	if err == nil {
		err = check(C.capi_value_data(c, &data))
	}
	free := func() {
		if c != nil {
			C.capi_release_value(c)
		}
		C.capi_release_allocator(from)
	}
	if err != nil {
		free()
		return nil, fmt.Errorf("ort: %d bytes of pinned memory for %v: %w", len(t.Raw), s.device, err)
	}
	pinned := unsafe.Slice((*byte)(data), len(t.Raw))
	copy(pinned, t.Raw)
	t.Raw = pinned
	return func() { t.Raw = nil; free() }, nil
}

// own makes a Value of an OrtValue that the runtime made, and becomes its owner.
func (s *Session) own(c unsafe.Pointer) (*Value, error) {
	typ, err := valueType(c)
	if err != nil {
		return nil, err
	}
	var away C.int
	if err := check(C.capi_in_device(c, &away)); err != nil {
		return nil, err
	}
	v := &Value{c: c, typ: typ}
	if away != 0 {
		if s.memory == nil {
			return nil, fmt.Errorf("it lies in a memory that %v does not have", s.device)
		}
		v = s.memory.value(c, typ)
	}
	runtime.SetFinalizer(v, (*Value).Close)
	return v, nil
}

// Write copies t, of the value's type, into the value.
func (v *Value) Write(t *onnx.Tensor) error {
	if err := v.same(t); err != nil || v.tensor == t {
		return err
	}
	if v.tensor != nil {
		copy(v.tensor.Raw, t.Raw)
		return nil
	}
	if v.memory == nil {
		return errors.New("ort: the runtime owns the value's host memory; it can be read only")
	}
	host, err := NewValue(t)
	if err != nil {
		return err
	}
	defer host.Close()
	return v.memory.s.carry(host, v)
}

// Read copies the value into t, of its type.
func (v *Value) Read(t *onnx.Tensor) error {
	if err := v.same(t); err != nil || v.tensor == t {
		return err
	}
	if v.memory == nil {
		return copyHost(t.Raw, v.c)
	}
	host, err := NewValue(t)
	if err != nil {
		return err
	}
	defer host.Close()
	return v.memory.s.carry(v, host)
}

// Fetch copies the value into a new tensor.
func (v *Value) Fetch() (*onnx.Tensor, error) {
	shape, ok := v.typ.Static()
	if !ok {
		return nil, fmt.Errorf("ort: the value's shape %v is not known", v.typ)
	}
	t := onnx.NewTensor(v.typ.DType, shape...)
	return t, v.Read(t)
}

func (v *Value) same(t *onnx.Tensor) error {
	if v.closed() {
		return errors.New("ort: the value is closed")
	}
	if got := onnx.TypeOf(t); !got.Equal(v.typ) {
		return fmt.Errorf("ort: the value is %v, the tensor %v", v.typ, got)
	}
	return nil
}

// carry copies a value into another by running the model y = x on the device:
// the one way between host and device that every provider has.
func (s *Session) carry(from, to *Value) error {
	if from.bytes() == 0 {
		return nil
	}
	carrier, err := s.carrier(from.typ.DType, len(from.typ.Shape))
	if err != nil {
		return fmt.Errorf("ort: copying %v between host and %v: %w", from.typ, s.device, err)
	}
	b, err := carrier.Bind()
	if err != nil {
		return err
	}
	defer b.Close()
	return errors.Join(b.Input("x", from), b.Output("y", to), b.Run())
}

// carrier returns the session of y = x for a type, made at its first use.
func (s *Session) carrier(dtype onnx.DType, rank int) (*Session, error) {
	if s.c == nil {
		return nil, errors.New("the session is closed")
	}
	s.carriersLock.Lock()
	defer s.carriersLock.Unlock()
	key := [2]int{int(dtype), rank}
	if s.carriers[key] == nil {
		model, err := unaryModel("Identity", dtype, rank)
		if err != nil {
			return nil, err
		}
		c, err := open(model, Options{Device: s.device, Threads: 1, ProviderOptions: s.options})
		if err != nil {
			return nil, err
		}
		if s.carriers == nil {
			s.carriers = map[[2]int]*Session{}
		}
		s.carriers[key] = c
	}
	return s.carriers[key], nil
}

// unaryModel is the .onnx file of y = op(x) for a type whose sizes are known at run time.
func unaryModel(op string, dtype onnx.DType, rank int) ([]byte, error) {
	shape := make([]onnx.Dim, rank)
	for i := range shape {
		shape[i] = onnx.Sym(string(rune('a' + i)))
	}
	typ := onnx.Type{DType: dtype, Shape: shape}
	x, y := &onnx.Value{Name: "x", Type: typ}, &onnx.Value{Name: "y", Type: typ}
	y.Node = &onnx.Node{Name: op + "0", Op: op, Inputs: []*onnx.Value{x}, Outputs: []*onnx.Value{y}}
	return wire.Encode(&onnx.Model{Name: "unary", Opset: 17, Inputs: []*onnx.Value{x}, Outputs: []*onnx.Value{y}, Nodes: []*onnx.Node{y.Node}})
}

// MemoryStats returns what the device's allocator tells of itself, such as
// InUse, MaxInUse and Limit in bytes; nil for host memory.
func (s *Session) MemoryStats() (map[string]string, error) {
	if s.memory == nil {
		return nil, nil
	}
	var pairs unsafe.Pointer
	var keys, values **C.char
	var n C.size_t
	if err := check(C.capi_stats(s.memory.from, &pairs, &keys, &values, &n)); err != nil {
		return nil, fmt.Errorf("ort: memory figures of %v: %w", s.device, err)
	}
	defer C.capi_release_stats(pairs)
	stats := map[string]string{}
	for i, key := range unsafe.Slice(keys, int(n)) {
		stats[C.GoString(key)] = C.GoString(unsafe.Slice(values, int(n))[i])
	}
	return stats, nil
}
