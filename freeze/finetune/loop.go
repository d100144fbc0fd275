package finetune

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
)

// NonFiniteError says that training left the numbers.
type NonFiniteError struct {
	Epoch, Batch int
	What         string
	Pictures     []string
	Kept         string // the last good checkpoint, "" when there is none yet
}

func (e *NonFiniteError) Error() string {
	text := fmt.Sprintf("epoch %d, batch %d: %s", e.Epoch, e.Batch, e.What)
	if len(e.Pictures) > 0 {
		text += ", on pictures " + strings.Join(e.Pictures, ", ")
	}
	if e.Kept != "" {
		text += "; the last good checkpoint is " + e.Kept
	}
	return text
}

// NonFinite marks the error for the exit code.
func (e *NonFiniteError) NonFinite() bool { return true }

// Hint says what usually helps.
func (e *NonFiniteError) Hint() string {
	return "lower lr0 in the hyperparameters, or look at these pictures' labels"
}

// train runs the epochs that are left.
func (t *training) train(ctx context.Context) error {
	announced := false
	for t.p.Epoch < t.o.Epochs && !t.p.Stopped {
		if err := t.openEngine(); err != nil {
			return err
		}
		if !announced {
			announced = true
			t.announce()
		}
		if !t.p.Trained {
			if t.cut().Layers > 0 && t.features.store == nil {
				if err := t.openFeatures(ctx); err != nil {
					return err
				}
			}
			if err := t.trainEpoch(ctx); err != nil {
				return err
			}
		}
		if err := t.closeEpoch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// trainEpoch runs the batches of an epoch from t.p.Batch on.
func (t *training) trainEpoch(ctx context.Context) error {
	if t.p.Batch == 0 { // gradients that no step took are dropped, as in YOLOv5
		t.engine.ClearGradients()
		t.p.Sums = [3]float64{}
	}
	var source batches = t.loader
	if t.cut().Layers > 0 {
		source = t.features.loader
	}
	waited := source.Waited()
	for b, err := range source.EpochFrom(ctx, t.p.Epoch, t.p.Batch) {
		if err != nil {
			return err
		}
		t.clock.data, waited = t.clock.data+source.Waited()-waited, source.Waited()
		if err := t.trainBatch(b); err != nil {
			return err
		}
		source.Recycle(b)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	t.p.Trained = true
	return nil
}

func (t *training) trainBatch(b *loader.Batch) error {
	rates, accumulate := t.schedule.At(t.p.Epoch, t.p.Iteration)
	start := time.Now()
	in := b.Extra.(stepInput)
	capacity := t.engine.Capacity()
	l, err := t.engine.AccumulateSized(in.feed, b.Size, b.Height, b.Width, in.matches)
	t.clock.step += time.Since(start)
	if err != nil {
		return err
	}
	if now := t.engine.Capacity(); now != capacity {
		t.r.Logf("epoch %d, batch %d has %d matches on a level: the graphs are captured anew, for %d", t.p.Epoch, t.p.Batch, step.Fullest(in.matches), now)
	}
	if !l.Finite() {
		return t.nonFinite(b, fmt.Sprintf("the loss is %g (box %g, objectness %g, class %g)", l.Total, l.Box, l.Obj, l.Cls))
	}
	if t.p.Iteration-t.p.LastStep >= accumulate {
		start := time.Now()
		rates.EMADecay = step.EMADecay(t.p.Steps + 1)
		norm, err := t.engine.Step(rates)
		t.clock.optimizer += time.Since(start)
		if err != nil {
			return err
		}
		if !(norm >= 0 && norm < maxFloat32) {
			return t.nonFinite(b, fmt.Sprintf("the gradients' norm is %g", norm))
		}
		t.p.LastStep = t.p.Iteration
		t.p.Steps = t.engine.Steps()
	}
	if b.Images != nil { // of features, sheets were drawn when they were made
		t.drawTrainSheet(t.p.Iteration, b)
	}
	t.p.Last.LR = rates.LR
	t.p.Iteration++
	t.p.Batch++
	t.clock.images += t.pictures(b)
	for i, v := range []float64{l.Box, l.Obj, l.Cls} {
		t.p.Sums[i] += v
	}
	mean := t.means()
	t.r.Batch(BatchResult{Epoch: t.p.Epoch, Epochs: t.o.Epochs, Batch: t.p.Batch, Batches: t.loader.Batches(),
		Box: mean[0], Obj: mean[1], Cls: mean[2], Instances: len(b.Targets), Side: max(b.Width, b.Height), Memory: machine.PeakMemory()})
	return nil
}

const maxFloat32 = 0x1p127 * (1 + (1 - 0x1p-23))

// means are the epoch's losses so far.
func (t *training) means() (mean [3]float64) {
	for i, sum := range t.p.Sums {
		mean[i] = sum / float64(max(t.p.Batch, 1))
	}
	return mean
}

func (t *training) nonFinite(b *loader.Batch, what string) error {
	e := &NonFiniteError{Epoch: t.p.Epoch, Batch: t.p.Batch, What: what, Kept: t.kept()}
	for _, i := range b.Samples {
		e.Pictures = append(e.Pictures, filepath.Base(t.set.Splits["train"][i].Path))
	}
	return e
}

// kept is the checkpoint that stays when the run fails.
func (t *training) kept() string {
	if last := t.weights(lastName); disk.IsFile(last) {
		return last
	}
	return ""
}

// closeEpoch validates, keeps the books, and saves.
func (t *training) closeEpoch(ctx context.Context) error {
	p := &t.p
	result := EpochResult{Epochs: t.o.Epochs, Names: t.model.Names}
	row := runs.Row(p.Last)
	row.Epoch, row.Train = p.Epoch, t.means()
	final := p.Epoch+1 == t.o.Epochs
	if !t.o.NoVal || final || t.mayStop() {
		e, err := t.validate(ctx)
		if err != nil {
			return err
		}
		row.Precision, row.Recall, row.MAP50, row.MAP = e.Precision, e.Recall, e.MAP50, e.MAP
		row.Val = [3]float64{e.Box, e.Obj, e.Cls}
		p.Maps = e.Maps(t.model.Net.NC)
		result.Evaluation = e
	}
	if fitness := row.Fitness(); !p.HasBest || fitness > p.BestFitness {
		p.HasBest, p.BestFitness, p.BestEpoch, p.Best, result.Best = true, fitness, p.Epoch, rowFields(row), true
	}
	p.Stopped = t.o.Patience > 0 && p.Epoch-p.BestEpoch >= t.o.Patience
	result.Row, p.Last = row, rowFields(row)
	epoch := p.Epoch
	p.Epoch, p.Batch, p.Trained, p.Sums = p.Epoch+1, 0, false, [3]float64{}
	if err := t.save(epoch, result, final || p.Stopped); err != nil {
		return err
	}
	t.tell(func(l logger) error { return l.epoch(ctx, row) })
	t.nameUnread()
	t.r.Epoch(result)
	if p.Stopped && !final {
		t.r.Logf("stopped early: no improvement in %d epochs, the best was epoch %d", t.o.Patience, p.BestEpoch)
	}
	return nil
}

// nameUnread names, once, the pictures that turned out to be unreadable: in training the
// next one stands in for each, in validation it is left out with its objects.
func (t *training) nameUnread() {
	const most = 10
	var fresh []loader.BadPicture
	for _, bad := range slices.Concat(t.loader.Bad(), t.validator.Bad()) {
		if !t.unread[bad.Path] {
			t.unread[bad.Path], fresh = true, append(fresh, bad)
		}
	}
	for _, bad := range fresh[:min(len(fresh), most)] {
		t.r.Warnf("cannot be used, and was passed over: %v", bad.Err)
	}
	if more := len(fresh) - most; more > 0 {
		t.r.Warnf("so were %d more pictures; see dataset check with `decode`", more)
	}
}

// mayStop tells whether patience may end the run with this epoch.
func (t *training) mayStop() bool {
	return t.o.Patience > 0 && t.p.HasBest && t.p.Epoch-t.p.BestEpoch >= t.o.Patience
}

func (t *training) validate(ctx context.Context) (*validate.Evaluation, error) {
	start := time.Now()
	if err := t.engine.Sync(); err != nil {
		return nil, err
	}
	t.holdFeatures()
	e, err := t.validator.Run(ctx, &model.Model{Net: t.model.Net, State: t.engine.Weights(true)}, t.o.Runtime)
	t.clock.validation += time.Since(start)
	if err == nil && !(step.Losses{Box: e.Box, Obj: e.Obj, Cls: e.Cls}).Finite() {
		err = &NonFiniteError{Epoch: t.p.Epoch, Batch: t.p.Batch, What: fmt.Sprintf("the validation loss is %g", e.Box+e.Obj+e.Cls), Kept: t.kept()}
	}
	return e, err
}

// save writes an epoch's rows, then weights. The checkpoint comes last: what
// it does not know of yet is taken back when the run resumes.
func (t *training) save(epoch int, r EpochResult, final bool) error {
	start := time.Now()
	defer func() { t.clock.saving += time.Since(start) }()
	lines := [3]string{r.Line(), "", t.clock.line(epoch)}
	if r.Evaluation != nil {
		var err error
		if lines[1], err = runs.ClassLines(epoch, r.Evaluation.Classes(t.model.Names)); err != nil {
			return err
		}
	}
	for i, table := range runs.Tables(t.dir) {
		if err := table.Add(lines[i]); err != nil {
			return err
		}
	}
	if t.o.NoSave && !final {
		return nil
	}
	if err := t.engine.Sync(); err != nil {
		return err
	}
	m := t.averagedModel()
	if r.Best || !disk.IsFile(t.weights(bestName)) {
		if err := model.Save(t.weights(bestName), m); err != nil {
			return err
		}
	}
	if t.o.SavePeriod > 0 && (epoch+1)%t.o.SavePeriod == 0 {
		if err := model.Save(t.weights(fmt.Sprintf("epoch%d.safetensors", epoch)), m); err != nil {
			return err
		}
	}
	return t.saveLast()
}
