package step

import (
	"errors"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// needNative skips a test where oneDNN is absent.
func needNative(t *testing.T) {
	t.Helper()
	if err := ort.InitNative(); err != nil {
		t.Skipf("tier native: %v", err)
	}
}

func TestTryNative(t *testing.T) {
	needNative(t)
	fixture.NeedORT(t)
	if err := TryNative(); err != nil {
		t.Error(err)
	}
}

// TestChooseKernels: what native kernels do not do is refused where they are asked for, and
// left to stock ones otherwise.
func TestChooseKernels(t *testing.T) {
	for _, c := range []struct {
		wish     string
		device   ort.Kind
		products onnx.DType
		reason   string // of refusing
	}{
		{"auto", ort.CPU, onnx.Float16, ""},
		{Native, ort.CPU, onnx.Float16, "native kernels compute in float32"},
		{"auto", ort.CUDA, onnx.Undefined, ""},
		{Native, ort.CUDA, onnx.Undefined, "native kernels are the CPU's, and the device is cuda:0"},
		{Stock, ort.CUDA, onnx.Undefined, ""},
		{Stock, ort.CPU, onnx.Undefined, ""},
	} {
		got, why, err := ChooseKernels(c.wish, ort.Device{Kind: c.device}, c.products)
		if c.reason == "" && (got != Stock || why != nil || err != nil) {
			t.Errorf("%+v: %q, %v, %v", c, got, why, err)
		}
		var usage interface{ Usage() bool }
		if c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason) || !errors.As(err, &usage)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	needNative(t)
	for _, wish := range []string{"auto", Native} {
		if got, why, err := ChooseKernels(wish, ort.Device{}, onnx.Undefined); got != Native || why != nil || err != nil {
			t.Errorf("%s on the CPU: %q, %v, %v", wish, got, why, err)
		}
	}
}

// TestNativeRepeats: with a number of threads, more than pictures too, native kernels give the
// same bytes each time.
func TestNativeRepeats(t *testing.T) {
	needNative(t)
	fixture.NeedORT(t)
	for _, threads := range []int{1, 2, 3} {
		o := ort.Options{Native: true, Threads: threads}
		first, _, err := trialLosses(o)
		if err != nil {
			t.Fatal(err)
		}
		if again, _, err := trialLosses(o); err != nil || again != first {
			t.Errorf("%d threads: losses %v, then %v, %v", threads, first, again, err)
		}
	}
}
