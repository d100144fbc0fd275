package validate

import (
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/dataset/yolo"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
)

// TestRanks: ranks that share a split find what one finds, to the bit, also with more
// ranks than batches.
func TestRanks(t *testing.T) {
	fixture.NeedORT(t)
	data := filepath.Join(t.TempDir(), "shapes")
	if err := synth.Write(data, synth.Options{Counts: map[string]int{"train": 1, "val": 7}, Size: 64}); err != nil {
		t.Fatal(err)
	}
	set, err := yolo.Open(filepath.Join(data, "data.yaml"), dataset.ReadOptions{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m := fixture.SmallModel(t)
	for _, sample := range set.Splits["val"] {
		for i := range sample.Labels {
			sample.Labels[i].Class %= m.Net.NC
		}
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	loss := step.LossOf(hyp)
	found := func(g *collective.Group) *Evaluation {
		o := Defaults()
		o.Samples, o.BatchSize, o.ImageSize, o.Loss, o.Ranks = set.Splits["val"], 2, 64, &loss, g
		v, err := New(m.Net, o)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer v.Close()
		e, err := v.Run(t.Context(), m, ort.Options{})
		if err != nil {
			t.Error(err)
			return nil
		}
		e.Pre, e.Inference, e.Suppression, e.Total = 0, 0, 0, 0
		return e
	}
	want := found(nil)
	for _, size := range []int{2, 5} {
		var all sync.WaitGroup
		for _, g := range collective.InProcess(size) {
			all.Go(func() {
				if got := found(g); !reflect.DeepEqual(got, want) {
					t.Errorf("rank %d of %d finds %+v, one alone %+v", g.Rank(), size, got, want)
				}
			})
		}
		all.Wait()
	}
}
