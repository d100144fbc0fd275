package loader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"

	"yolofreeze/dataset"
)

// paintedSamples writes n small pictures, each of a colour and shape of its
// own, with one or two objects.
func paintedSamples(t testing.TB, n int) []dataset.Sample {
	t.Helper()
	dir := t.TempDir()
	samples := make([]dataset.Sample, n)
	for i := range samples {
		w, h := 40+7*(i%5), 40+11*(i%3)
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				img.Set(x, y, color.RGBA{uint8(20 * i), uint8(5 * x), uint8(5 * y), 255})
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%02d.png", i))
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		samples[i] = dataset.Sample{Path: path, Width: w, Height: h, Labels: []dataset.Label{
			{Class: i % 3, X: .5, Y: .5, W: .5, H: .5},
			{Class: 2, X: .3, Y: .4, W: .4, H: .3, Polygon: []dataset.Point{{X: .1, Y: .25}, {X: .5, Y: .25}, {X: .5, Y: .55}}},
		}[:1+i%2]}
	}
	return samples
}

// epochOf gathers copies of an epoch's batches.
func epochOf(t testing.TB, o Options, epoch int) []*Batch {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var out []*Batch
	for b, err := range l.Epoch(context.Background(), epoch) {
		if err != nil {
			t.Fatal(err)
		}
		c := *b
		c.Images, c.Targets = slices.Clone(b.Images), slices.Clone(b.Targets)
		out = append(out, &c)
		l.Recycle(b)
	}
	return out
}

func augmenting(samples []dataset.Sample) Options {
	hyp, _ := dataset.LoadHyp("high")
	hyp.Mosaic, hyp.MixUp, hyp.Degrees, hyp.Shear, hyp.Perspective, hyp.FlipUD = .7, .5, 10, 2, .0003, .3
	return Options{Samples: samples, BatchSize: 8, ImageSize: 64, Shuffle: true, Seed: 3, Augmentation: Augmentation{Augment: true, Hyp: hyp, Nine: .3}}
}

// TestWorkersMakeTheSameBatches also varies the caches and the batches ahead.
func TestWorkersMakeTheSameBatches(t *testing.T) {
	samples := paintedSamples(t, 21)
	variants := map[string]func(*Options){
		"plain":       func(o *Options) {},
		"multi-scale": func(o *Options) { o.MultiScale = true },
		"quad":        func(o *Options) { o.Quad = true },
		"weights": func(o *Options) {
			o.Weights = func(int) []float64 { return slices.Repeat([]float64{1, 2, 0}, 7) }
		},
		"rect":            func(o *Options) { o.Rect = true },
		"no augmentation": func(o *Options) { o.Augment = false },
	}
	for name, change := range variants {
		t.Run(name, func(t *testing.T) {
			o := augmenting(samples)
			change(&o)
			o.Workers = 1
			want := epochOf(t, o, 2)
			o.Workers, o.Prefetch, o.CacheRAM = 5, 7, 20000
			o.Disk = DiskCache{Dir: filepath.Join(t.TempDir(), "pictures"), Budget: 100000}
			for range 2 { // the second time from the disk cache
				if got := epochOf(t, o, 2); !reflect.DeepEqual(got, want) {
					t.Fatal("5 workers made other batches than 1")
				}
			}
			if o.Augment && reflect.DeepEqual(epochOf(t, o, 3)[0].Images, want[0].Images) {
				t.Error("the next epoch begins with the same pictures")
			}
			checkBatches(t, o, want)
		})
	}
}

// checkBatches looks for what holds of any batch.
func checkBatches(t *testing.T, o Options, batches []*Batch) {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if l.Batches() != len(batches) {
		t.Errorf("Batches() is %d, an epoch had %d", l.Batches(), len(batches))
	}
	for i, b := range batches {
		if len(b.Images) != b.Size*3*b.Width*b.Height || len(b.Samples) != b.Size || len(b.Frames) != b.Size {
			t.Fatalf("batch %d: %d bytes, %d samples, %d frames for %d×3×%d×%d", i, len(b.Images), len(b.Samples), len(b.Frames), b.Size, b.Height, b.Width)
		}
		last := int32(0)
		for _, v := range b.Targets {
			if v.Image < last || int(v.Image) >= b.Size || v.W <= 0 || v.H <= 0 ||
				v.X-v.W/2 < -1e-5 || v.X+v.W/2 > 1.00001 || v.Y-v.H/2 < -1e-5 || v.Y+v.H/2 > 1.00001 {
				t.Errorf("batch %d: target %+v", i, v)
			}
			last = v.Image
		}
		if b.Width%32 != 0 || b.Height%32 != 0 {
			t.Errorf("batch %d: %dx%d pixels", i, b.Width, b.Height)
		}
	}
}

func TestEpochTakesEachSampleOnce(t *testing.T) {
	o := augmenting(paintedSamples(t, 21))
	for _, drop := range []bool{false, true} {
		o.DropLast = drop
		var seen []int
		var sizes []int
		for _, b := range epochOf(t, o, 0) {
			seen = append(seen, b.Samples...)
			sizes = append(sizes, b.Size)
		}
		slices.Sort(seen)
		if n := len(slices.Compact(slices.Clone(seen))); n != len(seen) {
			t.Errorf("%d of %d samples differ", n, len(seen))
		}
		if want := map[bool][]int{false: {8, 8, 5}, true: {8, 8}}[drop]; !slices.Equal(sizes, want) {
			t.Errorf("drop last %v: batches of %v, want %v", drop, sizes, want)
		}
	}
	o.BatchSize, o.DropLast = 100, false
	if b := epochOf(t, o, 0); len(b) != 1 || b[0].Size != 21 {
		t.Errorf("a batch larger than the set: %d batches", len(b))
	}
}

func TestCloseMosaic(t *testing.T) {
	o := augmenting(paintedSamples(t, 6))
	o.Hyp = dataset.Hyp{AugmentHyp: dataset.AugmentHyp{Mosaic: 1}}
	o.Epochs, o.CloseMosaic, o.Shuffle = 5, 2, false
	plain := o
	plain.Hyp.Mosaic = 0
	for epoch := range 5 {
		same := reflect.DeepEqual(epochOf(t, o, epoch)[0].Targets, epochOf(t, plain, epoch)[0].Targets)
		if same != (epoch >= 3) {
			t.Errorf("epoch %d: like one without mosaics: %v", epoch, same)
		}
	}
}

func TestBadPictures(t *testing.T) {
	samples := paintedSamples(t, 6)
	for _, i := range []int{1, 4, 5} {
		if err := os.WriteFile(samples[i].Path, []byte("no picture"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	samples[2].Width++ // as if it had changed since
	val := Options{Samples: samples, BatchSize: 3, ImageSize: 64, Reading: Reading{Workers: 2}}
	b := epochOf(t, val, 0)
	if len(b) != 2 || !slices.Equal(b[0].Samples, []int{0}) || !slices.Equal(b[1].Samples, []int{3}) {
		t.Errorf("validation: batches %v", b)
	}
	whole := epochOf(t, Options{Samples: samples[3:4], BatchSize: 1, ImageSize: 64}, 0)[0]
	if !bytes.Equal(b[1].Images, whole.Images) {
		t.Error("the picture after a skipped one is not where it belongs")
	}
	train := augmenting(samples)
	train.BatchSize = 3
	for _, b := range epochOf(t, train, 0) {
		if b.Size != 3 {
			t.Errorf("training: batch of %d pictures, want 3", b.Size)
		}
	}
	l, _ := New(val)
	for range l.Epoch(context.Background(), 0) {
	}
	if bad := l.Bad(); len(bad) != 4 || !strings.Contains(bad[0].Err.Error(), "01.png") || !strings.Contains(bad[1].Err.Error(), "was 55x62") {
		t.Errorf("bad pictures %v", bad)
	}
	val.BadImages = dataset.Reject
	l, _ = New(val)
	var got error
	for b, err := range l.Epoch(context.Background(), 0) {
		if b != nil {
			t.Error("a batch in spite of reject")
		}
		got = err
	}
	var bad *BadPictureError
	if !errors.As(got, &bad) || !strings.Contains(got.Error(), "01.png") {
		t.Errorf("reject: %v", got)
	}
	train.Samples = samples[4:]
	l, _ = New(train)
	for _, err := range l.Epoch(context.Background(), 0) {
		got = err
	}
	if got == nil || !strings.Contains(got.Error(), "none of 2 pictures") {
		t.Errorf("no good picture: %v", got)
	}
}

func TestEpochFrom(t *testing.T) {
	o := augmenting(paintedSamples(t, 21))
	o.MultiScale = true
	want := epochOf(t, o, 1)
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	at := 1
	for b, err := range l.EpochFrom(context.Background(), 1, at) {
		if err != nil || !reflect.DeepEqual(b, want[at]) {
			t.Fatalf("batch %d differs from that of the whole epoch (%v)", at, err)
		}
		at++
	}
	if at != len(want) {
		t.Errorf("ended at batch %d of %d", at, len(want))
	}
}

func TestEpochEndsEarly(t *testing.T) {
	o := augmenting(paintedSamples(t, 21))
	o.BatchSize, o.Workers = 2, 3
	before := runtime.NumGoroutine()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for range l.Epoch(context.Background(), 0) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range l.Epoch(ctx, 0) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled epoch ended with %v", last)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestNewLoaderErrors(t *testing.T) {
	good := augmenting(paintedSamples(t, 6))
	for want, change := range map[string]func(*Options){
		"batch size 0":   func(o *Options) { o.BatchSize = 0 },
		"multiple of 4":  func(o *Options) { o.BatchSize, o.Quad = 6, true },
		"no rect":        func(o *Options) { o.Quad, o.Rect = true, true },
		"image size 100": func(o *Options) { o.ImageSize = 100 },
		"is empty":       func(o *Options) { o.Samples = nil },
		"bad-images":     func(o *Options) { o.BadImages = dataset.Clip },
		"size 0x0":       func(o *Options) { o.Samples = []dataset.Sample{{Path: "x"}} },
		"picture cache":  func(o *Options) { o.Disk.Dir = filepath.Join(o.Samples[0].Path, "x") },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	good.Weights = func(int) []float64 { return nil }
	l, _ := New(good)
	for b, err := range l.Epoch(context.Background(), 0) {
		if b != nil || err == nil {
			t.Error("weights of a wrong length were accepted")
		}
	}
}

func TestDiskCache(t *testing.T) {
	o := augmenting(paintedSamples(t, 4))
	o.Augment = false
	want := epochOf(t, o, 0)
	o.Disk = DiskCache{Dir: filepath.Join(t.TempDir(), "pictures"), Budget: 1 << 20}
	files := func() []string {
		names, _ := filepath.Glob(filepath.Join(o.Disk.Dir, "*"))
		return names
	}
	if got := epochOf(t, o, 0); !reflect.DeepEqual(got, want) || len(files()) != 4 {
		t.Fatalf("%d files", len(files()))
	}
	for i, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[50]++; return b },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { copy(b, "\xff\xff\xff\xff\xff\xff\xff\xff"); return b },
		func([]byte) []byte { return nil },
	} {
		b, _ := os.ReadFile(files()[i])
		if err := os.WriteFile(files()[i], damage(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := epochOf(t, o, 0); !reflect.DeepEqual(got, want) {
		t.Error("a damaged cache changed the pictures")
	}
	old, young := filepath.Join(o.Disk.Dir, "writing-1"), filepath.Join(o.Disk.Dir, "writing-2") // of processes that were killed
	if err := errors.Join(os.WriteFile(old, nil, 0o600), os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)), os.WriteFile(young, make([]byte, 1<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := epochOf(t, o, 0); !reflect.DeepEqual(got, want) || len(files()) != 1 || files()[0] != young {
		t.Errorf("beside a file half written that fills the budget: %v", files())
	}
	if err := os.Remove(young); err != nil {
		t.Fatal(err)
	}
	o.Disk.Budget = 20000 // one file and a half
	if got := epochOf(t, o, 0); !reflect.DeepEqual(got, want) || len(files()) > 2 {
		t.Errorf("%d files in a budget of 20000 bytes", len(files()))
	}
}

// TestDiskCacheOfExchangedPictures: a picture is decoded anew when its file was exchanged for
// another one of the same length and time.
func TestDiskCacheOfExchangedPictures(t *testing.T) {
	samples := paintedSamples(t, 2)
	o := augmenting(samples[:1])
	o.Augment = false
	o.Disk = DiskCache{Dir: filepath.Join(t.TempDir(), "pictures"), Budget: 1 << 20}
	epochOf(t, o, 0)
	old, err := os.Stat(samples[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	painted := func(c byte) []byte { // all of one length
		img := image.NewGray(image.Rect(0, 0, samples[0].Width, samples[0].Height))
		for i := range img.Pix {
			img.Pix[i] = c
		}
		var b bytes.Buffer
		if err := bmp.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var epochs [2][]*Batch
	for i, c := range []byte{50, 200} {
		if err := errors.Join(os.WriteFile(samples[0].Path, painted(c), 0o666), os.Chtimes(samples[0].Path, old.ModTime(), old.ModTime())); err != nil {
			t.Fatal(err)
		}
		epochs[i] = epochOf(t, o, 0)
	}
	if reflect.DeepEqual(epochs[0], epochs[1]) {
		t.Error("the old pixels were used")
	}
}

func TestWeights(t *testing.T) {
	label := func(c int) dataset.Label { return dataset.Label{Class: c} }
	samples := []dataset.Sample{
		{Labels: []dataset.Label{label(0), label(0), label(0)}},
		{Labels: []dataset.Label{label(0), label(1)}},
		{},
	}
	cw := ClassWeights(samples, 3) // 1/4, 1, 1 over 2.25
	iw := ImageWeights(samples, cw, []float64{0, .5, 0})
	for i, want := range []float64{3. / 9, 1./9 + 1./9, 0} {
		if math.Abs(iw[i]-want) > 1e-12 {
			t.Errorf("weight %d is %v, want %v", i, iw[i], want)
		}
	}
	o := augmenting(paintedSamples(t, 3))
	o.Weights = func(int) []float64 { return []float64{3, 1, 0} }
	var counts [3]int
	for epoch := range 200 {
		for _, b := range epochOf(t, o, epoch) {
			for _, s := range b.Samples {
				counts[s]++
			}
		}
	}
	if counts[2] != 0 || counts[0] < 400 || counts[0] > 500 {
		t.Errorf("samples of weights 3, 1, 0 came %v times", counts)
	}
}
