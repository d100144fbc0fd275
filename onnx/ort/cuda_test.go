package ort

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCudaCure(t *testing.T) {
	const loaded = "580.65.06"
	for _, c := range []struct {
		reason, driver string
		major          int
		want           string
	}{
		{"CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "535.104.05", 13,
			"the NVIDIA driver 535.104.05 is too old for this library's CUDA 13: install 580.65 or newer"},
		{"CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "470.1", 12, "CUDA 12: install 525.60 or newer"},
		{"CUDA failure 804: forward compatibility was attempted on non supported HW", "", 0, "the NVIDIA driver is too old for this library's CUDA: install 580.65"},
		{"CUDA failure 803: system has unsupported display driver / cuda driver combination", loaded, 13, "do not fit together"},
		{"CUDA failure 209: no kernel image is available for execution on the device", loaded, 13, "generation"},
		{"CUDA failure 100: no CUDA-capable device is detected", loaded, 13, "nvidia-smi"},
		{"Failed to load library libonnxruntime_providers_cuda.so: libcublasLt.so.12: cannot open", loaded, 12, "install CUDA 12"},
		{"libcudnn.so.9: cannot open shared object file", loaded, 13, "cuDNN 9"},
		{"CUDNN failure 1002: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", loaded, 13, "several versions"},
		{"libcublas.so.13: undefined symbol: cublasLtX", loaded, 13, "LD_LIBRARY_PATH"},
		{"libonnxruntime_providers_cuda.so: undefined symbol: cuTensorMapEncodeTiled", "470.82", 13, "470.82 is too old"},
		{"Failed to load library /x/libonnxruntime_providers_shared.so with error: cannot open shared object file", loaded, 13, "beside the runtime's: run yolofreeze setup"},
		{"libcuda.so.1: cannot open shared object file", "", 13, "driver is missing: install 580.65"},
		{"something else", "535.1", 13, "too old"},
		{"something else", loaded, 13, "`device cpu`"},
		{"something else", "", 0, "`device cpu`"},
	} {
		if got := cudaCure(c.reason, c.major, c.driver); !strings.Contains(got, c.want) {
			t.Errorf("%s: cure %q, want %q in it", c.reason, got, c.want)
		}
	}
}

func TestKnownCure(t *testing.T) {
	failed := errors.New("run the training graph: Status Message: CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device")
	if got := KnownCure(Device{Kind: CUDA}, failed); got != noCode {
		t.Errorf("cure %q", got)
	}
	if got := KnownCure(Device{Kind: CUDA}, errors.New("the loss is NaN")); Driver() == "" && got != "" {
		t.Errorf("cure %q of what is not known", got)
	}
	if got := KnownCure(Device{Kind: WebGPU}, failed); got != "" {
		t.Errorf("cure %q of another device", got)
	}
}

func TestDriverOf(t *testing.T) {
	for text, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  gcc version 12.2.0 (Debian)\n": "535.104.05",
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (builder)\n":                                        "580.65.06",
		"GCC version:  gcc version 12.2.0 \n": "",
	} {
		if got := driverOf(text); got != want {
			t.Errorf("%q of %q, want %q", got, text, want)
		}
	}
}

func TestLinkedCUDA(t *testing.T) {
	if got := linkedCUDA([]string{"libc.so.6", "libcublasLt.so.13", "libcudart.so.13"}); got != 13 {
		t.Errorf("CUDA %d", got)
	}
	if got := linkedCUDA([]string{"libcublas.so.12.4", "libc.so.6"}); got != 0 {
		t.Errorf("CUDA %d", got)
	}
	if got := needsCUDA(t.TempDir()); got != 0 {
		t.Errorf("CUDA %d of no library", got)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		version, than string
		want          bool
	}{{"535.104.05", "580.65", true}, {"580.65.06", "580.65", false}, {"1000.1", "580.65", false}, {"580.9", "580.65", true}} {
		if got := older(c.version, c.than); got != c.want {
			t.Errorf("%s older than %s: %v", c.version, c.than, got)
		}
	}
}

// TestOldDriver starts the true CUDA provider over libraries in the place of the
// driver's, as old ones look to it, each in a process of its own.
func TestOldDriver(t *testing.T) {
	if want := os.Getenv("YOLOFREEZE_TEST_DRIVER"); want != "" {
		err := Check(Device{Kind: CUDA}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
		return
	}
	needLibrary(t)
	if !has(cudaProvider) || Driver() != "" {
		t.Skip("tier cuda: it takes a library with CUDA and no NVIDIA driver")
	}
	for _, source := range oldDrivers {
		folder := t.TempDir()
		standIn(t, folder, "libcuda.so.1", source)
		out, err := rerun(t, "TestOldDriver", "LD_LIBRARY_PATH="+folder, LibraryVariable+"="+Path(),
			"YOLOFREEZE_TEST_DRIVER=the NVIDIA driver is too old for this library's CUDA 13: install 580.65 or newer")
		if err != nil {
			t.Errorf("%s: %v\n%s", source, err, out)
		}
	}
}

// oldDrivers are sources of libraries that look to the provider as old drivers do: one
// lacks a function, one has it and cannot start.
var oldDrivers = []string{"int nothing;", "int cuTensorMapEncodeTiled(void) { return 999; }"}

// standIn compiles a library that stands in for the one of that name.
func standIn(t *testing.T, folder, name, source string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler for a library that stands in for " + name)
	}
	file := filepath.Join(folder, "a.c")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-Wl,-soname,"+name, "-o", filepath.Join(folder, name), file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
