package plot

import (
	"errors"
	"fmt"
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
)

const (
	sheets    = 3   // batches of each kind that are drawn
	sheetConf = .25 // of detections, at least
)

// TrainBatch shows one of a run's first batches, with its objects, in a picture of a folder.
func TrainBatch(dir string, index int, b *loader.Batch, names []string, samples []dataset.Sample) error {
	if index >= sheets {
		return nil
	}
	return b.WriteSheet(filepath.Join(dir, fmt.Sprintf("train_batch%d.jpg", index)), b.Marks(), names, titles(b, samples))
}

// ValBatch shows labels and detections of one of the first batches in pictures of a folder.
func ValBatch(dir string, index int, b *loader.Batch, found [][]metric.Detection, names []string, samples []dataset.Sample) error {
	if index >= sheets {
		return nil
	}
	var marks []loader.Mark
	for i, dets := range found {
		for _, d := range dets {
			if d.Conf > sheetConf {
				marks = append(marks, loader.Mark{Image: i, Class: d.Class, X1: d.X1, Y1: d.Y1, X2: d.X2, Y2: d.Y2, Conf: d.Conf})
			}
		}
	}
	files := titles(b, samples)
	sheet := func(kind string, marks []loader.Mark) error {
		return b.WriteSheet(filepath.Join(dir, fmt.Sprintf("val_batch%d_%s.jpg", index, kind)), marks, names, files)
	}
	return errors.Join(sheet("labels", b.Marks()), sheet("pred", marks))
}

// titles are the names of a batch's files.
func titles(b *loader.Batch, samples []dataset.Sample) []string {
	list := make([]string, len(b.Samples))
	for i, s := range b.Samples {
		list[i] = filepath.Base(samples[s].Path)
	}
	return list
}
