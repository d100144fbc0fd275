package finetune

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx/disk"
)

// cachedRun is a run from cached features of its first two layers, each epoch with views of its own.
func cachedRun(t *testing.T) Options {
	o := smallRun(t)
	o.Freeze, o.CacheFeatures, o.FeatureType = []string{"2"}, o.Epochs, "fp32"
	return o
}

// TestCachedFeatures: a run from cached features has the losses of one that runs all
// layers on the same pictures, to rounding; another run finds the cache and ends in
// the same bytes; frozen tensors stay as they are.
func TestCachedFeatures(t *testing.T) {
	o := cachedRun(t)
	plain := o
	plain.CacheFeatures = 0
	want, got, again := &quiet{t: t}, &quiet{t: t}, &quiet{t: t}
	mustRun(t, plain, want)
	first := mustRun(t, o, got)
	for i, row := range got.rows {
		for k, loss := range row.Train {
			if w := want.rows[i].Train[k]; !(math.Abs(loss-w) <= 1e-4*w) {
				t.Errorf("epoch %d: loss %d is %g, %g without the cache", i, k, loss, w)
			}
		}
	}
	if !got.heard("feature cache: making") || !got.heard("feature cache: 100 %") || first.Phases.Features <= 0 {
		t.Errorf("no cache was made: %v", got.lines)
	}
	second := mustRun(t, o, again)
	if !again.heard("feature cache: using") {
		t.Errorf("the cache was not found: %v", again.lines)
	}
	for _, name := range []string{"results.csv", "weights/best.safetensors", "weights/best.onnx"} {
		if !bytes.Equal(mustRead(t, filepath.Join(first.RunDir, name)), mustRead(t, filepath.Join(second.RunDir, name))) {
			t.Errorf("%s differs when the cache was there already", name)
		}
	}
	checkWeights(t, o, second)
	if left, _ := filepath.Glob(filepath.Join(featureFolder(), "writing-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}

	half := o
	half.FeatureType, half.CacheFeatures = "fp16", 1
	q := &quiet{t: t}
	mustRun(t, half, q)
	if l := q.rows[0].Train[0]; !(math.Abs(l-want.rows[0].Train[0]) <= 1e-2*l) {
		t.Errorf("box loss %g from float16, want about %g", l, want.rows[0].Train[0])
	}
}

// TestCachedFeaturesResume interrupts while features are made, while they are
// trained from and between epochs, also before and after layers are unfrozen.
func TestCachedFeaturesResume(t *testing.T) {
	o := cachedRun(t)
	o.Unfreeze, o.FeatureType, o.CacheFeatures = []string{"2:1"}, "fp16", 2 // the last epoch trains layer 1 and needs pictures
	straight := map[string][]byte{}
	q := &quiet{t: t}
	dir := mustRun(t, o, q).RunDir
	for _, name := range lasting {
		straight[name] = mustRead(t, filepath.Join(dir, name))
	}
	for stop := -o.Epochs + 1; stop <= q.batches; stop++ { // under 0: after that many epochs
		if stop == 0 { // while the cache is made
			if err := os.RemoveAll(featureFolder()); err != nil {
				t.Fatal(err)
			}
		}
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		r := &quiet{t: t, onBatch: func(n int) {
			if n == stop {
				cancel(stopped)
			}
		}, onEpoch: func(epoch int) {
			if epoch+1 == -stop {
				cancel(stopped)
			}
		}}
		if stop == 0 {
			r.onLine = func(line string) {
				if strings.Contains(line, "feature cache: making") {
					cancel(stopped)
				}
			}
		}
		if _, err := Run(ctx, o, r); !errors.Is(err, stopped) {
			t.Fatalf("stopped at batch %d: %v", stop, err)
		}
		cancel(nil)
		next, err := ResumeOptions(dir)
		if err != nil {
			t.Fatal(err)
		}
		next.ResumeFrom = dir
		mustRun(t, next, &quiet{t: t})
		sameFiles(t, straight, dir)
	}
}

func TestCachedFeaturesRefused(t *testing.T) {
	o := cachedRun(t)
	for want, change := range map[string]func(*Options){
		"model.0.conv.weight trains: freeze layers from the first one on": func(o *Options) { o.Freeze = []string{"1,2"} },
		"the statistics of model.0.bn move":                               func(o *Options) { o.BN = []string{"batch"} },
		"the budget (`feature-budget`) is 0.4 MB; `cache-features=1` fits, `feature-type fp16` halves it": func(o *Options) {
			o.FeatureBudget = 400e3 / 1e9
		},
		"not even one view fits":               func(o *Options) { o.FeatureBudget = 1e-6 },
		"cache-features -1":                    func(o *Options) { o.CacheFeatures = -1 },
		`feature-type "int8"`:                  func(o *Options) { o.FeatureType = "int8" },
		"feature-budget NaN":                   func(o *Options) { o.FeatureBudget = math.NaN() },
		"not with rect":                        func(o *Options) { o.Rect = true },
		"image-weights, multi-scale":           func(o *Options) { o.MultiScale = true },
		"freeze layers from the first one on,": func(o *Options) { o.Freeze = nil },
	} {
		o := o
		change(&o)
		_, err := Run(t.Context(), o, &quiet{t: t})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if _, err := os.Stat(o.Project); err == nil {
			t.Fatalf("%s: a folder was made", want)
		}
	}
}

// TestDamagedFeatures: what the disk has spoilt is an error that names file and record; other caches make room.
func TestDamagedFeatures(t *testing.T) {
	o := cachedRun(t)
	mustRun(t, o, &quiet{t: t})
	data, _ := filepath.Glob(filepath.Join(featureFolder(), "*", featureData))
	if len(data) != 1 {
		t.Fatalf("caches %v", data)
	}
	spoil := func(file string, change func([]byte) []byte, want string) {
		t.Helper()
		whole := mustRead(t, file)
		if err := os.WriteFile(file, change(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), o, &quiet{t: t}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(data[0], func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "has checksum")
	spoil(data[0], func(b []byte) []byte { return b[:len(b)-1] }, "remove the folder: it is made again")
	index := filepath.Join(filepath.Dir(data[0]), featureIndex)
	spoil(index, func(b []byte) []byte { return b[:len(b)/2] }, featureIndex)

	other := o
	other.Seed, other.FeatureBudget = 1, 1.5*float64(len(mustRead(t, data[0])))/1e9
	q := &quiet{t: t}
	mustRun(t, other, q)
	if disk.IsFile(data[0]) || !q.heard("feature cache: removing") {
		t.Error("the older cache was kept beyond the budget")
	}
}
