package ort

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Kind is an execution provider: one of these, or the path of a library whose provider is none of them.
type Kind string

const (
	CPU      Kind = "" // the zero value
	CUDA     Kind = "cuda"
	WebGPU   Kind = "webgpu"
	OpenVINO Kind = "openvino"
)

// Auto asks for CUDA where it starts, for the CPU provider otherwise.
const Auto = "auto"

// cpuName is what users call the CPU provider.
const cpuName = "cpu"

func (k Kind) String() string {
	if k == CPU {
		return cpuName
	}
	return string(k)
}

// Device is an execution provider and, where it has several, one of its devices.
// The zero Device is the CPU provider.
type Device struct {
	Kind    Kind
	Index   int
	Library string // of the provider, where its path was given
	Why     string // it was chosen for auto; "" where it was named
}

// String is what ParseDevice reads: cpu, or the provider and its device, such as cuda:0.
func (d Device) String() string {
	switch {
	case d.Kind == CPU:
		return cpuName
	case d.Library != "":
		return fmt.Sprintf("%s:%d", d.Library, d.Index)
	}
	return fmt.Sprintf("%s:%d", d.Kind, d.Index)
}

// RequestError says that a device, or an option of its provider, was asked for
// in a way that cannot be read. Programs exit with code 2 on it.
type RequestError struct{ err error }

func (e *RequestError) Error() string { return e.err.Error() }
func (e *RequestError) Unwrap() error { return e.err }

// Usage marks the error as one of what was asked for.
func (e *RequestError) Usage() bool { return true }

func asked(format string, args ...any) error { return &RequestError{fmt.Errorf(format, args...)} }

// libraryName is how the files of shared libraries are named, versions included.
var libraryName = regexp.MustCompile(`\.(so(\.\d+)*|dylib)$`)

// kindOf knows a provider by the name of its library's file, wherever that is, since what
// one needs of graphs and options goes by its kind; others are of the kind of their path.
func kindOf(library string) Kind {
	for kind, p := range plugins {
		if file := filepath.Base(library); file == p.library() || strings.HasPrefix(file, p.library()+".") {
			return kind
		}
	}
	return Kind(library)
}

// Addressable reports whether the device's memory has addresses, so that a value may be a part
// of another. Elsewhere, as on WebGPU, memory is known by handles.
func (d Device) Addressable() bool { return d.Kind == CPU || d.Kind == CUDA }

// MarshalText is String.
func (d Device) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDevice.
func (d *Device) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDevice(string(text))
	return err
}

// ParseDevice reads the name of a device: cpu (or ""), cuda, cuda:N, N (the same,
// as YOLOv5 writes it), webgpu[:N], openvino[:N], or the path of a plugin provider's
// library (ending in .so or .dylib, :N may follow). Auto is no name, but a question
// to Resolve. Errors are *[RequestError].
func ParseDevice(text string) (Device, error) {
	name, index := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		name, index = text[:i], text[i+1:]
		if index == "" {
			return Device{}, asked("device %q: a number must follow the colon", text)
		}
	}
	var d Device
	if libraryName.MatchString(name) {
		d.Kind, d.Library = kindOf(name), name
	} else {
		d.Kind = Kind(strings.ToLower(name))
		if _, err := strconv.Atoi(name); err == nil && index == "" {
			d.Kind, index = CUDA, name
		}
		if strings.Contains(name, ",") {
			return Device{}, asked("device %q: name one of them, such as cuda:0; only train takes several", text)
		}
		if d.Kind == cpuName {
			d.Kind = CPU
		}
		if _, ok := plugins[d.Kind]; !ok && d.Kind != CPU && d.Kind != CUDA {
			return Device{}, asked("device %q is not known: cpu, cuda[:N], N, webgpu[:N], openvino[:N], a provider's library (.so or .dylib) or auto", text)
		}
	}
	if index != "" {
		var err error
		if d.Index, err = strconv.Atoi(index); err != nil || d.Index < 0 || d.Kind == CPU {
			return Device{}, asked("device %q: %q is no number of a device", text, index)
		}
	}
	return d, nil
}

// appendTo puts the device's provider, if it is not the CPU's, before the CPU provider.
func (d Device) appendTo(s *ort.SessionOptions, options map[string]string) error {
	switch {
	case d.Kind == CPU && len(options) > 0:
		return asked("the CPU provider takes no provider options, got %s", pairs(options))
	case d.Kind == CPU:
		return nil
	case d.Kind != CUDA:
		return d.appendPlugin(s, options)
	}
	if !has(cudaProvider) {
		return &Unavailable{d.String(), Path(), errors.New("this library was built without CUDA"),
			"run yolofreeze setup --cuda, or use `device cpu`"}
	}
	c, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return d.unavailable(err)
	}
	defer c.Destroy()
	preloadCUDA(filepath.Join(filepath.Dir(Path()), "cuda"))
	// The first update loads the provider's library and looks for the device,
	// so what the second one refuses is an option.
	if err := c.Update(map[string]string{"device_id": strconv.Itoa(d.Index)}); err != nil {
		return d.unavailable(err)
	}
	all := maps.Clone(cudaDefaults)
	maps.Copy(all, options)
	all["device_id"] = strconv.Itoa(d.Index)
	if err := c.Update(all); err != nil {
		return asked("options of the CUDA provider %s: %s", pairs(all), tidy(err.Error()))
	}
	if err := s.AppendExecutionProviderCUDA(c); err != nil {
		return d.unavailable(err)
	}
	return nil
}

func (d Device) unavailable(reason error) error {
	text := tidy(reason.Error())
	return &Unavailable{d.String(), Path(), errors.New(text), d.cure(text)}
}

// cure says what a person can do about the reason that a provider gave.
func (d Device) cure(reason string) string {
	if d.Kind == CUDA {
		return cudaCure(reason, needsCUDA(filepath.Dir(Path())), Driver())
	}
	p, known := plugins[d.Kind]
	switch {
	case d.Library != "" && strings.HasPrefix(reason, noLibrary):
		return "`device` takes the path of a provider's library as it is installed"
	case strings.HasPrefix(reason, noLibrary):
		return fmt.Sprintf("run yolofreeze setup --%s, or use `device cpu`", d.Kind)
	case known:
		return p.cure
	case strings.HasPrefix(reason, noDevice):
		return "it needs another device or its driver; or use `device cpu`"
	}
	return "it must be the library of a plugin execution provider for this ONNX Runtime; or use `device cpu`"
}

// chooseAuto tries CUDA once per process.
var chooseAuto = sync.OnceValue(func() Device {
	d := Device{Kind: CUDA}
	if err := try(d, nil); err != nil {
		return Device{Why: fmt.Sprintf("auto chose cpu: %v", err)}
	}
	d.Why = "auto chose " + d.String()
	return d
})

// Resolve returns the device that a program's user asks for: what ParseDevice reads,
// or for Auto what starts here. A device that was named is not tried: Check and Open do.
func Resolve(text string) (Device, error) {
	if !strings.EqualFold(text, Auto) {
		return ParseDevice(text)
	}
	if err := Init(); err != nil {
		return Device{}, err
	}
	return chooseAuto(), nil
}

// Check tells whether a session on a device would start with options of its
// provider, by running a tiny model there. Its errors are *[Unavailable] or
// *[RequestError].
func Check(d Device, options map[string]string) error {
	if err := Init(); err != nil {
		return err
	}
	if d.Why != "" && len(options) == 0 { // auto has tried what it chose
		return nil
	}
	err := try(d, options)
	if wrong := (*RequestError)(nil); d.Why != "" && errors.As(err, &wrong) {
		return asked("%w (%s)", err, d.Why)
	}
	return err
}

// asUnavailable makes any failure of a device's trial say so, but for what was asked for wrongly.
func asUnavailable(d Device, err error) error {
	var u *Unavailable
	var request *RequestError
	if errors.As(err, &u) || errors.As(err, &request) {
		return err
	}
	return d.unavailable(err)
}
