package finetune

import (
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
func (t *training) chooseBatch() error {
	if t.o.BatchSize != options.AutoBatch {
		return nil
	}
	device := t.o.Runtime.Device
	free, known := freeOn(device)
	if !known {
		t.o.BatchSize = autoBatchUnknown
		t.r.Warnf("AutoBatch: the free memory of %s is not known, using batch size %d", device.Kind, t.o.BatchSize)
		return nil
	}
	fixed, picture, err := t.stepMemory()
	if err != nil {
		return err
	}
	budget := int64(float64(free) * autoBatchShare)
	t.o.BatchSize = max(fitting(budget, fixed, picture), 1)
	t.r.Logf("AutoBatch: a step takes about %.2f GB and %.3f GB a picture (estimated from its graph), of %.2f GB: batch size %d",
		float64(fixed)/1e9, float64(picture)/1e9, float64(budget)/1e9, t.o.BatchSize)
	return nil
}

// fitting is how many pictures a budget is enough for: up to the nominal batch,
// from which on larger ones only make steps rarer; 0 when not even one fits.
func fitting(budget, fixed, picture int64) int {
	return int(min(max((budget-fixed)/max(picture, 1), 0), step.NominalBatch))
}

// freeOn returns the free bytes of a device's memory, false where they are not known.
func freeOn(d ort.Device) (int64, bool) {
	if d.Kind == ort.CPU {
		return machine.FreeMemory(), true
	}
	return d.FreeMemory()
}

// stepMemory estimates the memory of the run's last stage, which trains the most.
func (t *training) stepMemory() (fixed, picture int64, err error) {
	fixed, picture, err = step.Memory(step.Spec{Net: t.model.Net, State: t.model.State, Plan: t.stages[len(t.stages)-1].Plan,
		Height: t.side, Width: t.side, Loss: t.loss, Optimizer: optim.Options{Algorithm: t.o.Optimizer},
		AMP: t.o.Products, Target: step.TargetOf(t.o.Runtime.Device), Native: t.o.Kernels == step.Native})
	if err != nil {
		return 0, 0, fmt.Errorf("estimate a step's memory: %w", err)
	}
	return fixed, picture, nil
}
