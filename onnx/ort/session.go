package ort

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"yolofreeze/onnx"
)

// IO is an input or output of a session; unknown dimensions carry the model's names.
type IO struct {
	Name string
	Type onnx.Type
}

// Session is a model made ready to run on a device. Several goroutines may run
// it at once, each with a Binding of its own.
type Session struct {
	s        *ort.DynamicAdvancedSession
	c        unsafe.Pointer // its OrtSession
	run      unsafe.Pointer // OrtRunOptions of every run, nil for the defaults
	device   Device
	inputs   []IO
	outputs  []IO
	types    [2]map[string]onnx.Type // of inputs, of outputs
	memory   *memory                 // of the device, nil for the host's
	options  map[string]string       // of the provider
	captures bool                    // Options.Capture
	recorded *Binding                // whose run the provider repeats from now on

	carriersLock sync.Mutex
	carriers     map[[2]int]*Session // by element type and rank
}

// Open makes a session of a model's bytes (a .onnx file). A missing library or
// a device that cannot start is an *[Unavailable]: a named device is never
// replaced by another.
func Open(model []byte, o Options) (*Session, error) {
	if err := Init(); err != nil {
		return nil, err
	}
	if o.Capture {
		if err := CheckCapture(o.Device); err != nil {
			return nil, err
		}
	}
	return open(model, o)
}

func open(model []byte, o Options) (*Session, error) {
	options, err := o.build()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	s := &Session{device: o.Device, options: o.ProviderOptions, captures: o.Capture}
	s.s, err = ort.NewDynamicAdvancedSessionWithONNXData(model, nil, nil, options)
	if err != nil {
		return nil, blame(o, model, errors.New(tidy(err.Error())))
	}
	s.c = sessionOf(s.s)
	if err := s.prepare(o); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening a session on %v: %w", o.Device, err)
	}
	return s, nil
}

func (s *Session) prepare(o Options) (err error) {
	for kind, list := range []*[]IO{&s.inputs, &s.outputs} {
		if *list, err = s.describe(C.int(kind)); err != nil {
			return err
		}
		s.types[kind] = map[string]onnx.Type{}
		for _, io := range *list {
			s.types[kind][io.Name] = io.Type
		}
	}
	if err := s.openMemory(); err != nil || !o.ShrinkArena {
		return err
	}
	arenas := "cpu:0"
	if s.device.Kind == CUDA {
		arenas += fmt.Sprintf(";gpu:%d", s.device.Index)
	}
	return s.setRun("memory.enable_memory_arena_shrinkage", arenas)
}

// setRun sets a configuration entry of every later run.
func (s *Session) setRun(key, value string) error {
	if s.run == nil {
		var run unsafe.Pointer
		if err := check(C.capi_run_options(&run)); err != nil {
			return err
		}
		s.run = run
	}
	k, v := C.CString(key), C.CString(value)
	defer C.free(unsafe.Pointer(k))
	defer C.free(unsafe.Pointer(v))
	if err := check(C.capi_run_config(s.run, k, v)); err != nil {
		return fmt.Errorf("run option %s=%s: %w", key, value, err)
	}
	return nil
}

// describe lists the inputs (kind 0) or outputs (kind 1).
func (s *Session) describe(kind C.int) ([]IO, error) {
	var n C.size_t
	if err := check(C.capi_io_count(s.c, kind, &n)); err != nil {
		return nil, err
	}
	list := make([]IO, n)
	for i := range list {
		var name *C.char
		if err := check(C.capi_io_name(s.c, kind, C.size_t(i), &name)); err != nil {
			return nil, err
		}
		list[i].Name = C.GoString(name)
		if err := check(C.capi_free(unsafe.Pointer(name))); err != nil {
			return nil, err
		}
		var owner, info unsafe.Pointer
		if err := check(C.capi_io_type(s.c, kind, C.size_t(i), &owner, &info)); err != nil {
			return nil, err
		}
		if info == nil {
			C.capi_release_type(owner)
			return nil, fmt.Errorf("%s is not a tensor", list[i].Name)
		}
		t, err := typeOf(info)
		C.capi_release_type(owner)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list[i].Name, err)
		}
		list[i].Type = t
	}
	return list, nil
}

// Captures tells whether the provider records and repeats runs (Options.Capture).
func (s *Session) Captures() bool { return s.captures }

// Device returns the device the session runs on.
func (s *Session) Device() Device { return s.device }

// Inputs returns the model's inputs in its order.
func (s *Session) Inputs() []IO { return s.inputs }

// EndProfile completes the trace that Options.Profile asked for and returns its file.
func (s *Session) EndProfile() (string, error) {
	var file *C.char
	if err := check(C.capi_end_profile(s.c, &file)); err != nil {
		return "", fmt.Errorf("ort: ending the profile: %w", err)
	}
	name := C.GoString(file)
	if err := check(C.capi_free(unsafe.Pointer(file))); err != nil {
		return "", err
	}
	if name == "" {
		return "", errors.New("ort: ending the profile: none was asked for")
	}
	return name, nil
}

// Close releases the session, once no value is left in its device's memory. Its
// bindings must be closed before; such values can then no longer be copied.
func (s *Session) Close() {
	if s.s == nil {
		return
	}
	for _, c := range s.carriers {
		c.Close()
	}
	if s.memory != nil {
		session := s.s
		s.memory.finish(func() { session.Destroy() })
	} else {
		s.s.Destroy()
	}
	s.s, s.c, s.memory = nil, nil, nil
	if s.run != nil {
		C.capi_release_run_options(s.run)
		s.run = nil
	}
}

// Run feeds tensors by name and returns every output in new tensors. It copies
// outputs; a Binding does not.
func (s *Session) Run(feeds map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	b, err := s.Bind()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	for name, t := range feeds {
		v, err := NewValue(t)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		defer v.Close()
		if err := b.Input(name, v); err != nil {
			return nil, err
		}
	}
	for _, out := range s.outputs {
		if err := b.OutputAuto(out.Name); err != nil {
			return nil, err
		}
	}
	if err := b.Run(); err != nil {
		return nil, err
	}
	results := map[string]*onnx.Tensor{}
	for _, out := range s.outputs {
		if results[out.Name], err = b.Fetch(out.Name); err != nil {
			return nil, err
		}
	}
	return results, nil
}
