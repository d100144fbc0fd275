package finetune

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/export"
	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/ort"
)

// TestTwoSides trains on pictures of two sides, with and without cached features, which differ by
// rounding alone; options and export say which they are.
func TestTwoSides(t *testing.T) {
	o := cachedRun(t)
	o.ImageSize, o.ImageHeight = 96, 64
	plain := o
	plain.CacheFeatures = 0
	want, got := &quiet{t: t}, &quiet{t: t}
	mustRun(t, plain, want)
	cached := mustRun(t, o, got)
	for i, row := range got.rows {
		for k, loss := range row.Train {
			if w := want.rows[i].Train[k]; !(math.Abs(loss-w) <= 1e-4*w) {
				t.Errorf("epoch %d: loss %d is %g, %g without the cache", i, k, loss, w)
			}
		}
	}
	if text := string(fixture.MustRead(t, filepath.Join(cached.RunDir, "opt.yaml"))); !strings.Contains(text, "\nimgsz: [64, 96]\n") {
		t.Errorf("opt.yaml: %s", text)
	}
	if !got.heard("Image sizes 64 96 train, 64 96 val") {
		t.Errorf("said %v", got.lines)
	}
	e, err := export.Open(filepath.Join(cached.RunDir, "weights", "best.onnx"), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Height != 64 || e.Width != 96 {
		t.Errorf("the export takes %d high, %d wide", e.Height, e.Width)
	}
}
