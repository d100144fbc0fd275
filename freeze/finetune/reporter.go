package finetune

import (
	"context"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/validate"
)

// Reporter hears what a run does. Its methods are called from one goroutine and must not block.
type Reporter interface {
	Logf(format string, args ...any)
	Warnf(format string, args ...any)
	Data(*dataset.Set)            // the data set, as read
	Plan(*freeze.Plan)            // what is frozen at the start
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

	last bool // no epoch follows
}

// unread names, once, the pictures that turned out to be unreadable: in training the
// next one stands in for each, in validation it is left out with its objects.
func unread(r Reporter, pictures *loader.Loader, v *validate.Validator) func(context.Context, EpochResult) error {
	const most = 10
	named := map[string]bool{}
	return func(context.Context, EpochResult) error {
		var fresh []loader.BadPicture
		for _, bad := range slices.Concat(pictures.Bad(), v.Bad()) {
			if !named[bad.Path] {
				named[bad.Path], fresh = true, append(fresh, bad)
			}
		}
		for _, bad := range fresh[:min(len(fresh), most)] {
			r.Warnf("cannot be used, and was passed over: %v", bad.Err)
		}
		if more := len(fresh) - most; more > 0 {
			r.Warnf("so were %d more pictures; see dataset check with `decode`", more)
		}
		return nil
	}
}
