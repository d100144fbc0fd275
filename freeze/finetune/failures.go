package finetune

import (
	"fmt"
	"strconv"
	"strings"

	"yolofreeze/freeze/step"
	"yolofreeze/onnx/ort"
)

// MemoryError says that a step or a validation needs more memory than the device has.
type MemoryError struct {
	Device      ort.Device
	Batch, Side int
	Fits        int  // batch size that would fit; 0 when not even one picture would
	Estimated   bool // from the graph and the device's memory; half of Batch otherwise
	Err         error
}

func (e *MemoryError) Error() string {
	cure := fmt.Sprintf("batch size %d would fit (estimated from the graph)", e.Fits)
	switch {
	case e.Fits < 1:
		cure = "not even one picture would fit: take smaller pictures (`imgsz`), a smaller model, or freeze more"
	case !e.Estimated:
		cure = fmt.Sprintf("try batch size %d", e.Fits)
	}
	return fmt.Sprintf("out of memory on %s with batch size %d at %d pixels: %s: %v", e.Device, e.Batch, e.Side, cure, e.Err)
}

func (e *MemoryError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *MemoryError) Hint() string {
	if e.Fits < 1 {
		return "on a GPU, `amp fp16` takes less memory for each picture"
	}
	return fmt.Sprintf("`batch-size %d`; gradients of several batches add up to the same nominal batch of %d", e.Fits, step.NominalBatch)
}

// outOfMemory makes an error that came of too little memory name the batch size
// that would fit; others stay as they are.
func (t *trainer) outOfMemory(err error) error {
	if !ort.OutOfMemory(err) {
		return err
	}
	e := &MemoryError{Device: t.o.Runtime.Device, Batch: t.batch, Side: t.size.Longer(), Fits: t.batch / 2, Err: err}
	budget := t.memory()
	m, failed := t.stepMemory()
	if budget == 0 || failed != nil {
		return e
	}
	if fits := m.fits(budget); fits < t.batch { // else what was too much is no measure of it
		e.Fits, e.Estimated = fits, true
	}
	return e
}

// memory is what a run may have of its device's memory: what is free, and what
// the run's own session holds, but no more than a limit that was set; 0 when
// that is not known.
func (t *trainer) memory() int64 {
	budget, known := freeOn(t.o.Runtime.Device)
	if t.engine != nil && known && t.o.Runtime.Device.Kind != ort.CPU {
		if stats, err := t.engine.DeviceMemory(); err == nil {
			held, _ := strconv.ParseInt(stats["TotalAllocated"], 10, 64)
			budget += held
		}
	}
	if limit, err := strconv.ParseInt(t.o.Runtime.ProviderOptions["gpu_mem_limit"], 10, 64); err == nil && limit > 0 && (!known || limit < budget) {
		budget = limit
	}
	return budget
}

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
