package finetune

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/ort"
)

// TestRunAMP: a run in mixed precision learns as one in float32 does, and one
// that was interrupted goes on exactly, the scale included.
func TestRunAMP(t *testing.T) {
	for amp, line := range map[string]string{"fp16": "products in float16", "bf16": "products in bfloat16"} {
		t.Run(amp, func(t *testing.T) { runAMP(t, amp, line) })
	}
}

func runAMP(t *testing.T, amp, line string) {
	o := smallRun(t)
	plain := mustRun(t, o, &quiet{t: t})
	q := &quiet{t: t}
	o.AMP, o.Name, o.Hyp.WarmupEpochs = amp, "amp", 0
	report := mustRun(t, o, q)
	if !q.heard(line) {
		t.Error("no line tells of mixed precision")
	}
	if d := math.Abs(report.Metrics.Fitness - plain.Metrics.Fitness); report.Steps+report.Skipped == 0 || d > 0.2 {
		t.Errorf("%+v, in float32 %+v", report, plain)
	}
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(report.RunDir, name))
	}
	if err := os.RemoveAll(report.RunDir); err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	q = &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel(stopped)
		}
	}}
	if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
		t.Fatalf("interrupted run returned %v", err)
	}
	mustRun(t, resumed(t, report.RunDir), &quiet{t: t})
	sameFiles(t, straight, report.RunDir)
}

// TestRunOnDevice trains, is interrupted, goes on and validates on a device, and
// tells or refuses when part of the step falls back to the CPU provider.
func TestRunOnDevice(t *testing.T) {
	o, device := deviceRun(t)
	o.Epochs = 2
	onCPU := &quiet{t: t}
	mustRun(t, o, onCPU)
	o.Device, o.StrictPlacement = device.String(), true
	for key, value := range fixture.DeviceOptions(device).ProviderOptions {
		o.ProviderOptions = append(o.ProviderOptions, key+"="+value)
	}
	for _, name := range []string{"plain", "captured"} {
		t.Run(name, func(t *testing.T) {
			o := o
			if o.Name, o.CUDAGraph = name, name == "captured"; o.CUDAGraph && ort.CheckCapture(device) != nil {
				t.Skip("no graphs are captured there")
			}
			runOnDevice(t, o, onCPU.rows)
		})
	}

	if device.Kind != ort.WebGPU {
		return
	}
	// Without kernels for int64 some nodes go to the CPU provider.
	o.Name, o.Epochs, o.NoVal, o.ProviderOptions = "fallback", 1, true, []string{"enableInt64=0"}
	var refused *step.UnfitError
	if _, err := Run(t.Context(), o, &quiet{t: t}); !errors.As(err, &refused) || !refused.Unavailable() || !strings.Contains(err.Error(), "Equal") {
		t.Errorf("strict placement gave %v", err)
	} else {
		t.Log(err)
	}
	missing(t, filepath.Join(o.Project, o.Name))
	o.StrictPlacement, o.Name = false, "warned"
	q := &quiet{t: t}
	mustRun(t, o, q)
	if !q.heard("warning: 1 Equal of the training graph run on the CPU provider instead of webgpu:0: for a reason that is not known") {
		t.Errorf("no warning of the fallback in %q", q.lines)
	}
}

// deviceRun is a small run and the device to do it on, whose provider's library is in the
// user's own cache folder.
func deviceRun(t *testing.T) (o options.Options, device ort.Device) {
	t.Helper()
	device = fixture.Device(t)
	cache, set := os.LookupEnv("XDG_CACHE_HOME")
	o = smallRun(t)
	if t.Setenv("XDG_CACHE_HOME", cache); !set {
		os.Unsetenv("XDG_CACHE_HOME")
	}
	return o, device
}

// missing demands that a run which did not begin has left nothing behind.
func missing(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there (%v)", dir, err)
	}
}

// TestUnstartedRun: a folder goes with its run, if nothing was in it before.
func TestUnstartedRun(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.ExistOK = 0, true
	dir := filepath.Join(o.Project, o.Name)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	run := func() {
		t.Helper()
		if _, err := Run(stopped, o, &quiet{t: t}); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	}
	run()
	missing(t, dir)
	mustRun(t, o, &quiet{t: t})
	run()
	if _, err := os.Stat(filepath.Join(dir, "opt.yaml")); err != nil {
		t.Errorf("another run's folder: %v", err)
	}
}

// TestDeviceWithoutFloat16 is refused with its cure, before there is a folder.
func TestDeviceWithoutFloat16(t *testing.T) {
	o, device := deviceRun(t)
	if ort.CheckFloat16(device, nil) == nil {
		t.Skipf("%s computes in float16", device)
	}
	o.Device, o.AMP = device.String(), "fp16"
	var unfit *ort.Unavailable
	if _, err := Run(t.Context(), o, &quiet{t: t}); !errors.As(err, &unfit) || !strings.Contains(unfit.Reason.Error(), "f16") {
		t.Errorf("error %v", err)
	}
	missing(t, o.Project)
}

// runOnDevice does a run that is interrupted on the way, and holds it against that on the CPU.
func runOnDevice(t *testing.T, o options.Options, onCPU []runs.Row) {
	t.Helper()
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	q := &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel(stopped)
		}
	}}
	if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
		t.Fatalf("interrupted run returned %v", err)
	}
	again := o
	again.ResumeFrom = filepath.Join(o.Project, o.Name)
	late := &quiet{t: t}
	report := mustRun(t, again, late)
	for i, row := range append(q.rows, late.rows...) {
		for k, want := range onCPU[i].Train {
			if d := math.Abs(row.Train[k] - want); d > 0.01*want {
				t.Errorf("epoch %d: loss %d is %g, on the CPU %g", i, k, row.Train[k], want)
			}
		}
	}
	if m := report.Moved; fixture.HasMemory(report.Placement.Device) && (m.Batches != 2 || m.PerBatch() < 3*3*64*64 || m.PerBatch() > 2*3*3*64*64 || m.State.In == 0 || m.State.Out == 0) {
		t.Errorf("moved %+v", m)
	}
	t.Logf("moved %+v", report.Moved)
	var kept struct {
		Moved     step.Traffic    `json:"moved_bytes"`
		Placement *step.Placement `json:"placement"`
	}
	if err := json.Unmarshal(fixture.MustRead(t, filepath.Join(report.RunDir, "summary.json")), &kept); err != nil || kept.Moved != report.Moved ||
		kept.Placement == nil || kept.Placement.Device != report.Placement.Device {
		t.Errorf("summary.json has %+v, placement %v (%v)", kept.Moved, kept.Placement, err)
	}
	if p := report.Placement; p.Training < 100 || p.Optimizer == 0 || (p.Evaluation == 0) != (p.Device.Kind == ort.CPU) || len(p.Fallbacks) > 0 {
		t.Errorf("placement %v", p)
	} else {
		t.Log(p)
	}
	if q.heard("captured, for up to") != o.CUDAGraph {
		t.Errorf("captured %v, said %q", o.CUDAGraph, q.lines)
	}
}

// TestBFloat16Run: a run on a provider without kernels for bfloat16 is refused before anything is read.
func TestBFloat16Run(t *testing.T) {
	o := options.Defaults()
	o.Device, o.AMP = "webgpu", "bf16"
	var refused *step.UnfitError
	if _, err := Run(t.Context(), o, &quiet{t: t}); !errors.As(err, &refused) || !refused.Unavailable() {
		t.Errorf("%v", err)
	}
}
