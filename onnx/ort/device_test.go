package ort

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// named reads a device's name.
func named(t *testing.T, text string) Device {
	t.Helper()
	d, err := ParseDevice(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNamedDevice: a named device that does not start is an error, never another device.
func TestNamedDevice(t *testing.T) {
	needLibrary(t)
	for _, name := range []string{"cuda", "cuda:7", "0"} {
		s, err := Open(encode(t, add(1)), Options{Device: named(t, name)})
		if err == nil {
			if s.Device().Kind != CUDA {
				t.Errorf("asked for %s, got %v", name, s.Device())
			}
			s.Close()
			continue
		}
		var u *Unavailable
		if !errors.As(err, &u) || u.ExitCode() != 4 || u.Cure == "" || !strings.HasPrefix(u.What, "cuda:") {
			t.Errorf("%s: %v is not an Unavailable with a cure", name, err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", name, err)
		}
	}
	chosen, err := Resolve("AUTO")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(encode(t, add(1)), Options{Device: chosen})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Device(); got != chosen || !strings.Contains(got.Why, "auto chose "+got.String()) {
		t.Errorf("on %v, why: %q", got, got.Why)
	}
	t.Log(chosen.Why)
	if err := Check(chosen, map[string]string{"none": "1"}); err == nil || !strings.Contains(err.Error(), "none") || !strings.Contains(err.Error(), chosen.Why) {
		t.Errorf("an option that nothing takes: %v", err)
	}
}

func TestProviders(t *testing.T) {
	needLibrary(t)
	list, err := Providers()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Kind]Provider{}
	for _, p := range list {
		if p.Driven {
			seen[p.Device.Kind] = p
		}
		if p.Available == (p.Error != nil) {
			t.Errorf("%s: available %v, error %v", p.Name, p.Available, p.Error)
		}
		t.Logf("%s %v %s %v", p.Name, p.Available, p.Hardware, p.Error)
	}
	if !seen[CPU].Available {
		t.Errorf("the CPU provider does not run: %v", seen[CPU].Error)
	}
	for _, device := range []Kind{CUDA, WebGPU, OpenVINO} {
		if _, ok := seen[device]; !ok {
			t.Errorf("%s is not listed", device)
		}
	}
}

// TestAbsentPlugin: a provider that is not installed, or is none, says how to mend it.
func TestAbsentPlugin(t *testing.T) {
	needLibrary(t)
	none := filepath.Join(t.TempDir(), "none.so")
	junk := filepath.Join(t.TempDir(), "junk.so")
	if err := os.WriteFile(junk, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for device, want := range map[string]string{
		"webgpu": "setup --webgpu", "openvino:1": "setup --openvino", none: "no library " + none, junk + ":0": "junk.so",
	} {
		_, err := Open(encode(t, add(1)), Options{Device: named(t, device)})
		if checked := Check(named(t, device), nil); checked == nil || err == nil || checked.Error() != err.Error() {
			t.Errorf("%s: opening a session gives %v, Check %v", device, err, checked)
		}
		var u *Unavailable
		if !errors.As(err, &u) || u.Cure == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q in it", device, err, want)
		}
	}
}

// TestLibraryOfKnownProvider: a provider that is known gets its options, however it is named.
func TestLibraryOfKnownProvider(t *testing.T) {
	plugged(t, WebGPU, add(1), Options{}) // which has had the Vulkan driver found
	cache, err := disk.CacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	p := plugins[WebGPU]
	x, y := value("x", onnx.Int64, onnx.Dims(3)...), value("y", onnx.Bool, onnx.Dims(3)...)
	m := graph([]*onnx.Value{x}, []*onnx.Value{y}, nil, &onnx.Node{Op: "Equal", Inputs: []*onnx.Value{x, x}, Outputs: []*onnx.Value{y}})
	s := open1(t, m, Options{Strict: true, Device: named(t, filepath.Join(cache, p.Folder, p.library()))}) // it starts by enableInt64 alone
	if d := s.Device(); d.Kind != WebGPU || !strings.HasSuffix(d.String(), p.library()+":0") {
		t.Errorf("%v of kind %v", d, d.Kind)
	}
}

// TestWrongOptions: an option that a provider which starts does not take, or would pass
// over, is a mistake in what was asked for, whatever the model.
func TestWrongOptions(t *testing.T) {
	plugged(t, WebGPU, add(1), Options{ProviderOptions: map[string]string{"enableInt64": "0"}})
	for want, options := range map[string]map[string]string{
		"the provider of webgpu:0 has no option enableint64, foo":         {"foo": "1", "enableint64": "0"},
		"device webgpu:0 does not take enableInt64=maybe: Invalid enable": {"enableInt64": "maybe"},
	} {
		_, err := Open(encode(t, add(1)), Options{Device: Device{Kind: WebGPU}, ProviderOptions: options})
		for _, err := range []error{err, Check(Device{Kind: WebGPU}, options)} {
			var request *RequestError
			if !errors.As(err, &request) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q in it", err, want)
			}
		}
	}
}

func TestOptionKeys(t *testing.T) {
	own := plugin{name: "MyEP", options: map[string]string{"speed": "1"}}
	for text, want := range map[string]string{
		"\x7fELF\x00ep.myep.speed\x00x\x00ep.myep.depth\x00": "other",
		"ep.myep.depth\x00speed\x00":                         "", // it has ours elsewhere, and so perhaps others
		"":                                                   "",
	} {
		file := filepath.Join(t.TempDir(), "p.so")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		asked := map[string]string{"speed": "1", "depth": "2", "other": "3"}
		if got := strings.Join(unnamed(asked, optionKeys(file, own)), " "); got != want {
			t.Errorf("%q: not named %q, want %q", text, got, want)
		}
	}
}

// TestNoDevice: a provider that is installed where it takes no device says what
// there is, as OpenVINO's does on processors that are not Intel's.
func TestNoDevice(t *testing.T) {
	needLibrary(t)
	err := Check(Device{Kind: OpenVINO}, nil)
	if err == nil || strings.Contains(err.Error(), noLibrary) {
		t.Skipf("tier openvino: %v", err)
	}
	var u *Unavailable
	if !errors.As(err, &u) || u.ExitCode() != 4 || !strings.Contains(err.Error(), noDevice+": CPU ") || !strings.HasSuffix(err.Error(), "Intel alone; use `device cpu`") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

// TestFloat16: where a type is lacking, that is said before any graph is built. The
// Vulkan driver in software lacks it.
func TestFloat16(t *testing.T) {
	for _, kind := range append(deviceKinds, CPU) {
		t.Run(kind.String(), func(t *testing.T) {
			plugged(t, kind, add(1), Options{})
			_, err := open1(t, unary("Neg", onnx.Float16, onnx.Dims(1)...), Options{Device: Device{Kind: kind}}).Run(map[string]*onnx.Tensor{"x": onnx.Of([]float32{1}, 1).ToFloat16()})
			checked := CheckFloat16(Device{Kind: kind}, nil)
			var u *Unavailable
			if (checked == nil) != (err == nil) || checked != nil && (!errors.As(checked, &u) || u.Cure == "" || strings.Contains(checked.Error(), "\n")) {
				t.Errorf("checked %v, ran %v", checked, err)
			}
			t.Log(checked)
		})
	}
}

func TestParseDevice(t *testing.T) {
	web := plugins[WebGPU].library()
	for text, want := range map[string]Device{
		"": {}, "cpu": {}, "CPU": {}, "cuda": {Kind: CUDA}, "cuda:2": {Kind: CUDA, Index: 2}, "3": {Kind: CUDA, Index: 3},
		"webgpu": {Kind: WebGPU}, "WebGPU:1": {Kind: WebGPU, Index: 1}, "openvino": {Kind: OpenVINO},
		"/x/My.so": {Kind: "/x/My.so", Library: "/x/My.so"}, "/x/My.so.1.2:2": {Kind: "/x/My.so.1.2", Index: 2, Library: "/x/My.so.1.2"}, "My.dylib": {Kind: "My.dylib", Library: "My.dylib"},
		"/x/" + web: {Kind: WebGPU, Library: "/x/" + web}, web + ".4:1": {Kind: WebGPU, Index: 1, Library: web + ".4"}, "My" + web: {Kind: Kind("My" + web), Library: "My" + web},
	} {
		if got, err := ParseDevice(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]Device{"cuda:1": {Kind: CUDA, Index: 1}, "cpu": {}} { // as files keep it
		var got Device
		if kept, err := want.MarshalText(); err != nil || string(kept) != text || got.UnmarshalText(kept) != nil || got != want {
			t.Errorf("%v is kept as %s and read as %v", want, kept, got)
		}
	}
	for _, text := range []string{"tpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "0:1", "0,1", ":", "webgpu:a", "/x/folder", "x.so.txt"} {
		got, err := ParseDevice(text)
		var request *RequestError
		if !errors.As(err, &request) {
			t.Errorf("%q was read as %v, %v", text, got, err)
		}
	}
}

// TestDeviceBeyondLast: a provider that works has no more devices than it says.
func TestDeviceBeyondLast(t *testing.T) {
	needLibrary(t)
	devices, err := (Device{Kind: WebGPU}).Devices()
	if err != nil {
		t.Skipf("tier webgpu: %v", err)
	}
	var u *Unavailable
	if err := Check(Device{Kind: WebGPU, Index: 99}, nil); !errors.As(err, &u) || u.Cure != fmt.Sprintf("the last one is `device webgpu:%d`", len(devices)-1) {
		t.Error(err)
	}
}
