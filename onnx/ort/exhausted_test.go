package ort

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"yolofreeze/onnx"
)

func TestOutOfMemory(t *testing.T) {
	for text, want := range map[string]bool{
		"Non-zero status code returned while running Conv node: BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 104857600": true,
		"Available memory of 12 is smaller than requested bytes of 256":                                                                                         true,
		"CUDA failure 2: out of memory":                   true,
		"CUDNN failure 4002: CUDNN_STATUS_ALLOC_FAILED":   true,
		"Status Message: out of memory for a convolution": true, // of native kernels
		"std::bad_alloc": true,
		"Got invalid dimensions for input: images":                   false,
		"CUDA failure 700: an illegal memory access was encountered": false,
	} {
		if got := OutOfMemory(errors.New(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if OutOfMemory(nil) {
		t.Error("no error")
	}
}

// TestRunOutOfMemory asks the runtime for more than an address space holds.
func TestRunOutOfMemory(t *testing.T) {
	const size = 1 << 46
	x, y, shape := value("x", onnx.Float, onnx.Dims(1)...), value("y", onnx.Float, onnx.Dims(size)...), constant("shape", onnx.Of([]int64{size}, 1))
	s := open1(t, graph([]*onnx.Value{x}, []*onnx.Value{y}, []*onnx.Value{shape},
		&onnx.Node{Op: "Expand", Inputs: []*onnx.Value{x, shape}, Outputs: []*onnx.Value{y}}), Options{})
	_, err := s.Run(map[string]*onnx.Tensor{"x": onnx.Of([]float32{1}, 1)})
	if !OutOfMemory(err) {
		t.Errorf("error %v", err)
	}
	t.Log(err)
}

// TestFreeMemory has a library answer in the place of CUDA's runtime.
func TestFreeMemory(t *testing.T) {
	if _, known := (Device{Kind: WebGPU}).FreeMemory(); known {
		t.Error("the memory of a WebGPU device is known")
	}
	needLibrary(t)
	if has("CUDAExecutionProvider") || runtime.GOOS != "linux" {
		t.Skip("the true library of CUDA may be loaded")
	}
	if _, known := (Device{Kind: CUDA}).FreeMemory(); known {
		t.Error("the memory of a GPU is known without CUDA")
	}
	folder := t.TempDir()
	standIn(t, folder, "libcudart.so.13", `#include <stddef.h>
static int current = 7;
int cudaGetDevice(int *d) { *d = current; return 0; }
int cudaSetDevice(int d) { if (d == 9) return 101; current = d; return 0; }
int cudaMemGetInfo(size_t *free, size_t *total) { *free = 1000 + current; *total = 5000; return 0; }
`)
	if !preload(filepath.Join(folder, "libcudart.so.13")) {
		t.Fatal("it cannot be loaded")
	}
	for range 2 { // the thread's own device is put back
		if free, known := (Device{Kind: CUDA, Index: 1}).FreeMemory(); !known || free != 1001 {
			t.Errorf("%d bytes, known %v", free, known)
		}
	}
	if _, known := (Device{Kind: CUDA, Index: 9}).FreeMemory(); known {
		t.Error("a GPU that is not there has memory")
	}
}

// TestNativeReasonsOfMemory: native kernels say in these words that memory is not to be had.
func TestNativeReasonsOfMemory(t *testing.T) {
	quoted := regexp.MustCompile(`"([^"\n]*\bmemory\b[^"\n]*)"`)
	for _, file := range []string{"conv.c", "node.c", "ort.c"} {
		text, err := os.ReadFile(filepath.Join("native", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range quoted.FindAllStringSubmatch(string(text), -1) {
			if !OutOfMemory(errors.New(found[1])) {
				t.Errorf("%s: %q is not known for a lack of memory", file, found[1])
			}
		}
	}
}
