package ort

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	"yolofreeze/onnx"
)

// Binding holds the values that a session's runs read and write. It is made
// once and run many times; what a bound tensor holds at the time of a run is
// what the run sees. A Value may be input and output of the same run: the model
// then updates it in place, provided that the output's last write depends on
// everything else that reads the input. One goroutine at a time may use it.
type Binding struct {
	s       *Session
	c       unsafe.Pointer
	inputs  map[string]*Value
	outputs []output // in the order the runtime keeps them
	fetched []unsafe.Pointer
	names   map[string]*C.char
	moved   Moved
}

// output is a bound output; a nil value is allocated by the runtime in each
// run, in host memory or the device's.
type output struct {
	name   string
	value  *Value
	device bool
}

// Moved counts the bytes that runs and fetches copied between host and device.
type Moved struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`
}

// Bind makes an empty binding of the session.
func (s *Session) Bind() (*Binding, error) {
	if s.c == nil {
		return nil, fmt.Errorf("ort: the session is closed")
	}
	var c unsafe.Pointer
	if err := check(C.capi_binding(s.c, &c)); err != nil {
		return nil, fmt.Errorf("ort: making a binding: %w", err)
	}
	return &Binding{s: s, c: c, inputs: map[string]*Value{}, names: map[string]*C.char{}}, nil
}

// name returns the C string of an input's or output's name, kept until Close.
func (b *Binding) name(name string) *C.char {
	c, ok := b.names[name]
	if !ok {
		c = C.CString(name)
		b.names[name] = c
	}
	return c
}

const (
	isInput  = 0
	isOutput = 1
)

// admit checks a value against the model's input or output of that name.
func (b *Binding) admit(kind int, name string, v *Value) error {
	what := [...]string{"input", "output"}[kind]
	if b.c == nil {
		return fmt.Errorf("ort: %s %s: the binding is closed", what, name)
	}
	want, ok := b.s.types[kind][name]
	if !ok {
		return fmt.Errorf("ort: the model has no %s %q", what, name)
	}
	if v == nil {
		return nil
	}
	if b.s.captures {
		switch {
		case b.s.recorded != nil:
			return fmt.Errorf("ort: %s %s: the session's run was captured and keeps the values it was captured with", what, name)
		case !v.OnDevice():
			return fmt.Errorf("ort: %s %s: a captured run reaches no host memory, and the value lies there", what, name)
		}
	}
	if v.closed() {
		return fmt.Errorf("ort: %s %s: the value is closed", what, name)
	}
	got := v.Type()
	if got.DType != want.DType {
		return fmt.Errorf("ort: %s %s: the model wants %v, the tensor is %v", what, name, want, got)
	}
	fits := want.Shape == nil || len(got.Shape) == len(want.Shape)
	for i := 0; fits && i < len(want.Shape); i++ {
		fits = !want.Shape[i].Known() || want.Shape[i].Size == got.Shape[i].Size
	}
	if !fits {
		return fmt.Errorf("ort: %s %s: the model wants %v, the tensor is %v", what, name, want, got)
	}
	return nil
}

// Input binds a value to an input, in place of an earlier one.
func (b *Binding) Input(name string, v *Value) error {
	if err := b.admit(isInput, name, v); err != nil {
		return err
	}
	if !b.copies(v) { // those are bound by each run, lest they be copied once more here
		if err := check(C.capi_bind_input(b.c, b.name(name), v.c)); err != nil {
			return fmt.Errorf("ort: input %s: %w", name, err)
		}
	}
	b.inputs[name] = v
	return nil
}

// copies reports whether the runtime copies an input to the device when it is bound.
func (b *Binding) copies(v *Value) bool { return b.s.device.Kind != CPU && !v.OnDevice() }

// Output binds a value to an output, in place of an earlier one: runs write into it.
func (b *Binding) Output(name string, v *Value) error {
	if err := b.admit(isOutput, name, v); err != nil {
		return err
	}
	if err := check(C.capi_bind_output(b.c, b.name(name), v.c)); err != nil {
		return fmt.Errorf("ort: output %s: %w", name, err)
	}
	b.setOutput(output{name: name, value: v})
	return nil
}

// OutputAuto lets the runtime allocate an output in host memory at each run,
// for shapes that are known only then; Fetch copies it out.
func (b *Binding) OutputAuto(name string) error { return b.auto(output{name: name}) }

// OutputDevice lets the runtime allocate an output in the device's memory at
// each run; Take hands it on without a copy, Fetch copies it out. On the CPU
// provider it is OutputAuto.
func (b *Binding) OutputDevice(name string) error { return b.auto(output{name: name, device: true}) }

func (b *Binding) auto(out output) error {
	if err := b.admit(isOutput, out.name, nil); err != nil {
		return err
	}
	if b.s.captures {
		return fmt.Errorf("ort: output %s: a captured run writes into the values it was captured with, so one must be bound", out.name)
	}
	if err := b.bindAuto(out); err != nil {
		return err
	}
	b.setOutput(out)
	return nil
}

func (b *Binding) bindAuto(out output) error {
	var where unsafe.Pointer
	if m := b.s.memory; m != nil && out.device {
		where = m.info
	}
	if err := check(C.capi_bind_output_to(b.c, b.name(out.name), where)); err != nil {
		return fmt.Errorf("ort: output %s: %w", out.name, err)
	}
	return nil
}

func (b *Binding) setOutput(out output) {
	for i := range b.outputs {
		if b.outputs[i].name == out.name {
			b.outputs[i] = out
			return
		}
	}
	b.outputs = append(b.outputs, out)
}

// Run runs the model once. It returns when outputs are written.
func (b *Binding) Run() error {
	// CUDA's provider has a stream for each thread and orders nothing between two: what a
	// goroutine copies on one thread the kernels that it starts on another might miss.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := b.ready(); err != nil {
		return err
	}
	err := check(C.capi_run(b.s.c, b.s.run, b.c))
	runtime.KeepAlive(b)
	if err == nil && b.s.captures {
		b.s.recorded = b
	}
	if err != nil {
		return fmt.Errorf("ort: running on %v: %w", b.s.device, err)
	}
	return nil
}

// ready checks that nothing bound was closed, has the runtime forget the
// outputs it allocated in the run before, since it would write into them again,
// and has a device take the host's inputs anew, since it copies when binding.
func (b *Binding) ready() error {
	if b.c == nil || b.s.c == nil {
		return fmt.Errorf("ort: running: the binding or its session is closed")
	}
	if b.s.recorded != nil && b.s.recorded != b {
		return fmt.Errorf("ort: running: the session's run was captured with another binding")
	}
	b.forget()
	for name, v := range b.inputs {
		if v.closed() {
			return fmt.Errorf("ort: running: the value bound to input %s is closed", name)
		}
		if !b.copies(v) {
			continue
		}
		if err := check(C.capi_bind_input(b.c, b.name(name), v.c)); err != nil {
			return fmt.Errorf("ort: input %s: %w", name, err)
		}
		if b.s.memory != nil {
			b.moved.In += v.bytes()
		}
	}
	for _, out := range b.outputs {
		switch {
		case out.value == nil:
			if err := b.bindAuto(out); err != nil {
				return err
			}
		case out.value.closed():
			return fmt.Errorf("ort: running: the value bound to output %s is closed", out.name)
		case b.s.memory != nil && !out.value.OnDevice():
			b.moved.Out += out.value.bytes()
		}
	}
	return nil
}

// Moved returns the bytes moved between host and device so far; there are none
// where the device works in the host's memory, as that of the CPU provider does.
func (b *Binding) Moved() Moved { return b.moved }

// Fetch copies an output of the last run into a new tensor.
func (b *Binding) Fetch(name string) (*onnx.Tensor, error) {
	i, err := b.bound(name)
	if err != nil {
		return nil, err
	}
	if v := b.outputs[i].value; v != nil {
		t, err := v.Fetch()
		if err == nil && v.OnDevice() {
			b.moved.Out += v.bytes()
		}
		return t, err
	}
	v, err := b.Take(name)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	t, err := v.Fetch()
	if err != nil {
		return nil, fmt.Errorf("ort: fetching %s: %w", name, err)
	}
	if b.s.memory != nil {
		b.moved.Out += v.bytes()
	}
	return t, nil
}

// Take returns an output that the runtime allocated in the last run, without
// copying it: a value that may be bound as an input or output of later runs.
func (b *Binding) Take(name string) (*Value, error) {
	i, err := b.bound(name)
	if err != nil {
		return nil, err
	}
	if b.outputs[i].value != nil {
		return nil, fmt.Errorf("ort: taking %s: the output is bound to a value already", name)
	}
	if err := b.fetch(); err != nil {
		return nil, fmt.Errorf("ort: taking %s: %w", name, err)
	}
	c := b.fetched[i]
	if c == nil {
		return nil, fmt.Errorf("ort: taking %s: it was taken before, or there was no run", name)
	}
	v, err := b.s.own(c)
	if err != nil {
		return nil, fmt.Errorf("ort: taking %s: %w", name, err)
	}
	b.fetched[i] = nil
	return v, nil
}

// bound returns the place of a bound output.
func (b *Binding) bound(name string) (int, error) {
	if err := b.admit(isOutput, name, nil); err != nil {
		return 0, err
	}
	for i, out := range b.outputs {
		if out.name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("ort: output %s is not bound", name)
}

// fetch takes hold of the outputs of the last run.
func (b *Binding) fetch() error {
	if b.fetched != nil {
		return nil
	}
	var values *unsafe.Pointer
	var n C.size_t
	if err := check(C.capi_outputs(b.c, &values, &n)); err != nil {
		return err
	}
	b.fetched = append([]unsafe.Pointer{}, unsafe.Slice(values, int(n))...)
	if err := check(C.capi_free(unsafe.Pointer(values))); err != nil {
		return err
	}
	if len(b.fetched) != len(b.outputs) {
		return fmt.Errorf("the runtime holds %d outputs, %d were bound", len(b.fetched), len(b.outputs))
	}
	return nil
}

func (b *Binding) forget() {
	for _, v := range b.fetched {
		if v != nil {
			C.capi_release_value(v)
		}
	}
	b.fetched = nil
}

// Close releases the binding, not the values bound.
func (b *Binding) Close() {
	if b.c == nil {
		return
	}
	b.forget()
	C.capi_release_binding(b.c)
	for _, name := range b.names {
		C.free(unsafe.Pointer(name))
	}
	b.c, b.inputs, b.outputs, b.names = nil, nil, nil, nil
}
