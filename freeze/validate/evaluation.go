package validate

import (
	"time"

	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/runs"
)

// Evaluation is what a validation found.
type Evaluation struct {
	metric.Result
	Box, Obj, Cls               float64 // losses, means over batches
	Pre, Inference, Suppression time.Duration
	Total                       time.Duration
}

// Classes lists the classes that occur in the labels.
func (e *Evaluation) Classes(names []string) []runs.Class {
	list := make([]runs.Class, len(e.PerClass))
	for i, c := range e.PerClass {
		list[i] = runs.Class{Class: c.Class, Name: names[c.Class], Images: c.Images, Instances: c.Instances, Precision: c.P, Recall: c.R, F1: c.F1, AP50: c.AP50, AP: c.AP}
	}
	return list
}

// Speed is milliseconds per picture: waiting for pictures, running the graph,
// and what remains of decoding and suppression when the graph has run.
type Speed struct {
	Pre       float64 `json:"pre"`
	Inference float64 `json:"inference"`
	NMS       float64 `json:"nms"`
}

// Speed returns the means over the split's pictures.
func (e *Evaluation) Speed() Speed {
	per := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(max(e.Images, 1)) }
	return Speed{per(e.Pre), per(e.Inference), per(e.Suppression)}
}

// Maps are the classes' average precisions; a class without objects has the mean.
func (e *Evaluation) Maps(classes int) []float64 {
	list := make([]float64, classes)
	for i := range list {
		list[i] = e.MAP
	}
	for _, c := range e.PerClass {
		list[c.Class] = c.AP
	}
	return list
}
