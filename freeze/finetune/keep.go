package finetune

import (
	"context"
	"fmt"
	"time"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// keeper writes down what an epoch has come to: rows, weights, and the state to go on from.
type keeper struct {
	*folder
	loop *loop
}

// epoch writes rows, then weights. The checkpoint comes last: what it does not
// know of yet is taken back when the run resumes.
func (k *keeper) epoch(_ context.Context, r EpochResult) error {
	l := k.loop
	start := time.Now()
	defer func() { l.clock.saving += time.Since(start) }()
	if err := k.rows(r); err != nil {
		return err
	}
	if l.o.NoSave && !r.last {
		return nil
	}
	if err := l.engine.Sync(); err != nil {
		return err
	}
	m, err := l.averaged()
	if err != nil {
		return err
	}
	if r.Best || !disk.IsFile(k.weights(bestName)) {
		if err := model.Save(k.weights(bestName), m); err != nil {
			return err
		}
	}
	if period := l.o.SavePeriod; period > 0 && (r.Epoch+1)%period == 0 {
		if err := model.Save(k.weights(fmt.Sprintf("epoch%d.safetensors", r.Epoch)), m); err != nil {
			return err
		}
	}
	return k.write(m)
}

// rows adds an epoch to the run's tables.
func (k *keeper) rows(r EpochResult) (err error) {
	lines := [3]string{r.Line(), "", k.loop.clock.line(r.Epoch)}
	if r.Evaluation != nil {
		if lines[1], err = runs.ClassLines(r.Epoch, r.Evaluation.Classes(k.loop.model.Names)); err != nil {
			return err
		}
	}
	for i, table := range runs.Tables(k.dir) {
		if err := table.Add(lines[i]); err != nil {
			return err
		}
	}
	return nil
}

// state writes last.safetensors.
func (k *keeper) state() error {
	l := k.loop
	if err := l.engine.Sync(); err != nil {
		return err
	}
	m, err := l.averaged()
	if err != nil {
		return err
	}
	return k.write(m)
}

// write has last.safetensors hold averaged weights beside the engine's own.
func (k *keeper) write(m *model.Model) error {
	l := k.loop
	return checkpoint.Write(&checkpoint.State{Path: k.weights(checkpoint.LastFile), Options: l.o.Kept(), Source: l.job.source, Teacher: l.teacher.origin(), Data: l.fingerprint,
		Progress: l.p, Model: m}, l.engine)
}
