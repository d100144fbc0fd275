package step

import (
	"bytes"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
)

// TestSizedBatch trains on three pictures of an engine made for four, and on an engine made for three.
func TestSizedBatch(t *testing.T) {
	r := newRecording(recorded.Named(t, "sgd"))
	fixture.NeedORT(t)
	const n = 3
	var targets []yolov5.Target
	for _, target := range recorded.Targets(r.Tensors["targets/0"]) {
		if target.Image < n {
			targets = append(targets, target)
		}
	}
	images := r.Tensors["images/0"].Raw[:n*3*r.ImgSize*r.ImgSize]
	var engines [2]*Engine
	var losses [2]Losses
	for i, batch := range []int{r.Batch, n} {
		s := r.spec(t)
		s.Batch = batch
		e, err := NewEngine(s, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for range 2 {
			matches := s.Net.Assign(targets, r.ImgSize, r.ImgSize, s.Loss.AnchorT)
			if losses[i], err = e.AccumulateSized(Inputs{ImagesName: images}, n, r.ImgSize, r.ImgSize, matches); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Step(Rates{LR: [3]float64{r.LR, r.LR, r.LR}, Momentum: 0.9, EMADecay: 0.5}); err != nil {
				t.Fatal(err)
			}
		}
		engines[i] = e
	}
	if losses[0] != losses[1] {
		t.Errorf("losses %v, want %v", losses[0], losses[1])
	}
	got, want := engines[0].Weights(true), engines[1].Weights(true)
	for name := range want {
		if !bytes.Equal(got[name].Raw, want[name].Raw) {
			t.Errorf("%s differs", name)
		}
	}
	if len(engines[0].sizes) != 1 || len(engines[1].sizes) != 0 {
		t.Errorf("%d and %d graphs of other sizes, want 1 and 0", len(engines[0].sizes), len(engines[1].sizes))
	}
}
