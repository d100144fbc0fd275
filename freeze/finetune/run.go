package finetune

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// Files of a run's folder.
const (
	lastName   = "last.safetensors"
	beforeName = "last-before.safetensors" // the state saved before that
	bestName   = "best.safetensors"
	exportName = "best.onnx"
)

// Reporter hears what a run does. Its methods are called from one goroutine and must not block.
type Reporter interface {
	Logf(format string, args ...any)
	Warnf(format string, args ...any)
	Data(*dataset.Set)            // the data set, as read
	Batch(BatchResult)            // after every batch
	Validating(done, batches int) // after every batch of a validation
	Epoch(EpochResult)            // after every epoch
}

// BatchResult is how far an epoch is.
type BatchResult struct {
	Epoch, Epochs   int     // the epoch counts from 0
	Batch, Batches  int     // done, of all
	Box, Obj, Cls   float64 // means of the epoch so far
	Instances, Side int     // of the batch
	Memory          int64   // most bytes resident so far
}

// EpochResult is what an epoch ended with.
type EpochResult struct {
	runs.Row
	Epochs     int
	Evaluation *validate.Evaluation // nil when the epoch was not validated
	Names      []string
	Best       bool // better than all before
}

// training is a run under way.
type training struct {
	o           *options.Settings
	r           Reporter
	dir         string
	fresh       bool   // this run has made dir
	unlock      func() // lets other processes into dir
	source      artifact.Source
	model       *model.Model // network and names; the weights are the engine's
	set         *dataset.Set
	fingerprint string
	stages      []freeze.Stage
	stage       freeze.Stage
	batch       int // pictures of a full batch
	side        int // of square pictures
	loss        yolov5.LossOptions
	schedule    step.Schedule
	loader      *loader.Loader
	validator   *validate.Validator
	features    *features // nil: pictures run through all layers in every epoch
	engine      *step.Engine
	moved       step.Traffic // by engines before this one
	placement   *step.Placement
	resumed     *saved
	p           progress
	clock       clock
	loggers     []logger
	unread      map[string]bool // pictures that were named as unreadable
	interrupted bool            // the context ended, and the state was saved
}

// Run trains as the options say and keeps the run's folder. When the context
// ends, the step is finished, the state saved, and the context's cause returned.
func Run(ctx context.Context, o options.Options, r Reporter) (report *Summary, err error) {
	t := &training{o: &options.Settings{Options: o}, r: r, clock: startClock(), unread: map[string]bool{}}
	defer func() { t.dropUnstarted(err) }()
	defer t.close()
	defer func() { t.stopLoggers(ctx, err) }()
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if o.Epochs == 0 {
		return t.validateOnly(ctx)
	}
	err = t.train(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if err := t.saveLast(); err != nil {
			return nil, fmt.Errorf("save the interrupted run: %w", err)
		}
		t.interrupted = true
		r.Logf("saved %s; `resume-from` goes on from there", t.weights(lastName))
		return nil, context.Cause(ctx)
	}
	if lost := (*loader.LostPictureError)(nil); errors.As(err, &lost) {
		return nil, t.stopAt(lost)
	}
	if err != nil {
		return nil, t.outOfMemory(err)
	}
	return t.finish(ctx)
}

// stopAt saves the state before a picture that cannot be had: what is trained on and
// measured stays the same from the first epoch to the last.
func (t *training) stopAt(lost *loader.LostPictureError) error {
	if err := t.saveLast(); err != nil {
		return fmt.Errorf("%w; and the state is not saved: %w", lost, err)
	}
	t.interrupted = true
	return &lostError{lost, t.weights(lastName)}
}

// lostError is a run that stopped because a picture is gone, its state saved.
type lostError struct {
	lost  error
	saved string
}

func (e *lostError) Error() string {
	return fmt.Sprintf("stopped, since a picture cannot be read any more: %v", e.lost)
}

func (e *lostError) Unwrap() error { return e.lost }

// Hint says how the run goes on.
func (e *lostError) Hint() string {
	return "when it is there again, `resume " + e.saved + "` goes on with the same step"
}

func (t *training) close() {
	if t.engine != nil {
		t.engine.Close()
	}
	if t.features != nil {
		t.features.store.close()
	}
	if t.validator != nil {
		t.validator.Close()
	}
	if t.unlock != nil {
		t.unlock()
	}
}

// weights is the path of a file in the folder of weights.
func (t *training) weights(name string) string { return filepath.Join(t.dir, "weights", name) }

// prepare reads model and data, makes the folder and everything that an epoch needs.
func (t *training) prepare(ctx context.Context) (err error) {
	if t.o.ResumeFrom != "" {
		if err := t.resume(); err != nil {
			return err
		}
	}
	if t.o, err = t.o.Parse(); err != nil {
		return err
	}
	if err := t.o.FindDevice(); err != nil { // before anything is read or written
		return err
	}
	kernels, why, err := step.ChooseKernels(t.o.Kernels, t.o.Runtime.Device, t.o.Products)
	if err != nil {
		return err
	}
	if t.o.Kernels = kernels; why != nil {
		t.r.Logf("training with stock kernels: %v", why)
	}
	openData := func() error { return t.openData(ctx) }
	for _, step := range []func() error{t.openModel, openData, t.fitModel, t.plan, t.checkAnchors, t.makeFolder, t.makeLoaders, t.drawLabels} {
		if err := step(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return t.startLoggers(ctx)
}

// openEngine builds the graphs of the stage that the epoch is in, carrying over
// what an earlier engine or the resumed run leaves.
func (t *training) openEngine() error {
	stage := freeze.At(t.stages, t.p.Epoch)
	if t.engine != nil && stage.Epoch == t.stage.Epoch {
		return nil
	}
	state := t.model.State
	if t.engine != nil {
		state = t.engine.Weights(false)
		t.r.Logf("epoch %d: %v", t.p.Epoch, stage.Plan.Summary())
	}
	o := t.o.Runtime
	o.Placement, o.Capture, o.Native = true, t.o.CUDAGraph, t.o.Kernels == step.Native
	batch, side := t.stepSize()
	loss := t.loss
	loss.Capacity = t.capacity()
	e, err := step.NewEngine(&step.Spec{
		Net: t.model.Net, State: state, Plan: stage.Plan, Batch: batch, Height: side, Width: side, Loss: loss,
		Optimizer: optim.Options{Algorithm: t.o.Optimizer, WeightDecay: t.schedule.WeightDecay(), ClipNorm: step.ClipNorm},
		AMP:       t.o.Products, Cut: t.cutFor(stage),
	}, o)
	if err != nil {
		return err
	}
	before, err := step.Snapshot{}, t.checkPlacement(e)
	if err == nil && t.engine != nil {
		before, err = t.engine.Snapshot()
	}
	if err != nil {
		e.Close()
		return err
	}
	switch {
	case t.engine != nil:
		e.Restore(before)
		t.moved = t.moved.Plus(t.engine.Moved())
		t.engine.Close()
	case t.resumed != nil:
		t.resumed.restore(e)
		t.resumed = nil
	}
	t.engine, t.stage = e, stage
	return nil
}

// capacity is the number of matches that captured graphs are built for: of a
// batch of usual pictures, or what an earlier engine came to; 0 where none are.
func (t *training) capacity() int {
	switch {
	case !t.o.CUDAGraph:
		return 0
	case t.engine != nil:
		return t.engine.Capacity()
	}
	labels, pictures := 0, t.set.Splits["train"]
	for _, p := range pictures {
		labels += len(p.Labels)
	}
	return step.CapacityFor(step.MostMatches * t.batch * labels / max(len(pictures), 1))
}

// announce says what is about to start.
func (t *training) announce() {
	counts := t.engine.Graphs.Groups()
	t.r.Logf("optimizer: %s(lr=%g) with parameter groups %d weight(decay=0), %d weight(decay=%g), %d bias", t.o.Optimizer, t.o.Hyp.LR0,
		counts[optim.Norms], counts[optim.Weights], t.schedule.WeightDecay(), counts[optim.Biases])
	device := t.o.Runtime.Device.String()
	if why := t.o.Runtime.Device.Why; why != "" {
		device += " (" + why + ")"
	}
	if t.o.Kernels == step.Native {
		device += ", native kernels"
	}
	if p := t.o.Products; p != onnx.Undefined {
		device += fmt.Sprintf(", products in %v", p)
	}
	if t.o.CUDAGraph {
		device += fmt.Sprintf(", captured, for up to %d matches a level", t.engine.Capacity())
	}
	t.r.Logf("Image sizes %d train, %d val; device %s; ONNX Runtime %s", t.side, t.side, device, ort.Version())
	if t.p.Iteration > 0 {
		t.r.Logf("Resuming at epoch %d, batch %d, for %d epochs", t.p.Epoch, t.p.Batch, t.o.Epochs)
		return
	}
	t.r.Logf("Starting training for %d epochs", t.o.Epochs)
}

// validateOnly is a run of no epochs.
func (t *training) validateOnly(ctx context.Context) (*Summary, error) {
	start := time.Now()
	e, err := t.validator.Run(ctx, t.model, t.o.Runtime)
	if err != nil {
		return nil, err
	}
	t.clock.validation += time.Since(start)
	t.nameUnread()
	r := t.report()
	r.Metrics = runs.MetricsOf(0, runs.Row{Precision: e.Precision, Recall: e.Recall, MAP50: e.MAP50, MAP: e.MAP})
	return r, nil
}

// finish exports the best weights, draws, and sums the run up.
func (t *training) finish(ctx context.Context) (*Summary, error) {
	start := time.Now()
	best, err := model.Load(t.weights(bestName))
	if err != nil {
		return nil, fmt.Errorf("read back the best weights: %w", err)
	}
	source, err := model.SourceOf(best.Path)
	if err != nil {
		return nil, err
	}
	graph, err := export.ONNX(best, source, export.Options{Version: t.o.Version, Batch: 1, Height: t.side, Width: t.side})
	if err != nil {
		return nil, err
	}
	if err := wire.Write(t.weights(exportName), graph); err != nil {
		return nil, err
	}
	t.clock.saving += time.Since(start)
	t.lookAtBest(ctx, best)
	t.look(func() error { return drawResults(t.dir) })
	r := t.report()
	r.Best, r.Last, r.Export = t.weights(bestName), t.weights(lastName), t.weights(exportName)
	r.Metrics = runs.MetricsOf(t.p.BestEpoch, runs.Row(t.p.Best))
	return r, r.write(filepath.Join(t.dir, runs.SummaryFile))
}
