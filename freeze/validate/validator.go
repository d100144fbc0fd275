package validate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// Options say how a split is validated; Defaults has YOLOv5's defaults.
type Options struct {
	Samples   []dataset.Sample
	BatchSize int           // 32
	ImageSize int           // 640
	Height    int           // of all pictures, ImageSize being their width; 0: batches of like shapes
	Conf, IoU float64       // .001 and .6
	MaxDet    int           // 300
	SingleCls bool          // labels and detections are all class 0
	Agnostic  bool          // detections of different classes suppress each other too
	Classes   []int         // detections of these classes count; nil: all
	Replaces  map[int][]int // as in metric.NMSOptions
	AMP       onnx.DType    // of products, float16 or bfloat16; Undefined: all in float32
	Loss      *loss.Options // scaled; nil computes no losses
	Reading   loader.Reading
	Ranks     *collective.Group // each looks at its share of the batches, and all find the same; nil: this process alone

	Others  []*model.Model // that look at each picture, too, as an ensemble
	Augment bool           // pictures are looked at in three sizes
	Hybrid  bool           // labels are among what suppression chooses from, as sure detections
}

// Defaults are the options that YOLOv5's val.py starts from.
func Defaults() Options {
	return Options{BatchSize: 32, ImageSize: 640, Conf: .001, IoU: .6, MaxDet: 300}
}

// Found is one picture's detections, in pixels of the original.
type Found struct {
	Sample     *dataset.Sample
	Detections []metric.Detection
}

// Validator validates one split again and again, with pictures kept in memory
// as far as the loader's options allow.
type Validator struct {
	o      Options
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

// New makes the loader: rectangular batches, padded by half a stride, unless a height is given.
func New(net *yolov5.Network, o Options) (*Validator, error) {
	l := loader.Options{Reading: o.Reading}
	l.Samples, l.BatchSize, l.ImageSize, l.Stride = o.Samples, o.BatchSize, o.ImageSize, int(net.MaxStride())
	if l.Height = o.Height; l.Height == 0 {
		l.Rect, l.Pad = true, 0.5
	}
	l.Part, l.Parts = o.Ranks.Rank(), o.Ranks.Size()
	if o.Loss != nil && (o.Augment || len(o.Others) > 0) {
		return nil, errors.New("validate: losses are of one network that looks at pictures once")
	}
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

// Run validates a model, on integers where LoadForVal found it so.
func (v *Validator) Run(ctx context.Context, m *model.Model, o ort.Options) (*Evaluation, error) {
	start, net := time.Now(), m.Net
	r := &validation{Validator: v, classes: net.NC}
	if err := r.open(m, o); err != nil {
		return nil, err
	}
	defer r.close()
	r.evaluator = metric.NewEvaluator(net.NC)
	r.nms = metric.NMSOptions{Conf: v.o.Conf, IoU: v.o.IoU, MaxDet: v.o.MaxDet, MultiLabel: net.NC > 1, Agnostic: v.o.SingleCls || v.o.Agnostic,
		Classes: v.o.Classes, Replaces: v.o.Replaces}
	waited, done := v.loader.Waited(), 0
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
		if done++; v.Progress != nil {
			v.Progress(done, v.loader.Batches())
		}
	}
	if v.o.Ranks.Size() > 1 {
		if err := r.together(r.own); err != nil {
			return nil, err
		}
	}
	r.found.Result = r.evaluator.Result()
	if n := float64(r.batches); n > 0 {
		r.found.Box, r.found.Obj, r.found.Cls = r.found.Box/n, r.found.Obj/n, r.found.Cls/n
	}
	if r.features != nil && r.features.keeps() {
		r.features.whole = true
	}
	r.found.Pre = v.loader.Waited() - waited
	r.found.Total = time.Since(start)
	return &r.found, nil
}
