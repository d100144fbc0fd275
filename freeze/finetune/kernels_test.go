package finetune

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
)

// nativeRun is smallRun with native kernels, nothing frozen.
func nativeRun(t *testing.T) options.Options {
	t.Helper()
	if err := ort.InitNative(); err != nil {
		t.Skipf("tier native: %v", err)
	}
	o := smallRun(t)
	t.Setenv("YOLOFREEZE_DNNL", ort.NativePath()) // smallRun has a cache folder of its own
	o.Freeze = nil
	return o
}

// TestResumeNative: native kernels are taken where they are there, the run says so, and
// interrupted it ends in the bytes of one that was not; batches of another size among them.
func TestResumeNative(t *testing.T) {
	o := nativeRun(t)
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	dir := report.RunDir
	if report.Kernels != step.Native || !q.heard("device cpu, native kernels") || !strings.Contains(string(fixture.MustRead(t, filepath.Join(dir, "opt.yaml"))), "\nkernels: native\n") {
		t.Errorf("kernels %q, said %q", report.Kernels, q.lines)
	}
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Run(ctx, o, &quiet{t: t, onBatch: func(n int) {
		if n == 5 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	mustRun(t, resumed(t, dir), &quiet{t: t})
	sameFiles(t, straight, dir)
}

// TestKernelsByPlan: where Detect alone trains, auto leaves it to stock kernels; native ones that
// were asked for stay, and when such a run is resumed, too.
func TestKernelsByPlan(t *testing.T) {
	o := nativeRun(t)
	o.Freeze, o.Epochs = []string{"4"}, 1
	if report := mustRun(t, o, &quiet{t: t}); report.Kernels != step.Stock {
		t.Errorf("auto: %s", report.Kernels)
	}
	o.Kernels, o.Epochs = step.Native, 2
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := Run(ctx, o, &quiet{t: t, onBatch: func(int) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if report := mustRun(t, resumed(t, filepath.Join(o.Project, o.Name+"2")), &quiet{t: t}); report.Kernels != step.Native {
		t.Errorf("native, resumed: %s", report.Kernels)
	}
}

// TestWithoutNative: without oneDNN the run trains with stock kernels and says why, once;
// asked for by name, native kernels are an error with its cure, and nothing is written.
func TestWithoutNative(t *testing.T) {
	o := smallRun(t)
	library := filepath.Join(t.TempDir(), "libdnnl.so.3")
	t.Setenv("YOLOFREEZE_DNNL", library)
	for _, name := range []string{"is not there", "is none"} {
		o.Kernels, o.Name, o.Epochs = step.Native, "refused", 1
		_, err := Run(t.Context(), o, &quiet{t: t})
		var failed *ort.Unavailable
		if !errors.As(err, &failed) || failed.ExitCode() != 4 || !strings.Contains(err.Error(), library) || !strings.HasSuffix(err.Error(), ", or use `kernels stock`") {
			t.Errorf("a library that %s: %v", name, err)
		}
		if disk.IsFolder(o.Project) {
			t.Errorf("a library that %s: %s was made", name, o.Project)
		}
		if err := os.WriteFile(library, []byte("no library"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	q := &quiet{t: t}
	o.Kernels = step.Kernels[0]
	report := mustRun(t, o, q)
	if all := strings.Join(q.lines, "\n"); report.Kernels != step.Stock || strings.Count(all, "stock kernels: oneDNN is not available") != 1 {
		t.Errorf("kernels %q, said %q", report.Kernels, q.lines)
	}
}
