package finetune

import (
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
)

// diskBudget bounds the folder of decoded pictures.
const diskBudget = 32 << 30

// cacheBudgets says how many bytes of decoded pictures may stay in memory, and
// which folder holds the others.
func cacheBudgets(cache string) (ram int64, disk loader.DiskCache) {
	switch cache {
	case "auto":
		return machine.FreeMemory() / 4, disk
	case "ram":
		return machine.FreeMemory() / 10 * 8, disk
	case "disk":
		if dir := dataset.DefaultCacheDir(); dir != "" {
			disk = loader.DiskCache{Dir: filepath.Join(filepath.Dir(dir), "decoded"), Budget: diskBudget}
		}
	}
	return 0, disk
}

// loaders give the pictures that are trained on, and a validator of those that are not, which
// ranks share; whole is one that rank 0 has for itself.
// maps are the classes' average precisions, which image weights go by.
func (j *job) loaders(maps func() []float64) (pictures *loader.Loader, v, whole *validate.Validator, err error) {
	train, val := j.set.Splits["train"], j.set.Splits["val"]
	ram, decoded := cacheBudgets(j.o.Cache)
	share := ram * int64(len(train)) / int64(max(len(train)+len(val), 1))
	o := loader.Options{
		Samples: train, BatchSize: max(j.batch, 1), ImageSize: j.size.Width, Height: j.size.Other(), Stride: int(j.model.Net.MaxStride()),
		Rect: j.o.Rect, Seed: j.ranks.seed(j.o.Seed), Shuffle: !j.o.Rect,
		Augmentation: loader.Augmentation{Augment: true, Hyp: j.o.Hyp, Epochs: j.o.Epochs, CloseMosaic: j.o.CloseMosaic,
			MultiScale: j.o.MultiScale, Quad: j.o.Quad, Nine: j.o.Mosaic9},
		Reading: loader.Reading{BadImages: j.o.BadImages, Workers: j.o.Workers, CacheRAM: share, Disk: decoded},
	}
	if j.o.ImageWeights {
		classes := loader.ClassWeights(train, len(j.set.Names))
		o.Weights = func(int) []float64 { return loader.ImageWeights(train, classes, maps()) }
	}
	if pictures, err = loader.New(o); err != nil {
		return nil, nil, nil, &disk.InputError{Path: j.set.Path, Err: err}
	}
	of := validate.Defaults()
	of.Samples, of.BatchSize, of.ImageSize, of.Height, of.SingleCls, of.Loss = val, 2*j.o.BatchSize, j.size.Width, j.size.Other(), j.o.SingleCls, &j.loss
	of.AMP = j.o.Products
	of.Reading = loader.Reading{Workers: j.o.Workers, CacheRAM: ram - share, Disk: decoded, BadImages: j.o.BadImages}
	if whole, err = validate.New(j.model.Net, of); err == nil {
		of.Ranks, v = j.ranks.Group, whole
		if j.ranks.several() {
			v, err = validate.New(j.model.Net, of)
		}
	}
	if err != nil {
		return nil, nil, nil, &disk.InputError{Path: j.set.Path, Err: err}
	}
	v.Progress = j.r.Validating
	return pictures, v, whole, nil
}
