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

// TestNamedDevice: a named device that does not start is an error, never another device.
func TestNamedDevice(t *testing.T) {
	needLibrary(t)
	for _, name := range []string{"cuda", "cuda:7", "0"} {
		s, err := Open(encode(t, add(1)), Options{Device: name})
		if err == nil {
			if !strings.HasPrefix(s.Device(), "cuda:") {
				t.Errorf("asked for %s, got %s", name, s.Device())
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
	s, err := Open(encode(t, add(1)), Options{Device: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(s.Why(), "auto chose "+s.Device()) {
		t.Errorf("on %s, why: %q", s.Device(), s.Why())
	}
	t.Log(s.Why())
	if err := Check("auto", map[string]string{"none": "1"}); err == nil || !strings.Contains(err.Error(), "none") || !strings.Contains(err.Error(), "auto chose "+s.Device()) {
		t.Errorf("an option that nothing takes: %v", err)
	}
}

func TestProviders(t *testing.T) {
	needLibrary(t)
	list, err := Providers()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]Provider{}
	for _, p := range list {
		seen[p.Device] = p
		if p.Available == (p.Error != nil) {
			t.Errorf("%s: available %v, error %v", p.Name, p.Available, p.Error)
		}
		t.Logf("%s %v %s %v", p.Name, p.Available, p.Hardware, p.Error)
	}
	if !seen["cpu"].Available {
		t.Errorf("the CPU provider does not run: %v", seen["cpu"].Error)
	}
	for _, device := range []string{"cuda", "webgpu", "openvino"} {
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
		"webgpu": "setup.sh --webgpu", "openvino:1": "setup.sh --openvino", none: "no library " + none, junk + ":0": "junk.so",
	} {
		_, err := Open(encode(t, add(1)), Options{Device: device})
		if checked := Check(device, nil); checked == nil || err == nil || checked.Error() != err.Error() {
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
	plugged(t, "webgpu", add(1), Options{}) // which has had the Vulkan driver found
	cache, err := disk.CacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	p := plugins["webgpu"]
	x, y := value("x", onnx.Int64, onnx.Dims(3)...), value("y", onnx.Bool, onnx.Dims(3)...)
	m := graph([]*onnx.Value{x}, []*onnx.Value{y}, nil, &onnx.Node{Op: "Equal", Inputs: []*onnx.Value{x, x}, Outputs: []*onnx.Value{y}})
	s := plugged(t, filepath.Join(cache, p.folder, p.library), m, Options{Strict: true}) // it starts by enableInt64 alone
	if s.Kind() != "webgpu" || !strings.HasSuffix(s.Device(), p.library+":0") {
		t.Errorf("%s, %s", s.Kind(), s.Device())
	}
}

// TestWrongOptions: an option that a provider which starts does not take, or would pass
// over, is a mistake in what was asked for, whatever the model.
func TestWrongOptions(t *testing.T) {
	plugged(t, "webgpu", add(1), Options{ProviderOptions: map[string]string{"enableInt64": "0"}})
	for want, options := range map[string]map[string]string{
		"the provider of webgpu:0 has no option enableint64, foo":         {"foo": "1", "enableint64": "0"},
		"device webgpu:0 does not take enableInt64=maybe: Invalid enable": {"enableInt64": "maybe"},
	} {
		_, err := Open(encode(t, add(1)), Options{Device: "webgpu", ProviderOptions: options})
		for _, err := range []error{err, Check("webgpu", options)} {
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
	err := Check("openvino", nil)
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
	for _, kind := range append(deviceKinds, cpu) {
		t.Run(kind, func(t *testing.T) {
			plugged(t, kind, add(1), Options{})
			_, err := open1(t, unary("Neg", onnx.Float16, onnx.Dims(1)...), Options{Device: kind}).Run(map[string]*onnx.Tensor{"x": onnx.Of([]float32{1}, 1).ToFloat16()})
			checked := CheckFloat16(kind, nil)
			var u *Unavailable
			if (checked == nil) != (err == nil) || checked != nil && (!errors.As(checked, &u) || u.Cure == "" || strings.Contains(checked.Error(), "\n")) {
				t.Errorf("checked %v, ran %v", checked, err)
			}
			t.Log(checked)
		})
	}
}

func TestParseDevice(t *testing.T) {
	web := plugins["webgpu"].library
	for text, want := range map[string]Device{
		"": {Kind: cpu}, "cpu": {Kind: cpu}, "CPU": {Kind: cpu}, "cuda": {Kind: cuda}, "cuda:2": {Kind: cuda, Index: 2}, "3": {Kind: cuda, Index: 3},
		"webgpu": {Kind: "webgpu"}, "WebGPU:1": {Kind: "webgpu", Index: 1}, "openvino": {Kind: "openvino"},
		"/x/My.so": {"/x/My.so", 0, "/x/My.so"}, "/x/My.so.1.2:2": {"/x/My.so.1.2", 2, "/x/My.so.1.2"}, "My.dylib": {"My.dylib", 0, "My.dylib"},
		"/x/" + web: {"webgpu", 0, "/x/" + web}, web + ".4:1": {"webgpu", 1, web + ".4"}, "My" + web: {"My" + web, 0, "My" + web},
	} {
		if got, err := ParseDevice(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
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
	devices, err := (Device{Kind: "webgpu"}).Devices()
	if err != nil {
		t.Skipf("tier webgpu: %v", err)
	}
	var u *Unavailable
	if err := Check("webgpu:99", nil); !errors.As(err, &u) || u.Cure != fmt.Sprintf("the last one is `device webgpu:%d`", len(devices)-1) {
		t.Error(err)
	}
}
