package finetune

import (
	"fmt"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// trainer owns the engine: it opens one for the stage that an epoch is in, and takes steps.
type trainer struct {
	*job
	recipe    step.Recipe
	engine    *step.Engine // nil before the first stage is opened
	stage     freeze.Stage
	moved     step.Traffic // by engines before this one
	placement *step.Placement
}

// open builds the graphs of the stage that an epoch is in, carrying over
// what an earlier engine or the resumed run leaves.
func (t *trainer) open(epoch int) error {
	stage := freeze.At(t.stages, epoch)
	if t.engine != nil && stage.Epoch == t.stage.Epoch {
		return nil
	}
	state := t.model.State
	if t.engine != nil {
		state = t.engine.Weights(false)
		t.r.Logf("epoch %d: %v", epoch, stage.Plan.Summary())
	}
	o := t.o.Runtime
	o.Placement, o.Capture, o.Native = true, t.o.CUDAGraph, t.o.Kernels == step.Native
	batch, size := t.stepSize()
	loss := t.loss
	loss.Capacity = t.capacity()
	e, err := step.NewEngine(&step.Spec{
		Net: t.model.Net, State: state, Plan: stage.Plan, Batch: batch, Height: size.Height, Width: size.Width, Loss: loss,
		Optimizer: optim.Options{Algorithm: t.o.Optimizer, WeightDecay: t.recipe.WeightDecay(), ClipNorm: step.ClipNorm},
		AMP:       t.o.Products, Cut: t.features.cutFor(stage), Teacher: t.teacher.step(t.job),
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
		t.resumed.Restore(e)
		if !t.ranks.Root() { // what waits to be summed counts once
			e.ClearGradients()
		}
		t.resumed = nil // its tensors may go
	}
	e.Join(t.ranks.Group)
	t.engine, t.stage = e, stage
	return nil
}

// newTrainer is one that has opened nothing yet, for epochs of so many batches.
func newTrainer(j *job, batches int) *trainer {
	return &trainer{job: j, stage: freeze.At(j.stages, j.begin().Epoch), recipe: step.Recipe{Hyp: j.o.Hyp, Epochs: j.o.Epochs,
		Batches: batches, BatchSize: j.o.BatchSize, Cosine: j.o.CosLR, Adam: j.o.Optimizer != "SGD"}}
}

// cut is that of the stage under way.
func (t *trainer) cut() step.Cut { return t.features.cutFor(t.stage) }

// capacity is the number of matches that captured graphs are built for: of a
// batch of usual pictures, or what an earlier engine came to; 0 where none are.
func (t *trainer) capacity() int {
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

// stepped is what a batch has come to.
type stepped struct {
	loss  step.Losses
	rates step.Rates
	bad   string // why training has left the numbers, "" when it has not
}

// train adds a batch's gradients up and, when enough have come together, takes a step.
func (t *trainer) train(b *batch, p *checkpoint.Progress, c *clock) (s stepped, err error) {
	var accumulate int
	s.rates, accumulate = t.recipe.At(p.Epoch, p.Iteration)
	if s.loss, err = t.accumulate(b, p, c); err != nil {
		return s, err
	}
	if l := s.loss; !l.Finite() {
		s.bad = fmt.Sprintf("the loss is %g (box %g, objectness %g, class %g)", l.Total, l.Box, l.Obj, l.Cls)
		return s, nil
	}
	if p.Iteration-p.LastStep < accumulate {
		return s, nil
	}
	start := time.Now()
	s.rates.EMADecay = step.EMADecay(p.Steps + 1)
	norm, err := t.engine.Step(s.rates)
	c.optimizer += time.Since(start)
	if err != nil {
		return s, err
	}
	if !(norm >= 0 && norm < maxFloat32) {
		s.bad = fmt.Sprintf("the gradients' norm is %g", norm)
		return s, nil
	}
	p.LastStep, p.Steps = p.Iteration, t.engine.Steps()
	return s, nil
}

// accumulate adds a batch's gradients to those that wait; a rank that has no batch adds none.
func (t *trainer) accumulate(b *batch, p *checkpoint.Progress, c *clock) (loss step.Losses, err error) {
	if b == nil {
		return loss, nil
	}
	start, capacity := time.Now(), t.engine.Capacity()
	matches := t.model.Net.Assign(targetsOf(b.Batch), b.Height, b.Width, t.loss.AnchorT)
	loss, err = t.engine.AccumulateSized(b.inputs, b.Size, b.Height, b.Width, matches)
	c.step += time.Since(start)
	if now := t.engine.Capacity(); err == nil && now != capacity {
		t.r.Logf("epoch %d, batch %d has %d matches on a level: the graphs are captured anew, for %d", p.Epoch, p.Batch, step.Fullest(matches), now)
	}
	return loss, err
}

// targetsOf are the objects of a batch as the loss takes them.
func targetsOf(b *loader.Batch) []yolov5.Target {
	targets := make([]yolov5.Target, len(b.Targets))
	for i, o := range b.Targets {
		targets[i] = yolov5.Target{Image: int(o.Image), Class: int(o.Class), X: float64(o.X), Y: float64(o.Y), W: float64(o.W), H: float64(o.H)}
	}
	return targets
}

const maxFloat32 = 0x1p127 * (1 + (1 - 0x1p-23))

// announce says what is about to start.
func (t *trainer) announce(p *checkpoint.Progress) {
	counts := t.engine.Graphs.Groups()
	t.r.Logf("optimizer: %s(lr=%g) with parameter groups %d weight(decay=0), %d weight(decay=%g), %d bias", t.o.Optimizer, t.o.Hyp.LR0,
		counts[optim.Norms], counts[optim.Weights], t.recipe.WeightDecay(), counts[optim.Biases])
	device := t.o.Runtime.Device.String()
	if why := t.o.Runtime.Device.Why; why != "" {
		device += " (" + why + ")"
	}
	if t.o.Kernels == step.Native {
		device += ", native kernels"
	}
	if t.o.Products != onnx.Undefined {
		device += fmt.Sprintf(", products in %v", t.o.Products)
	}
	if t.o.CUDAGraph {
		device += fmt.Sprintf(", captured, for up to %d matches a level", t.engine.Capacity())
	}
	t.r.Logf("Image sizes %v train, %v val; device %s; ONNX Runtime %s", t.size, t.size, device, ort.Version())
	if p.Iteration > 0 {
		t.r.Logf("Resuming at epoch %d, batch %d, for %d epochs", p.Epoch, p.Batch, t.o.Epochs)
		return
	}
	t.r.Logf("Starting training for %d epochs", t.o.Epochs)
}

// averaged is the model as it is kept, with the branches that do not train.
func (t *trainer) averaged() (*model.Model, error) {
	m := *t.model
	m.State, m.Metadata = t.engine.Weights(true), t.metadata(t.stage.Plan)
	if t.kept == nil {
		return &m, nil
	}
	return t.kept.Join(&m, t.shared)
}

func (t *trainer) close() {
	if t.engine != nil {
		t.engine.Close()
	}
}
