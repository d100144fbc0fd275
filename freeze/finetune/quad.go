package finetune

import (
	"fmt"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
)

// planQuad prepares for batches of joined pictures. There are a quarter as many,
// so each counts for four: steps then weigh as much as those of single ones.
func (j *job) planQuad() error {
	if !j.o.Quad {
		return nil
	}
	if j.batch < options.QuadPictures {
		return &disk.InputError{Path: j.set.Path, Err: fmt.Errorf("batches of %d pictures: quad needs at least %d", j.batch, options.QuadPictures)}
	}
	j.batch -= j.batch % options.QuadPictures
	j.o.BatchSize -= j.o.BatchSize % options.QuadPictures // of AutoBatch
	j.loss.Weight = options.QuadPictures
	return nil
}

// stepSize returns what the network gets of a full batch: how many pictures, of which size.
func (j *job) stepSize() (batch int, size dataset.Size) {
	if j.o.Quad {
		return j.batch / options.QuadPictures, dataset.Size{Height: 2 * j.size.Height, Width: 2 * j.size.Width}
	}
	return j.batch, j.size
}

// picturesIn returns how many pictures went into a batch.
func (j *job) picturesIn(b *loader.Batch) int {
	if j.o.Quad {
		return b.Size * options.QuadPictures
	}
	return b.Size
}
