// Package plot draws what people look at after a run, as YOLOv5 lays it out:
// losses and metrics over epochs, curves over confidence, the confusion matrix,
// and what the labels are like.
//
// It draws numbers that others have found into PNG and JPEG files; it knows
// nothing of training, networks or run folders.
package plot
