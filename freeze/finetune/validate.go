package finetune

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// ValOptions say how a split is validated; ValDefaults has YOLOv5's defaults.
type ValOptions struct {
	Samples   []dataset.Sample
	BatchSize int                 // 16
	ImageSize int                 // 640
	Conf, IoU float64             // .001 and .6
	MaxDet    int                 // 300
	SingleCls bool                // labels and detections are all class 0
	AMP       onnx.DType          // of products, float16 or bfloat16; Undefined: all in float32
	Loss      *yolov5.LossOptions // scaled; nil computes no losses
	Loader    loader.Options
}

// ValDefaults are the options that YOLOv5's val.py starts from, but for its batch
// of 32: larger batches pad more, and small sets then come out worse.
func ValDefaults() ValOptions {
	return ValOptions{BatchSize: 16, ImageSize: 640, Conf: .001, IoU: .6, MaxDet: 300}
}

// Evaluation is what a validation found.
type Evaluation struct {
	metric.Result
	Box, Obj, Cls               float64 // losses, means over batches
	Pre, Inference, Suppression time.Duration
	Total                       time.Duration
}

// Classes lists the classes that occur in the labels.
func (e *Evaluation) Classes(names []string) []runs.Class {
	list := make([]runs.Class, len(e.PerClass))
	for i, c := range e.PerClass {
		list[i] = runs.Class{Class: c.Class, Name: names[c.Class], Images: c.Images, Instances: c.Instances, Precision: c.P, Recall: c.R, F1: c.F1, AP50: c.AP50, AP: c.AP}
	}
	return list
}

// Speed is milliseconds per picture: waiting for pictures, running the graph,
// and what remains of decoding and suppression when the graph has run.
type Speed struct {
	Pre       float64 `json:"pre"`
	Inference float64 `json:"inference"`
	NMS       float64 `json:"nms"`
}

// Speed returns the means over the split's pictures.
func (e *Evaluation) Speed() Speed {
	per := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(max(e.Images, 1)) }
	return Speed{per(e.Pre), per(e.Inference), per(e.Suppression)}
}

// Found is one picture's detections, in pixels of the original.
type Found struct {
	Sample     *dataset.Sample
	Detections []metric.Detection
}

// Validator validates one split again and again, with pictures kept in memory
// as far as the loader's options allow.
type Validator struct {
	o      ValOptions
	loader *loader.Loader
	held   *heldFeatures // nil: all layers run
	// Each, when set, is called for every picture in order.
	Each func(Found) error
	// Seen, when set, is called for every batch in order, the first being 0, with
	// each picture's detections in pixels of the batch.
	Seen func(index int, b *loader.Batch, found [][]metric.Detection)
	// Progress, when set, is called after every batch.
	Progress func(done, batches int)
}

// NewValidator makes the loader: rectangular batches, padded by half a stride.
func NewValidator(net *yolov5.Network, o ValOptions) (*Validator, error) {
	l := o.Loader
	l.Samples, l.BatchSize, l.ImageSize, l.Stride = o.Samples, o.BatchSize, o.ImageSize, int(net.MaxStride())
	l.Rect, l.Pad = true, 0.5
	if l.BatchSize < 1 {
		return nil, fmt.Errorf("validate: batch size %d, want 1 or more", o.BatchSize)
	}
	l.BatchSize = min(l.BatchSize, max(len(l.Samples), 1))
	loader, err := loader.New(l)
	if err != nil {
		return nil, fmt.Errorf("validate: %w", err)
	}
	return &Validator{o: o, loader: loader}, nil
}

// Batches is the number of batches.
func (v *Validator) Batches() int { return v.loader.Batches() }

// Bad lists the pictures that could not be decoded.
func (v *Validator) Bad() []loader.BadPicture { return v.loader.Bad() }

// Run validates a network with the given weights.
func (v *Validator) Run(ctx context.Context, net *yolov5.Network, state map[string]*onnx.Tensor, o ort.Options) (*Evaluation, error) {
	return v.RunModel(ctx, &model.Model{Net: net, State: state}, o)
}

// RunModel validates a model, on integers where LoadForVal found it so.
func (v *Validator) RunModel(ctx context.Context, m *model.Model, o ort.Options) (*Evaluation, error) {
	start, net := time.Now(), m.Net
	r := &validation{Validator: v}
	if err := r.open(m, o); err != nil {
		return nil, err
	}
	defer r.close()
	r.evaluator = metric.NewEvaluator(net.NC)
	r.nms = metric.NMSOptions{Conf: v.o.Conf, IoU: v.o.IoU, MaxDet: v.o.MaxDet, MultiLabel: net.NC > 1, Agnostic: v.o.SingleCls}
	waited := v.loader.Waited()
	for b, err := range r.source(ctx) {
		if err != nil {
			return nil, err
		}
		if err := r.batch(ctx, b); err != nil {
			return nil, err
		}
		if r.features != nil {
			r.features.keep(b)
		}
		if b.Images != nil {
			v.loader.Recycle(b)
		}
		if r.batches++; v.Progress != nil {
			v.Progress(r.batches, v.loader.Batches())
		}
	}
	r.found.Result = r.evaluator.Result()
	if n := float64(r.batches); n > 0 {
		r.found.Box, r.found.Obj, r.found.Cls = r.found.Box/n, r.found.Obj/n, r.found.Cls/n
	}
	if r.features != nil {
		r.features.whole = r.features.lost == nil
	}
	r.found.Pre = v.loader.Waited() - waited
	r.found.Total = time.Since(start)
	return &r.found, nil
}

// validation is one run of a Validator.
type validation struct {
	*Validator
	detector  *step.Detector
	features  *heldRun // nil: pictures run through all layers
	evaluator *metric.Evaluator
	nms       metric.NMSOptions
	batches   int
	found     Evaluation
}

// open opens the graphs that the run takes. Who looks at the pictures themselves
// gets them from the loader.
func (r *validation) open(m *model.Model, o ort.Options) (err error) {
	cut := step.Cut{}
	if h := r.held; h != nil && h.lost == nil && r.Seen == nil {
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
	loss  yolov5.LossSums
	err   error
}

// chunkOn returns how many pictures a device infers at once. A CPU is quickest when what
// one layer leaves still lies in its caches: one picture for four cores.
func chunkOn(device string) int {
	if device == "cpu" {
		return max(1, runtime.NumCPU()/4)
	}
	return 16
}

// batch runs one batch in chunks; the pictures of one are looked at while the next runs.
func (r *validation) batch(ctx context.Context, b *loader.Batch) error {
	parts := make([]contribution, b.Size)
	buffers := [2][]*onnx.Tensor{}
	var pending [2]sync.WaitGroup
	targets, chunk := targetsByPicture(b), chunkOn(r.detector.Device())
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
			pending[side].Go(func() { parts[first+k] = r.picture(step.PictureOf(heads, k), targets[first+k], b.Height, b.Width) })
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

// wait waits for pictures to be looked at: the part of that time in which no graph runs.
func (r *validation) wait(pending *sync.WaitGroup) {
	start := time.Now()
	pending.Wait()
	r.found.Suppression += time.Since(start)
}

func (r *validation) picture(heads []*onnx.Tensor, targets []yolov5.Target, height, width int) (o contribution) {
	if o.found, o.err = r.detector.Find(heads, r.nms); o.err != nil || r.o.Loss == nil {
		return o
	}
	net := r.detector.Net
	o.loss, o.err = net.LossSums(heads, net.Assign(targets, height, width, r.o.Loss.AnchorT), *r.o.Loss)
	return o
}

// add takes a batch's parts in order.
func (r *validation) add(b *loader.Batch, parts []contribution) error {
	var loss yolov5.LossSums
	found := make([][]metric.Detection, len(parts))
	for i, o := range parts {
		if found[i] = o.found; o.err != nil {
			return o.err
		}
	}
	if r.Seen != nil {
		r.Seen(r.batches, b, found)
	}
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
		if err := r.evaluator.Add(o.found, labels); err != nil {
			return fmt.Errorf("validate %s: %w", r.o.Samples[b.Samples[i]].Path, err)
		}
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
		box, obj, cls := loss.Parts(r.detector.Net, *r.o.Loss)
		r.found.Box, r.found.Obj, r.found.Cls = r.found.Box+box, r.found.Obj+obj, r.found.Cls+cls
	}
	return nil
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
