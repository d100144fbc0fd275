// Package torch reads PyTorch checkpoints (.pt) of YOLOv5 without Python and
// without executing anything.
//
// A checkpoint is a zip archive with one pickle, a program for a stack machine,
// and one record of raw numbers for each storage
// (https://github.com/pytorch/pytorch/blob/main/docs/source/notes/serialization.rst;
// opcodes: CPython's Lib/pickletools.py). The machine here knows no import: a
// global is either in the fixed list of globals.go, where a few names have a Go
// function behind them and classes become inert Objects, or the file is refused
// by that name. Checksums, sizes, shapes and every count are checked, because a
// checkpoint is a stranger's file.
//
// The way of the data: Load → sniff.go (is it a checkpoint at all?) → zip.go or
// legacy.go (records) → pickle.go (values) → storage.go (tensors) → module.go
// (the tree of modules) → Checkpoint.
//
//	c, err := torch.Load("yolov5n.pt")
//	net, weights, err := yolov5.FromCheckpoint(c)
//
// The way back is Encode, of which EncodeState writes a bare state dict.
//
// It knows nothing of what a layer computes, nor of graphs (package yolov5
// builds them from the Checkpoint).
package torch
