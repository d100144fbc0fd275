package finetune

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/features"
)

// loaders are both kinds of batches, of the same ten pictures in five batches.
func loaders(t *testing.T) map[string]batches {
	o := smallRun(t)
	set, err := format.Open(o.Data, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := loader.New(loader.Options{Samples: set.Splits["train"], BatchSize: 2, ImageSize: 64})
	if err != nil {
		t.Fatal(err)
	}
	layout := features.Layout{Layers: []int{0}, Bytes: []int64{4}, Views: 1, Images: 10, Classes: 1}
	dir := filepath.Join(t.TempDir(), "cache")
	w, err := features.Create(dir, layout)
	if err != nil {
		t.Fatal(err)
	}
	for i := range layout.Images {
		if err := w.Put(0, i, [][]byte{{byte(i), 0, 0, 0}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	store, err := features.Open(dir, layout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return map[string]batches{"pictures": pictureSource{pictures}, "features": newFeatureSource(store, pictures, dataset.SizeOf(64, 0))}
}

// TestLoadersCancelled: an epoch of which not all batches were given ends in the context's
// error, wherever that ended; a loop without one is a whole epoch, for an interrupted run
// must not take what it got for all there is.
func TestLoadersCancelled(t *testing.T) {
	for name, l := range loaders(t) {
		for first := range 6 {
			for stop := range 6 - first {
				for range 20 { // goroutines end in one order or another
					ctx, cancel := context.WithCancel(t.Context())
					if stop == 0 {
						cancel()
					}
					given, ended := 0, error(nil)
					for b, err := range l.EpochFrom(ctx, 0, first) {
						if ended = err; err != nil {
							break
						}
						if given++; given == stop {
							cancel()
						}
						if name == "features" {
							l.Recycle(b)
						}
					}
					cancel()
					if what := fmt.Sprintf("%s from batch %d, cancelled after %d", name, first, stop); ended == nil && given+first != 5 {
						t.Fatalf("%s: %d batches and no error", what, given)
					} else if ended != nil && !errors.Is(ended, context.Canceled) {
						t.Fatalf("%s: %v", what, ended)
					}
				}
			}
		}
	}
}
