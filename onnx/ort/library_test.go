package ort

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"yolofreeze/onnx/ort/packages"
)

func TestFind(t *testing.T) {
	t.Run("variable", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "mine.so")
		if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv(LibraryVariable, file)
		if got, err := Find(); err != nil || got != file {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("variable names nothing", func(t *testing.T) {
		t.Setenv(LibraryVariable, "/no/such/lib.so")
		_, err := Find()
		var u *Unavailable
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "/no/such/lib.so") || !strings.Contains(err.Error(), "unset") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("beside the program", func(t *testing.T) { // before that of the cache, but not before CUDA
		t.Setenv(LibraryVariable, "")
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		lib := filepath.Join(filepath.Dir(program), "lib")
		t.Cleanup(func() { os.RemoveAll(lib) })
		beside, cuda := filepath.Join(lib, libraryPlaces()[0].pattern), filepath.Join(libraryPlaces()[0].folder, libraryPlaces()[0].pattern)
		for _, file := range []string{libraryPlaces()[2].folder + "/" + libraryPlaces()[2].pattern, beside, cuda} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			if got, err := Find(); err != nil || got != file {
				t.Errorf("got %q, %v, want %s", got, err, file)
			}
		}
	})
	t.Run("cache", func(t *testing.T) {
		cache := filepath.Join(t.TempDir(), "of [me]") // no pattern
		t.Setenv(LibraryVariable, "")
		t.Setenv("XDG_CACHE_HOME", cache)
		for _, p := range []packages.Package{packages.Runtime, packages.CUDA} { // CUDA is preferred once it is there
			folder := filepath.Join(cache, "yolofreeze", p.Folder)
			file := filepath.Join(folder, libraryPlaces()[0].pattern)
			if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			if got, err := Find(); err != nil || got != file {
				t.Errorf("got %q, %v, want %s", got, err, file)
			}
		}
	})
}

func TestRecent(t *testing.T) {
	for version, want := range map[string]bool{"1.27.0": true, "1.30.0": true, "1.26.3": false, "1.9.1": false, "2.0.0": true, "x": false, "": false} {
		if recent(version) != want {
			t.Errorf("recent(%q) = %v", version, !want)
		}
	}
}

// TestCUDAOptions has the CUDA provider parse the options that Open sets and that users
// may; it needs the provider's library and CUDA, not a GPU: where there is no driver,
// a library stands in for it, in a process of its own.
func TestCUDAOptions(t *testing.T) {
	needLibrary(t)
	if !has("CUDAExecutionProvider") {
		t.Skip("tier cuda: the library was built without CUDA")
	}
	if Driver() == "" && os.Getenv("YOLOFREEZE_TEST_OPTIONS") == "" {
		folder := t.TempDir()
		standIn(t, folder, "libcuda.so.1", oldDrivers[1])
		if out, err := rerun(t, "TestCUDAOptions", "YOLOFREEZE_TEST_OPTIONS=1", "LD_LIBRARY_PATH="+folder, LibraryVariable+"="+Path()); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	preloadCUDA(filepath.Join(filepath.Dir(Path()), "cuda"))
	c, err := ort.NewCUDAProviderOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Destroy()
	for _, options := range []map[string]string{
		cudaDefaults, Device{Kind: CUDA}.capturing(nil),
		{"gpu_mem_limit": "2147483648"}, {"arena_extend_strategy": "kNextPowerOfTwo"}, {"use_tf32": "0"}, {"prefer_nhwc": "1"},
		{"cudnn_conv_algo_search": "EXHAUSTIVE"}, {"cudnn_conv_use_max_workspace": "0"},
	} {
		if err := c.Update(options); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
	for _, options := range []map[string]string{{"cudnn_conv_algo_serch": "HEURISTIC"}, {"cudnn_conv_algo_search": "HEURISTICS"}, {"gpu_mem_limit": "2G"}} {
		if err := c.Update(options); err == nil {
			t.Errorf("%v passed, so this test shows nothing", options)
		}
	}
}

func TestTidy(t *testing.T) {
	for in, want := range map[string]string{
		"a\n  b": "a b",
		"/x/config.cc:70 onnxruntime::Config onnxruntime::{anonymous}::Parse(const onnxruntime::Options&) Invalid value: maybe": "Invalid value: maybe",
		"Error creating C session: shader.cc:4 Program Conv requires f16":                                                       "Program Conv requires f16",
		"/x/y.cc:12 T& f() [ONNXRuntimeError] : 1 : FAIL : Failed to load":                                                      "Failed to load",
		"/a.cc:1 f() [ONNXRuntimeError] : 1 : FAIL : b.h:187 CUDA failure 100: no device ; GPU=-1 ; hostname=vm ; file=x":       "CUDA failure 100: no device",
	} {
		if got := tidy(in); got != want {
			t.Errorf("%q gave %q, want %q", in, got, want)
		}
	}
}

// TestUnfitLibrary loads a file that is no ONNX Runtime, in a process of its own.
func TestUnfitLibrary(t *testing.T) {
	if os.Getenv("YOLOFREEZE_TEST_UNFIT") != "" {
		err := Init()
		var u *Unavailable
		if !errors.As(err, &u) || u.Path == "" || u.Cure == "" {
			t.Errorf("got %v", err)
		}
		if Init() != err {
			t.Error("the second Init does not return the first one's error")
		}
		if Version() != "" {
			t.Error("a version without a library")
		}
		return
	}
	file := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(file, []byte("<html>404</html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := rerun(t, "TestUnfitLibrary", "YOLOFREEZE_TEST_UNFIT=1", LibraryVariable+"="+file)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestNoTelemetry: the library neither keeps nor sends what it was used for, which it
// would begin by files in the user's cache folder and in the one for temporary files.
func TestNoTelemetry(t *testing.T) {
	needLibrary(t)
	if os.Getenv("YOLOFREEZE_TEST_TELEMETRY") != "" {
		open1(t, add(1), Options{})
		return
	}
	cache, temporary := t.TempDir(), t.TempDir()
	os.Unsetenv(noTelemetry) // which this process has set
	defer os.Setenv(noTelemetry, "1")
	out, err := rerun(t, "TestNoTelemetry", "YOLOFREEZE_TEST_TELEMETRY=1", LibraryVariable+"="+Path(), "XDG_CACHE_HOME="+cache, "TMPDIR="+temporary)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, folder := range []string{cache, temporary} {
		if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
			t.Errorf("the library left %v, %v", files, err)
		}
	}
}

// rerun runs one test of this binary in a new process with further variables.
func rerun(t *testing.T, name string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "--- PASS: "+name) {
		err = errors.New("it has not passed, but was skipped")
	}
	return string(out), err
}
