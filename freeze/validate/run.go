package validate

import (
	"context"
	"slices"
	"sync"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// validation is one run of a Validator.
type validation struct {
	*Validator
	detector  *step.Detector
	views     *step.Views // nil: one network looks once
	features  *heldRun    // nil: pictures run through all layers
	evaluator *metric.Evaluator
	nms       metric.NMSOptions
	batches   int
	own       []tally // of this rank, where there are others
	classes   int
	found     Evaluation
}

// open opens the graphs that the run takes. Who looks at the pictures themselves
// gets them from the loader.
func (r *validation) open(m *model.Model, o ort.Options) (err error) {
	if r.o.Augment || len(r.o.Others) > 0 {
		list := []step.Weighted{{Net: m.Net, State: m.State}}
		for _, other := range r.o.Others {
			list = append(list, step.Weighted{Net: other.Net, State: other.State})
		}
		r.views, err = step.NewViews(list, r.o.Augment, r.o.AMP, o)
		return err
	}
	cut := step.Cut{}
	if h := r.held; h != nil && r.Seen == nil {
		if r.features, err = h.open(m, o); err != nil {
			return err
		}
		cut = h.cut
	}
	if r.detector, err = detectorOf(m, cut, r.o.AMP, o); err != nil {
		r.close()
	}
	return err
}

func (r *validation) close() {
	if r.views != nil {
		r.views.Close()
	}
	if r.features != nil {
		r.features.close()
	}
	if r.detector != nil {
		r.detector.Close()
	}
}

// forward runs pictures first to first+n of a batch into heads.
func (r *validation) forward(b *loader.Batch, first, n int, heads []*onnx.Tensor) error {
	var images []uint8
	if area := 3 * b.Width * b.Height; b.Images != nil {
		images = b.Images[first*area : (first+n)*area]
	}
	if r.features == nil {
		return r.detector.Forward(images, heads, b.Height, b.Width)
	}
	in, err := r.features.outputs(images, n, b.Height, b.Width)
	if err != nil {
		return err
	}
	return r.detector.ForwardFrom(in, heads)
}

// contribution is what one picture contributes.
type contribution struct {
	found []metric.Detection
	loss  loss.Sums
	err   error
}

// look runs one batch through several views of each picture.
func (r *validation) look(ctx context.Context, b *loader.Batch) error {
	parts, targets := make([]contribution, b.Size), targetsByPicture(b)
	area, chunk := 3*b.Width*b.Height, step.ChunkOn(r.views.Device())
	for first := 0; first < b.Size; first += chunk {
		n, start := min(chunk, b.Size-first), time.Now()
		rows, err := r.views.Rows(b.Images[first*area:(first+n)*area], n, b.Height, b.Width, r.nms.Conf)
		if err != nil {
			return err
		}
		r.found.Inference += time.Since(start)
		start = time.Now()
		var group workers.Group
		for i := range n {
			group.Go(func() {
				parts[first+i] = guarded(func() contribution {
					return contribution{found: metric.NMS(r.withLabels(rows[i], targets[first+i], b.Height, b.Width), r.classes, r.nms)}
				})
			})
		}
		group.Wait()
		r.found.Suppression += time.Since(start)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return r.add(b, parts)
}

// withLabels adds a picture's labels to rows, where that is asked for.
func (r *validation) withLabels(rows []float32, targets []yolov5.Target, height, width int) []float32 {
	if !r.o.Hybrid {
		return rows
	}
	w, h := float64(width), float64(height)
	for _, t := range targets {
		classes := make([]float32, r.classes)
		classes[t.Class] = 1
		rows = append(append(rows, float32(t.X*w), float32(t.Y*h), float32(t.W*w), float32(t.H*h), 1), classes...)
	}
	return rows
}

// batch runs one batch in chunks; the pictures of one are looked at while the next runs.
func (r *validation) batch(ctx context.Context, b *loader.Batch) error {
	if r.views != nil {
		return r.look(ctx, b)
	}
	parts := make([]contribution, b.Size)
	buffers := [2][]*onnx.Tensor{}
	var pending [2]sync.WaitGroup
	targets, chunk := targetsByPicture(b), step.ChunkOn(r.detector.Device())
	for i := 0; i*chunk < b.Size; i++ {
		first, side := i*chunk, i%2
		n := min(chunk, b.Size-first)
		r.wait(&pending[side])
		if heads := buffers[side]; heads == nil || int(heads[0].Shape[0]) != n {
			buffers[side] = r.detector.Heads(n, b.Height, b.Width)
		}
		heads, start := buffers[side], time.Now()
		if err := r.forward(b, first, n, heads); err != nil {
			return err
		}
		r.found.Inference += time.Since(start)
		for k := range n {
			pending[side].Go(func() {
				parts[first+k] = guarded(func() contribution { return r.picture(step.PictureOf(heads, k), targets[first+k], b.Height, b.Width) })
			})
		}
		if err := ctx.Err(); err != nil {
			r.wait(&pending[0])
			r.wait(&pending[1])
			return err
		}
	}
	r.wait(&pending[0])
	r.wait(&pending[1])
	return r.add(b, parts)
}

// guarded is what a picture contributes; a panic is its error.
func guarded(look func() contribution) (o contribution) {
	if err := workers.Try(func() { o = look() }); err != nil {
		o.err = err
	}
	return o
}

// wait waits for pictures to be looked at: the part of that time in which no graph runs.
func (r *validation) wait(pending *sync.WaitGroup) {
	start := time.Now()
	pending.Wait()
	r.found.Suppression += time.Since(start)
}

func (r *validation) picture(heads []*onnx.Tensor, targets []yolov5.Target, height, width int) (o contribution) {
	net := r.detector.Net
	var rows []float32
	if rows, o.err = net.Rows(heads, r.nms.Conf); o.err != nil {
		return o
	}
	o.found = metric.NMS(r.withLabels(rows, targets, height, width), net.NC, r.nms)
	if r.o.Loss == nil {
		return o
	}
	o.loss, o.err = loss.Sum(net, heads, net.Assign(targets, height, width, r.o.Loss.AnchorT), *r.o.Loss)
	return o
}

// add takes a batch's parts in order.
func (r *validation) add(b *loader.Batch, parts []contribution) error {
	var loss loss.Sums
	found := make([][]metric.Detection, len(parts))
	for i, o := range parts {
		if found[i] = o.found; o.err != nil {
			return o.err
		}
	}
	if r.Seen != nil {
		r.Seen(r.batches, b, found)
	}
	t := tally{Samples: slices.Clone(b.Samples), Found: found}
	for i, o := range parts {
		b.Restore(i, o.found)
		labels := b.Labels(i)
		if r.o.SingleCls {
			for k := range o.found {
				o.found[k].Class = 0
			}
			for k := range labels {
				labels[k].Class = 0
			}
		}
		t.Labels = append(t.Labels, labels)
		if r.Each != nil {
			if err := r.Each(Found{&r.o.Samples[b.Samples[i]], o.found}); err != nil {
				return err
			}
		}
		if r.o.Loss != nil {
			loss.Add(o.loss)
		}
	}
	if r.o.Loss != nil {
		t.Loss[0], t.Loss[1], t.Loss[2] = loss.Parts(r.detector.Net, *r.o.Loss)
	}
	if r.o.Ranks.Size() > 1 {
		r.own = append(r.own, t)
		return nil
	}
	return r.take(t)
}

// targetsByPicture sorts a batch's targets by picture; each calls its own picture 0.
func targetsByPicture(b *loader.Batch) [][]yolov5.Target {
	lists := make([][]yolov5.Target, b.Size)
	for _, t := range b.Targets {
		lists[t.Image] = append(lists[t.Image], yolov5.Target{Class: int(t.Class), X: float64(t.X), Y: float64(t.Y), W: float64(t.W), H: float64(t.H)})
	}
	return lists
}

// detectorOf opens a model's evaluation graph: its file's own if that is quantised.
func detectorOf(m *model.Model, c step.Cut, products onnx.DType, o ort.Options) (*step.Detector, error) {
	if m.QDQ != nil {
		return step.OpenDetector(m.Net, m.QDQ, o)
	}
	return step.NewDetectorFor(m.Net, m.State, c, products, o)
}
