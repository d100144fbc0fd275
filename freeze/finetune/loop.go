package finetune

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/machine"
)

// loop runs the epochs of a run: batch by batch to the trainer, then a validation. Whoever
// wants to hear of it is called back; see newLoop for who does.
type loop struct {
	*trainer
	p         checkpoint.Progress
	pictures  *loader.Loader
	validator *validate.Validator
	whole     *validate.Validator // the same, or one of all pictures where ranks share them
	folder    *folder
	artist    *artist
	clock     *clock

	onBatch func(BatchResult)
	onEpoch []func(context.Context, EpochResult) error // in turn; an error ends the run
}

// run goes through the epochs that are left.
func (l *loop) run(ctx context.Context) error {
	announced := false
	for l.p.Epoch < l.o.Epochs && !l.p.Stopped {
		if err := l.open(l.p.Epoch); err != nil {
			return err
		}
		if !announced {
			announced = true
			l.announce(&l.p)
		}
		if !l.p.Trained {
			if err := l.trainEpoch(ctx); err != nil {
				return err
			}
			if err := l.alike(); err != nil {
				return err
			}
		}
		if err := l.closeEpoch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// source is where the epoch's batches come from.
func (l *loop) source(ctx context.Context) (batches, error) {
	if l.cut().Layers == 0 {
		return pictureSource{l.pictures}, nil
	}
	return l.features.source(ctx, l)
}

// trainEpoch runs the batches of an epoch from p.Batch on.
func (l *loop) trainEpoch(ctx context.Context) error {
	source, err := l.source(ctx)
	if err != nil {
		return err
	}
	if l.p.Batch == 0 { // gradients that no step took are dropped, as in YOLOv5
		l.engine.ClearGradients()
		l.p.Sums = [3]float64{}
	}
	waited := source.Waited()
	reading := ctx
	if l.ranks.several() { // the ranks stop together
		reading = context.WithoutCancel(ctx)
	}
	for b, err := range l.inStep(ctx, source.EpochFrom(reading, l.p.Epoch, l.p.Batch)) {
		if err != nil {
			return err
		}
		l.clock.data, waited = l.clock.data+source.Waited()-waited, source.Waited()
		if err := l.trainBatch(b); err != nil {
			return err
		}
		if b != nil {
			source.Recycle(b)
		}
		if err := reading.Err(); err != nil {
			return err
		}
	}
	l.p.Trained = true
	return nil
}

func (l *loop) trainBatch(b *batch) error {
	p := &l.p
	s, err := l.train(b, p, l.clock)
	if err != nil {
		return err
	}
	if s.bad != "" {
		e := &NonFiniteError{Epoch: p.Epoch, Batch: p.Batch, What: s.bad, Kept: l.folder.kept()}
		for _, i := range b.samples() {
			e.Pictures = append(e.Pictures, filepath.Base(l.set.Splits["train"][i].Path))
		}
		return e
	}
	if b != nil && b.Images != nil { // of features, sheets were drawn when they were made
		l.artist.trainSheet(p.Iteration, b.Batch)
	}
	bar, pictures := BatchResult{Epoch: p.Epoch, Epochs: l.o.Epochs, Batches: l.pictures.Batches()}, 0
	if b != nil {
		bar.Instances, bar.Side, pictures = len(b.Targets), max(b.Width, b.Height), l.picturesIn(b.Batch)
	}
	if pictures, err = l.mean(&s, pictures, b != nil); err != nil {
		return err
	}
	p.Last.LR = s.rates.LR
	p.Iteration++
	p.Batch++
	l.clock.images += pictures
	for i, v := range []float64{s.loss.Box, s.loss.Obj, s.loss.Cls} {
		p.Sums[i] += v
	}
	mean := p.Means()
	bar.Batch, bar.Box, bar.Obj, bar.Cls, bar.Memory = p.Batch, mean[0], mean[1], mean[2], machine.PeakMemory()
	l.onBatch(bar)
	return nil
}

// closeEpoch validates, keeps the books, and tells of it.
func (l *loop) closeEpoch(ctx context.Context) error {
	p := &l.p
	result := EpochResult{Epochs: l.o.Epochs, Names: l.model.Names}
	row := runs.Row(p.Last)
	row.Epoch, row.Train = p.Epoch, p.Means()
	final := p.Epoch+1 == l.o.Epochs
	if !l.o.NoVal || final || l.mayStop() {
		e, err := l.validate(ctx)
		if err != nil {
			return err
		}
		row.Precision, row.Recall, row.MAP50, row.MAP = e.Precision, e.Recall, e.MAP50, e.MAP
		row.Val = [3]float64{e.Box, e.Obj, e.Cls}
		p.Maps = e.Maps(l.model.Net.NC)
		result.Evaluation = e
	}
	if fitness := row.Fitness(); !p.HasBest || fitness > p.BestFitness {
		p.HasBest, p.BestFitness, p.BestEpoch, p.Best, result.Best = true, fitness, p.Epoch, checkpoint.Row(row), true
	}
	p.Stopped = l.o.Patience > 0 && p.Epoch-p.BestEpoch >= l.o.Patience
	result.Row, p.Last, result.last = row, checkpoint.Row(row), final || p.Stopped
	p.Epoch, p.Batch, p.Trained, p.Sums = p.Epoch+1, 0, false, [3]float64{}
	for _, tell := range l.onEpoch {
		if err := tell(ctx, result); err != nil {
			return err
		}
	}
	if p.Stopped && !final {
		l.r.Logf("stopped early: no improvement in %d epochs, the best was epoch %d", l.o.Patience, p.BestEpoch)
	}
	return nil
}

// mayStop tells whether patience may end the run with this epoch.
func (l *loop) mayStop() bool {
	return l.o.Patience > 0 && l.p.HasBest && l.p.Epoch-l.p.BestEpoch >= l.o.Patience
}

func (l *loop) validate(ctx context.Context) (*validate.Evaluation, error) {
	start := time.Now()
	if err := l.engine.Sync(); err != nil {
		return nil, err
	}
	l.features.hold(l.validator, l.stage)
	if l.ranks.several() { // who looks at a part of the pictures waits for the others
		ctx = context.WithoutCancel(ctx)
	}
	e, err := l.validator.Run(ctx, &model.Model{Net: l.model.Net, State: l.engine.Weights(true)}, l.o.Runtime)
	l.clock.validation += time.Since(start)
	if err == nil && !(step.Losses{Box: e.Box, Obj: e.Obj, Cls: e.Cls}).Finite() {
		err = &NonFiniteError{Epoch: l.p.Epoch, Batch: l.p.Batch, What: fmt.Sprintf("the validation loss is %g", e.Box+e.Obj+e.Cls), Kept: l.folder.kept()}
	}
	return e, err
}
