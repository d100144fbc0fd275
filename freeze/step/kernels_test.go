package step

import (
	"errors"
	"strings"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5/loss"
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

// TestWholeLayers: what trains, and takes its batch's statistics, is computed by whole layers;
// what is constant, and Detect's convolutions alone, by stock kernels.
func TestWholeLayers(t *testing.T) {
	m := fixture.SmallModel(t)
	network, err := m.Freezable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		frozen string
		bn     freeze.BN
		whole  bool
		stock  int // convolutions that stay
	}{
		{"0", freeze.Eval, true, 0},
		{"1", freeze.Eval, true, 1},
		{"3", freeze.Eval, true, 8},
		{"4", freeze.Eval, false, 10},
		{"4", freeze.Batch, true, 0},
	} {
		selectors, err := freeze.Parse([]string{c.frozen})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := freeze.New(network, selectors, freeze.Policy{Mode: c.bn})
		if err != nil {
			t.Fatal(err)
		}
		if got := WholeLayers(plan, m.Net.Head()); got != c.whole {
			t.Errorf("%+v: whole layers %v", c, got)
		}
		g, err := Build(&Spec{Net: m.Net, State: m.State, Plan: plan, Batch: 2, Height: 64, Width: 64, Loss: loss.Options{AnchorT: 4},
			Optimizer: optim.Options{Algorithm: "SGD"}, Native: true})
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, n := range g.Training.Nodes {
			count[n.Op]++
		}
		if count["Conv"] != c.stock || (count["ConvBatchNorm"]+count["ConvAct"] > 0) != c.whole || c.stock == 0 && count["MaxPool"] > 0 {
			t.Errorf("%+v: %v", c, count)
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
