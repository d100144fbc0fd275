// Package dataset holds pictures and their objects, and everything that
// happens to them before training: decoding, resizing, checks and statistics.
//
// Readers and writers of the on-disk formats live in the packages yolo, voc
// and coco; format finds out which of them a path is meant for. A data set is
// only ever read: nothing is written into it, nothing that it names is
// executed or fetched.
//
//	set, err := format.Open("data.yaml", dataset.ReadOptions{Splits: []string{"train", "val"}})
//	first := set.Splits["train"][0]
//
// The package knows nothing of models, graphs or runtimes.
package dataset
