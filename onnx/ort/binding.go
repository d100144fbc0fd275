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
}

// output is a bound output; a nil value is allocated by the runtime in each run.
type output struct {
	name  string
	value *Value
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
	if v.c == nil {
		return fmt.Errorf("ort: %s %s: the value is closed", what, name)
	}
	got := v.Type()
	if got.DType != want.DType {
		return fmt.Errorf("ort: %s %s: the model wants %v, the tensor is %v", what, name, want, got)
	}
	fits := len(got.Shape) == len(want.Shape)
	for i := 0; fits && i < len(got.Shape); i++ {
		fits = !want.Shape[i].Known() || want.Shape[i].Size == got.Shape[i].Size
	}
	// A model may leave an output's rank unsaid, which the runtime tells as rank 0.
	if !fits && !(kind == isOutput && len(want.Shape) == 0) {
		return fmt.Errorf("ort: %s %s: the model wants %v, the tensor is %v", what, name, want, got)
	}
	return nil
}

// Input binds a value to an input, in place of an earlier one.
func (b *Binding) Input(name string, v *Value) error {
	if err := b.admit(isInput, name, v); err != nil {
		return err
	}
	if err := check(C.capi_bind_input(b.c, b.name(name), v.c)); err != nil {
		return fmt.Errorf("ort: input %s: %w", name, err)
	}
	b.inputs[name] = v
	return nil
}

// Output binds a value to an output, in place of an earlier one: runs write into it.
func (b *Binding) Output(name string, v *Value) error {
	if err := b.admit(isOutput, name, v); err != nil {
		return err
	}
	if err := check(C.capi_bind_output(b.c, b.name(name), v.c)); err != nil {
		return fmt.Errorf("ort: output %s: %w", name, err)
	}
	b.setOutput(name, v)
	return nil
}

// OutputAuto lets the runtime allocate an output in host memory at each run,
// for shapes that are known only then; Fetch copies it out.
func (b *Binding) OutputAuto(name string) error {
	if err := b.admit(isOutput, name, nil); err != nil {
		return err
	}
	if err := b.bindAuto(name); err != nil {
		return err
	}
	b.setOutput(name, nil)
	return nil
}

func (b *Binding) bindAuto(name string) error {
	if err := check(C.capi_bind_output_host(b.c, b.name(name))); err != nil {
		return fmt.Errorf("ort: output %s: %w", name, err)
	}
	return nil
}

func (b *Binding) setOutput(name string, v *Value) {
	for i := range b.outputs {
		if b.outputs[i].name == name {
			b.outputs[i].value = v
			return
		}
	}
	b.outputs = append(b.outputs, output{name, v})
}

// Run runs the model once. It returns when outputs are written.
func (b *Binding) Run() error {
	if err := b.ready(); err != nil {
		return err
	}
	err := check(C.capi_run(b.s.c, b.s.run, b.c))
	runtime.KeepAlive(b)
	if err != nil {
		return fmt.Errorf("ort: running on %v: %w", b.s.device, err)
	}
	return nil
}

// ready checks that nothing bound was closed, and has the runtime forget the
// outputs it allocated in the run before: it would write into them again.
func (b *Binding) ready() error {
	if b.c == nil || b.s.c == nil {
		return fmt.Errorf("ort: running: the binding or its session is closed")
	}
	for name, v := range b.inputs {
		if v.c == nil {
			return fmt.Errorf("ort: running: the value bound to input %s is closed", name)
		}
	}
	b.forget()
	for _, out := range b.outputs {
		if out.value == nil {
			if err := b.bindAuto(out.name); err != nil {
				return err
			}
		} else if out.value.c == nil {
			return fmt.Errorf("ort: running: the value bound to output %s is closed", out.name)
		}
	}
	return nil
}

// Fetch copies an output of the last run into a new tensor.
func (b *Binding) Fetch(name string) (*onnx.Tensor, error) {
	if err := b.admit(isOutput, name, nil); err != nil {
		return nil, err
	}
	for i, out := range b.outputs {
		if out.name != name {
			continue
		}
		if err := b.fetch(); err != nil {
			return nil, fmt.Errorf("ort: fetching %s: %w", name, err)
		}
		t, err := copyOut(b.fetched[i])
		if err != nil {
			return nil, fmt.Errorf("ort: fetching %s: %w", name, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("ort: fetching %s: the output is not bound", name)
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
		C.capi_release_value(v)
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
