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

// Device names an execution provider and, where it has several, one of its devices.
type Device struct {
	Kind    string // cpu, cuda, webgpu, openvino or, of a provider that is not known, its library's path
	Index   int
	Library string // of the provider, where its path was given
}

const (
	cpu  = "cpu"
	cuda = "cuda"
	auto = "auto"
)

func (d Device) String() string {
	switch {
	case d.Kind == cpu:
		return cpu
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
func kindOf(library string) string {
	for kind, p := range plugins {
		if file := filepath.Base(library); file == p.library || strings.HasPrefix(file, p.library+".") {
			return kind
		}
	}
	return library
}

// ParseDevice reads what Options.Device may hold, but auto; "" is cpu.
func ParseDevice(text string) (Device, error) {
	kind, index := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		kind, index = text[:i], text[i+1:]
		if index == "" {
			return Device{}, asked("device %q: a number must follow the colon", text)
		}
	}
	library := ""
	if libraryName.MatchString(kind) {
		library = kind
		kind = kindOf(library)
	} else {
		kind = strings.ToLower(kind)
		if _, err := strconv.Atoi(kind); err == nil && index == "" {
			kind, index = cuda, kind
		}
		if strings.Contains(kind, ",") {
			return Device{}, asked("device %q: one device trains: name one of them, such as cuda:0", text)
		}
		if _, ok := plugins[kind]; !ok && kind != "" && kind != cpu && kind != cuda {
			return Device{}, asked("device %q is not known: cpu, cuda[:N], N, webgpu[:N], openvino[:N], a provider's library (.so or .dylib) or auto", text)
		}
	}
	d := Device{Kind: kind, Library: library}
	if kind == "" {
		d.Kind = cpu
	}
	if index != "" {
		var err error
		if d.Index, err = strconv.Atoi(index); err != nil || d.Index < 0 || d.Kind == cpu {
			return Device{}, asked("device %q: %q is no number of a device", text, index)
		}
	}
	return d, nil
}

// appendTo puts the device's provider, if it is not the CPU's, before the CPU provider.
func (d Device) appendTo(s *ort.SessionOptions, options map[string]string) error {
	switch {
	case d.Kind == cpu && len(options) > 0:
		return asked("the CPU provider takes no provider options, got %s", pairs(options))
	case d.Kind == cpu:
		return nil
	case d.Kind != cuda:
		return d.appendPlugin(s, options)
	}
	if !has("CUDAExecutionProvider") {
		return &Unavailable{d.String(), Path(), errors.New("this library was built without CUDA"),
			"run scripts/setup.sh --cuda, or use `device cpu`"}
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
	if d.Kind == cuda {
		return cudaCure(reason, needsCUDA(filepath.Dir(Path())), Driver())
	}
	p, known := plugins[d.Kind]
	switch {
	case d.Library != "" && strings.HasPrefix(reason, noLibrary):
		return "`device` takes the path of a provider's library as it is installed"
	case strings.HasPrefix(reason, noLibrary):
		return fmt.Sprintf("run scripts/setup.sh --%s, or use `device cpu`", d.Kind)
	case known:
		return p.cure
	case strings.HasPrefix(reason, noDevice):
		return "it needs another device or its driver; or use `device cpu`"
	}
	return "it must be the library of a plugin execution provider for this ONNX Runtime; or use `device cpu`"
}

// chooseAuto tries CUDA once per process.
var chooseAuto = sync.OnceValues(func() (Device, string) {
	d := Device{Kind: cuda}
	if err := try(d, nil); err != nil {
		return Device{Kind: cpu}, fmt.Sprintf("auto chose cpu: %v", err)
	}
	return d, "auto chose " + d.String()
})

// Resolve returns the device that text asks for and, for auto, a line that says
// what was chosen and why. Asking for a named device does not try it: Open does.
func Resolve(text string) (d Device, why string, err error) {
	if strings.ToLower(text) != auto {
		d, err = ParseDevice(text)
		return d, "", err
	}
	if err := Init(); err != nil {
		return Device{}, "", err
	}
	d, why = chooseAuto()
	return d, why, nil
}

// Check tells whether a session on a device, as Options.Device names it, would
// start with options of its provider, by running a tiny model there. Its errors
// are *[Unavailable] or *[RequestError].
func Check(device string, options map[string]string) error {
	d, why, err := Resolve(device)
	if err != nil {
		return err
	}
	if err := Init(); err != nil {
		return err
	}
	if why != "" && len(options) == 0 { // auto has tried what it chose
		return nil
	}
	err = try(d, options)
	if wrong := (*RequestError)(nil); why != "" && errors.As(err, &wrong) {
		return asked("%w (%s)", err, why)
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
