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

	"yolofreeze/freeze/features"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
)

// cachedRun is a run from cached features of its first two layers, each epoch with views of its own.
func cachedRun(t *testing.T) options.Options {
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
		if !bytes.Equal(fixture.MustRead(t, filepath.Join(first.RunDir, name)), fixture.MustRead(t, filepath.Join(second.RunDir, name))) {
			t.Errorf("%s differs when the cache was there already", name)
		}
	}
	checkWeights(t, o, second)
	if left, _ := filepath.Glob(filepath.Join(features.Folder(), "writing-*")); left != nil {
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
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	for stop := -o.Epochs + 1; stop <= q.batches; stop++ { // under 0: after that many epochs
		if stop == 0 { // while the cache is made
			if err := os.RemoveAll(features.Folder()); err != nil {
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
		mustRun(t, resumed(t, dir), &quiet{t: t})
		sameFiles(t, straight, dir)
	}
}

func TestCachedFeaturesRefused(t *testing.T) {
	o := cachedRun(t)
	for want, change := range map[string]func(*options.Options){
		"model.0.conv.weight trains: freeze layers from the first one on": func(o *options.Options) { o.Freeze = []string{"1,2"} },
		"the statistics of model.0.bn move":                               func(o *options.Options) { o.BN = []string{"batch"} },
		"the budget (`feature-budget`) is 0.4 MB; `cache-features=1` fits, `feature-type fp16` halves it": func(o *options.Options) {
			o.FeatureBudget = 400e3 / 1e9
		},
		"not even one view fits":               func(o *options.Options) { o.FeatureBudget = 1e-6 },
		"cache-features -1":                    func(o *options.Options) { o.CacheFeatures = -1 },
		`feature-type "int8"`:                  func(o *options.Options) { o.FeatureType = "int8" },
		"feature-budget NaN":                   func(o *options.Options) { o.FeatureBudget = math.NaN() },
		"not with rect":                        func(o *options.Options) { o.Rect = true },
		"image-weights, multi-scale":           func(o *options.Options) { o.MultiScale = true },
		"freeze layers from the first one on,": func(o *options.Options) { o.Freeze = nil },
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

// TestDamagedFeatures: a cache that is not as it was written is made again, with a line that
// says why, and the run ends in the same bytes; half a cache of a killed run is swept; other
// caches make room.
func TestDamagedFeatures(t *testing.T) {
	o := cachedRun(t)
	want := fixture.MustRead(t, filepath.Join(mustRun(t, o, &quiet{t: t}).RunDir, "results.csv"))
	data, _ := filepath.Glob(filepath.Join(features.Folder(), "*", features.DataFile))
	if len(data) != 1 {
		t.Fatalf("caches %v", data)
	}
	half := filepath.Join(features.Folder(), "writing-123", features.DataFile)
	if err := errors.Join(os.Mkdir(filepath.Dir(half), 0o700), os.WriteFile(half, make([]byte, 100), 0o600)); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(filepath.Dir(data[0]), features.IndexFile)
	edited := func(change func(*safetensors.File)) func([]byte) []byte { // with a checksum that fits
		return func([]byte) []byte {
			f, err := safetensors.Read(index)
			if err != nil {
				t.Fatal(err)
			}
			change(f)
			f.Metadata[features.SumKey] = safetensors.Sum(f, features.SumKey)
			if err := safetensors.Write(index, f); err != nil {
				t.Fatal(err)
			}
			return fixture.MustRead(t, index)
		}
	}
	for _, c := range []struct {
		file   string
		change func([]byte) []byte
		says   string
	}{
		{data[0], func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, "has checksum"},
		{data[0], func(b []byte) []byte { return b[:len(b)-1] }, features.DataFile + " has"},
		{index, func(b []byte) []byte { return b[:len(b)/2] }, features.IndexFile},
		{index, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "does not have its checksum"},
		{index, edited(func(f *safetensors.File) { onnx.Data[int64](f.Tensors["class"])[0] = 99 }), "is of class 99"},
		{index, edited(func(f *safetensors.File) { onnx.Data[float32](f.Tensors["box"])[0] = float32(math.NaN()) }), "has the box [NaN"},
		{index, edited(func(f *safetensors.File) { onnx.Data[int64](f.Tensors["first"])[1] = 1 << 40 }), "has objects"},
	} {
		if err := os.WriteFile(c.file, c.change(fixture.MustRead(t, c.file)), 0o600); err != nil {
			t.Fatal(err)
		}
		q := &quiet{t: t}
		if got := fixture.MustRead(t, filepath.Join(mustRun(t, o, q).RunDir, "results.csv")); !bytes.Equal(got, want) {
			t.Errorf("%s: other results", c.says)
		}
		if !q.heard(c.says) || !q.heard("it is made again") {
			t.Errorf("no line says %q: %q", c.says, q.lines)
		}
	}
	if _, err := os.Stat(filepath.Dir(half)); err == nil {
		t.Error("half a cache is left")
	}

	other := o
	other.Seed, other.FeatureBudget = 1, 1.5*float64(len(fixture.MustRead(t, data[0])))/1e9
	q := &quiet{t: t}
	mustRun(t, other, q)
	if disk.IsFile(data[0]) || !q.heard("feature cache: removing") {
		t.Error("the older cache was kept beyond the budget")
	}
}
