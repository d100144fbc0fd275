package finetune

import (
	"context"
	"fmt"

	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/machine"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

const (
	autoBatchShare = .6 // of the free memory that a step may take; decoded pictures and validation need some

	autoBatchUnknown = 16 // where the device's memory is not known
)

// chooseBatch puts the largest batch that fits in the place of AutoBatch. What a
// step takes is estimated from its graph.
func (j *job) chooseBatch(ctx context.Context) error {
	if j.o.BatchSize != options.AutoBatch {
		return nil
	}
	device := j.o.Runtime.Device
	free, known := freeOn(device)
	if !known {
		j.o.BatchSize = autoBatchUnknown
		j.r.Warnf("AutoBatch: the free memory of %s is not known, using batch size %d", device.Kind, j.o.BatchSize)
		return nil
	}
	m, err := heeding(ctx, func() (m stepMemory, err error) { return j.stepMemory() })
	if err != nil {
		return err
	}
	budget := int64(float64(free) * autoBatchShare)
	j.o.BatchSize = max(m.fits(budget), 1)
	j.r.Logf("AutoBatch: a step takes about %.2f GB and %.3f GB a picture (estimated from its graph), of %.2f GB: batch size %d",
		float64(m.fixed)/1e9, float64(m.picture)/1e9, float64(budget)/1e9, j.o.BatchSize)
	return nil
}

// stepMemory is what a step takes of memory, in bytes.
type stepMemory struct{ fixed, picture int64 }

// fits is how many pictures a budget is enough for: up to the nominal batch,
// from which on larger ones only make steps rarer; 0 when not even one fits.
func (m stepMemory) fits(budget int64) int {
	return int(min(max((budget-m.fixed)/max(m.picture, 1), 0), step.NominalBatch))
}

// freeOn returns the free bytes of a device's memory, false where they are not known.
func freeOn(d ort.Device) (int64, bool) {
	if d.Kind == ort.CPU {
		return machine.FreeMemory(), true
	}
	return d.FreeMemory()
}

// stepMemory estimates the memory of the run's last stage, which trains the most.
func (j *job) stepMemory() (m stepMemory, err error) {
	m.fixed, m.picture, err = step.Memory(step.Spec{Net: j.model.Net, State: j.model.State, Plan: j.stages[len(j.stages)-1].Plan,
		Height: j.size.Height, Width: j.size.Width, Loss: j.loss, Optimizer: optim.Options{Algorithm: j.o.Optimizer},
		AMP: j.o.Products, Target: step.TargetOf(j.o.Runtime.Device), Native: j.o.Kernels == step.Native, Teacher: j.teacher.step(j)})
	if err != nil {
		return m, fmt.Errorf("estimate a step's memory: %w", err)
	}
	return m, nil
}
