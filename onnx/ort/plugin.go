package ort

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort/packages"
)

// plugin is an execution provider in a library of its own.
type plugin struct {
	name string // the runtime's name for the provider
	packages.Package
	prepare func(string) // runs before the library is loaded, with its folder
	options map[string]string
	cure    string
}

var plugins = map[Kind]plugin{
	WebGPU: {"WebGpuExecutionProvider", packages.WebGPU, prepareVulkan,
		// Cast, Equal, Unsqueeze and others of int64: it computes with the low 32
		// bits, which hold every index and class. NCHW, since gradients are matrix
		// products over it: in NHWC every Conv stands between two Transposes. Checked
		// bounds, since the kernel of Pad also reads its input where it then puts the
		// padding, up to twice the buffer's length: in a driver in software that is a
		// segmentation fault, in a GPU's whatever it makes of it.
		map[string]string{"enableInt64": "1", "preferredLayout": "NCHW", "enableRobustness": "1"},
		"install a Vulkan driver, or have yolofreeze setup --webgpu fetch one in software; or use `device cpu`"},
	OpenVINO: {"OpenVINOExecutionProvider", packages.OpenVINO, nil,
		// Where a processor has bfloat16, it would compute in that: gradients are then
		// half wrong.
		map[string]string{"load_config": `{"CPU": {"INFERENCE_PRECISION_HINT": "f32"}}`},
		"it takes the processors and GPUs of Intel alone; use `device cpu`"},
}

// library is the provider's file in its folder; where there is none for this platform, Linux's, which is not found.
func (p plugin) library() string {
	if file := p.Library(packages.Here()); file != "" {
		return file
	}
	return p.Library(packages.LinuxX64)
}

// EPDevice is what a plugin provider says of one of its devices.
type EPDevice struct {
	Provider string // such as WebGpuExecutionProvider
	Vendor   string // of the provider
	Hardware string // CPU, GPU or NPU, and whose
	c        unsafe.Pointer
}

// registered remembers, by library, the devices it brought.
var registered = struct {
	sync.Mutex
	outcome map[string]registration
}{outcome: map[string]registration{}}

type registration struct {
	devices []EPDevice
	err     error
	options func() map[string]bool // keys that the library names; nil where that is not known
}

// Devices lists the devices of the plugin provider of d: webgpu, openvino or a
// provider's library. The library is loaded at the first call.
func (d Device) Devices() ([]EPDevice, error) {
	r, err := d.registered()
	return r.devices, err
}

func (d Device) registered() (registration, error) {
	if err := Init(); err != nil {
		return registration{}, err
	}
	path, prepare, err := d.library()
	if err != nil {
		return registration{}, d.unavailable(err)
	}
	registered.Lock()
	defer registered.Unlock()
	r, ok := registered.outcome[path]
	if !ok {
		if prepare != nil {
			prepare(filepath.Dir(path))
		}
		r.devices, r.err = register(path)
		r.options = sync.OnceValue(func() map[string]bool { return optionKeys(path, plugins[d.Kind]) })
		registered.outcome[path] = r
	}
	if r.err != nil {
		return registration{}, d.unavailable(r.err)
	}
	return r, nil
}

const (
	noLibrary = "no library"
	noDevice  = "the provider takes none of the devices here"
)

// library returns the file of the provider's library.
func (d Device) library() (path string, prepare func(string), err error) {
	p := plugins[d.Kind]
	if d.Library != "" {
		if path, err = filepath.Abs(d.Library); err != nil { // the runtime would look beside its own library
			return "", nil, err
		}
	} else {
		cache, err := disk.CacheFolder()
		if err != nil {
			return "", nil, err
		}
		path = filepath.Join(cache, p.Folder, p.library())
		if foreign := (*disk.ForeignError)(nil); errors.As(disk.Own(filepath.Dir(path)), &foreign) {
			return "", nil, foreign
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", nil, fmt.Errorf("%s %s", noLibrary, path)
	}
	return path, p.prepare, nil
}

// register loads a provider's library and returns the devices it brings.
func register(path string) ([]EPDevice, error) {
	before, err := allDevices()
	if err != nil {
		return nil, err
	}
	if err := ort.RegisterExecutionProviderLibrary(filepath.Base(path), path); err != nil {
		return nil, errors.New(tidy(err.Error()))
	}
	after, err := allDevices()
	if err != nil {
		return nil, err
	}
	known := map[unsafe.Pointer]bool{}
	for _, d := range before {
		known[d.c] = true
	}
	var fresh []EPDevice
	for _, d := range after {
		if !known[d.c] {
			fresh = append(fresh, d)
		}
	}
	if len(fresh) == 0 {
		return nil, fmt.Errorf("%s: %s", noDevice, hardwareOf(before))
	}
	return fresh, nil
}

// optionKeys reads the names of a provider's options out of its library. One that
// takes them from the session's configuration looks each up under its own full
// name, and passes over those it does not know: a misspelt one would do nothing.
// That it is such a provider shows in the names of the options that are set here.
func optionKeys(path string, p plugin) map[string]bool {
	library, err := disk.Read(path, 4<<30)
	if err != nil || len(p.options) == 0 {
		return nil
	}
	keys := map[string]bool{}
	for part := range bytes.SplitSeq(library, []byte("ep."+strings.ToLower(p.name)+".")) {
		if key, _, ended := bytes.Cut(part[:min(len(part), 100)], []byte{0}); ended {
			keys[string(key)] = true
		}
	}
	if len(unnamed(p.options, keys)) > 0 {
		return nil
	}
	return keys
}

// unnamed lists the options that are not among keys, none where those are not known.
func unnamed(options map[string]string, keys map[string]bool) (list []string) {
	for key := range options {
		if keys != nil && !keys[key] {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

func allDevices() ([]EPDevice, error) {
	var list *unsafe.Pointer
	var n C.size_t
	if err := check(C.capi_devices(&list, &n)); err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	kinds := map[C.int]string{0: "CPU", 1: "GPU", 2: "NPU"}
	var devices []EPDevice
	for _, c := range unsafe.Slice(list, int(n)) {
		devices = append(devices, EPDevice{
			Provider: C.GoString(C.capi_device_provider(c)), Vendor: C.GoString(C.capi_device_vendor(c)),
			Hardware: strings.TrimSpace(kinds[C.capi_hardware_type(c)] + " " + C.GoString(C.capi_hardware_vendor(c))), c: c,
		})
	}
	return devices, nil
}

// hardwareOf lists what devices stand for, each piece once.
func hardwareOf(devices []EPDevice) string {
	var list []string
	for _, d := range devices {
		list = append(list, d.Hardware)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

// plugged returns the OrtEpDevice of d.
func (d Device) plugged() (unsafe.Pointer, error) {
	devices, err := d.Devices()
	if err != nil {
		return nil, err
	}
	if d.Index >= len(devices) {
		last := d
		last.Index = len(devices) - 1
		return nil, &Unavailable{d.String(), Path(), errors.New("the provider has no such device"),
			fmt.Sprintf("the last one is `device %v`", last)}
	}
	return devices[d.Index].c, nil
}

// checkOptions refuses options that the provider is known to pass over. Its library, tens
// of megabytes, is searched for their names only where there are any.
func (d Device) checkOptions(options map[string]string) error {
	if len(options) == 0 {
		return nil
	}
	r, err := d.registered()
	if err != nil {
		return err
	}
	if wrong := unnamed(options, r.options()); len(wrong) > 0 {
		return asked("the provider of %v has no option %s", d, strings.Join(wrong, ", "))
	}
	return nil
}

// appendPlugin puts the device's plugin provider before the CPU provider.
func (d Device) appendPlugin(s *ort.SessionOptions, options map[string]string) error {
	device, err := d.plugged()
	if err != nil {
		return err
	}
	if err := d.checkOptions(options); err != nil {
		return err
	}
	all := maps.Clone(plugins[d.Kind].options)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, options)
	var keys, values []*C.char
	for key, value := range all {
		keys, values = append(keys, C.CString(key)), append(values, C.CString(value))
	}
	defer func() {
		for i := range keys {
			C.free(unsafe.Pointer(keys[i]))
			C.free(unsafe.Pointer(values[i]))
		}
	}()
	status := C.capi_append(optionsOf(s), device, unsafe.SliceData(keys), unsafe.SliceData(values), C.size_t(len(keys)))
	if err := check(status); err != nil {
		return d.unavailable(err)
	}
	return nil
}

// prepareVulkan makes WebGPU find the Vulkan loader and the software driver
// that setup --webgpu puts beside the provider, besides the machine's own.
// Variables that are set already are left alone.
func prepareVulkan(folder string) {
	driver := filepath.Join(folder, "vk_swiftshader_icd.json")
	if _, err := os.Stat(driver); err != nil {
		return
	}
	for name, value := range map[string]string{"VK_ADD_DRIVER_FILES": driver, "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1"} {
		if os.Getenv(name) == "" {
			os.Setenv(name, value)
		}
	}
	if !preload("libvulkan.so.1") {
		preload(filepath.Join(folder, "libvulkan.so.1"))
	}
}

// preload loads a library for all, so that a later one finds it by its name.
func preload(path string) bool {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	return C.capi_preload(c) != 0
}
