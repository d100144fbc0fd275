package step

import (
	"math"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// TestRecordedLossValue computes the loss of recorded predictions without a graph,
// picture by picture, and holds its parts against the recorded ones.
func TestRecordedLossValue(t *testing.T) {
	eachRecording(t, func(t *testing.T, r *recording) {
		s := r.spec(t)
		targets := recorded.Targets(r.Tensors["targets/0"])
		var sums loss.Sums
		for picture := range r.Batch {
			var own []yolov5.Target
			for _, target := range targets {
				if target.Image == picture {
					target.Image = 0
					own = append(own, target)
				}
			}
			part, err := loss.Sum(s.Net, recordedHeads(r, s.Net, picture), s.Net.Assign(own, r.ImgSize, r.ImgSize, s.Loss.AnchorT), s.Loss)
			if err != nil {
				t.Fatal(err)
			}
			sums.Add(part)
		}
		box, obj, cls := sums.Parts(s.Net, s.Loss)
		got := []float64{(box + obj + cls) * float64(r.Batch), box, obj, cls}
		for i, want := range r.Losses[0][0] {
			if math.Abs(got[i]-want) > 2e-6*math.Abs(want) {
				t.Errorf("part %d is %.9g, recorded %.9g", i, got[i], want)
			}
		}
	})
}

// recordedHeads turns one picture's predictions, [anchors, H, W, 5+nc], into raw outputs.
func recordedHeads(r *recording, net *yolov5.Network, picture int) []*onnx.Tensor {
	var heads []*onnx.Tensor
	for i := range net.Anchors {
		p := r.Tensors["pred/"+string(rune('0'+i))]
		na, h, w, no := int(p.Shape[1]), int(p.Shape[2]), int(p.Shape[3]), int(p.Shape[4])
		all, out := p.Float32s(), make([]float32, na*no*h*w)
		all = all[picture*len(out) : (picture+1)*len(out)]
		for a := range na {
			for cell := range h * w {
				for k := range no {
					out[(a*no+k)*h*w+cell] = all[(a*h*w+cell)*no+k]
				}
			}
		}
		heads = append(heads, onnx.Of(out, 1, int64(na*no), int64(h), int64(w)))
	}
	return heads
}
