package finetune

import (
	"fmt"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
)

// planQuad prepares for batches of joined pictures. There are a quarter as many,
// so each counts for four: steps then weigh as much as those of single ones.
func (t *training) planQuad() error {
	if !t.o.Quad {
		return nil
	}
	if t.batch < options.QuadPictures {
		return &disk.InputError{Path: t.set.Path, Err: fmt.Errorf("batches of %d pictures: quad needs at least %d", t.batch, options.QuadPictures)}
	}
	t.batch -= t.batch % options.QuadPictures
	t.o.BatchSize -= t.o.BatchSize % options.QuadPictures // of AutoBatch
	t.loss.Weight = options.QuadPictures
	return nil
}

// stepSize returns what the network gets of a full batch: how many pictures, of which side.
func (t *training) stepSize() (batch, side int) {
	if t.o.Quad {
		return t.batch / options.QuadPictures, 2 * t.side
	}
	return t.batch, t.side
}

// pictures returns how many pictures went into a batch.
func (t *training) pictures(b *loader.Batch) int {
	if t.o.Quad {
		return b.Size * options.QuadPictures
	}
	return b.Size
}
