package ort

/*
#include "capi.h"
*/
import "C"

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"yolofreeze/onnx"
)

// probe.onnx is a 1×1 convolution of an image [1,1,2,2] with a constant weight
// of 2, enough to make a provider load all its libraries; a test writes it.
//
//go:embed probe.onnx
var probe []byte

// Provider is an execution provider as a machine offers it.
type Provider struct {
	Name      string // the runtime's name, such as CPUExecutionProvider
	Device    Device // the first of it
	Driven    bool   // by this package; Device says nothing otherwise
	Hardware  string // what a plugin provider says it runs on
	Available bool   // it ran a model and the result was right
	Error     error  // why it is not available
}

// Providers lists the providers that the library was built with, and CUDA and
// the known plugin providers in any case, each really tried with a tiny session.
func Providers() ([]Provider, error) {
	if err := Init(); err != nil {
		return nil, err
	}
	names, err := compiled()
	if err != nil {
		return nil, err
	}
	kinds := map[string]Kind{cpuProvider: CPU, cudaProvider: CUDA}
	for kind, p := range plugins {
		kinds[p.name] = kind
	}
	for name := range kinds {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := make([]Provider, len(names))
	for i, name := range names {
		kind, driven := kinds[name]
		if list[i] = (Provider{Name: name, Error: errors.New("yolofreeze does not use this provider")}); driven {
			list[i] = Probe(Device{Kind: kind})
			list[i].Name = name
		}
	}
	return list, nil
}

// Probe tries one device like those of Providers; its Name is the device's.
func Probe(d Device) Provider {
	err := Check(d, nil)
	return Provider{Name: d.String(), Device: d, Driven: true, Hardware: d.hardware(), Available: err == nil, Error: err}
}

// The runtime's names for the providers that are no plugins.
const (
	cpuProvider  = "CPUExecutionProvider"
	cudaProvider = "CUDAExecutionProvider"
)

// hardware says what a plugin provider's device is, "" for others.
func (d Device) hardware() string {
	if d.Kind == CPU || d.Kind == CUDA {
		return ""
	}
	devices, err := d.Devices()
	if err != nil || d.Index >= len(devices) {
		return ""
	}
	return devices[d.Index].Hardware
}

// compiled returns the names of the providers that the library was built with.
func compiled() ([]string, error) {
	var list **C.char
	var n C.int
	if err := check(C.capi_providers(&list, &n)); err != nil {
		return nil, fmt.Errorf("ort: listing providers: %w", err)
	}
	var names []string
	for _, name := range unsafe.Slice(list, int(n)) {
		names = append(names, C.GoString(name))
	}
	return names, check(C.capi_release_providers(list, n))
}

func has(provider string) bool {
	names, err := compiled()
	return err == nil && slices.Contains(names, provider)
}

// try runs the probe on a device, with options of its provider, and looks at its
// result. Where the device starts without them, the options are at fault.
func try(d Device, options map[string]string) error {
	err := runProbe(d, options)
	var unfit *Unavailable
	if len(options) > 0 && errors.As(err, &unfit) && runProbe(d, nil) == nil {
		return asked("device %v does not take %s: %w", d, pairs(options), unfit.Reason)
	}
	return err
}

func runProbe(d Device, options map[string]string) error {
	s, err := open(probe, Options{Device: d, Strict: true, Threads: 1, ProviderOptions: options})
	if err != nil {
		return asUnavailable(d, err)
	}
	defer s.Close()
	in := onnx.Of([]float32{1, 2, 3, 4}, 1, 1, 2, 2)
	out, err := s.Run(map[string]*onnx.Tensor{"x": in})
	if err != nil {
		return asUnavailable(d, err)
	}
	if got := out["y"].Float32s(); !slices.Equal(got, []float32{2, 4, 6, 8}) {
		return asUnavailable(d, fmt.Errorf("a convolution that should give [2 4 6 8] gave %v", got))
	}
	return nil
}

// CheckFloat16 tells whether a device that Check has passed computes in float16, as not
// every adapter of WebGPU does. Its errors are *[Unavailable].
func CheckFloat16(d Device, options map[string]string) error {
	lacking := func(err error) error {
		reason := tidy(err.Error())
		if _, inner, ok := strings.Cut(reason, "Status Message: "); ok { // of the node that failed
			reason = tidy(inner)
		}
		return &Unavailable{"float16 on " + d.String(), Path(), errors.New(strings.TrimSuffix(reason, ".")), "compute in float32, or use `device cpu`"}
	}
	model, err := unaryModel("Neg", onnx.Float16, 1)
	if err != nil {
		return err
	}
	s, err := open(model, Options{Device: d, Strict: true, Threads: 1, ProviderOptions: options})
	if err != nil {
		return lacking(err)
	}
	defer s.Close()
	out, err := s.Run(map[string]*onnx.Tensor{"x": onnx.Of([]float32{1, -2}, 2).ToFloat16()})
	if err == nil && !slices.Equal(out["y"].Float64s(), []float64{-1, 2}) {
		err = fmt.Errorf("the negatives of [1 -2] are %v", out["y"].Float64s())
	}
	if err != nil {
		return lacking(err)
	}
	return nil
}

// blame decides whether a session failed to open because of its model or of its
// device and options: where not even the probe runs with them, it is these.
func blame(o Options, model []byte, err error) error {
	if unsafe.SliceData(model) == unsafe.SliceData(probe) {
		return err
	}
	if o.Device.Kind != CPU {
		if unfit := try(o.Device, o.ProviderOptions); unfit != nil {
			return unfit
		}
	}
	return fmt.Errorf("opening a session on %v: %w", o.Device, err)
}

// pairs writes options as they are given.
func pairs(options map[string]string) string {
	var list []string
	for key, value := range options {
		list = append(list, key+"="+value)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
