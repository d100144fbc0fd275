package metric

import "slices"

// Confusion counts what was found where: rows are predicted classes, columns
// true ones, and the last of each is the background. A detection over
// background counts also in pictures without labels.
type Confusion struct {
	Classes int
	Counts  map[Confused]int // those over 0: of thousands of classes few pairs are ever seen
}

// Confused is a cell of the matrix: what was found, and what it is. The number after the
// last class stands for the background.
type Confused struct{ Predicted, Truth int }

// The limits above which a detection enters the confusion matrix, and above
// which it counts as being on a label.
const (
	confusionConf = .25
	confusionIoU  = .45
)

// At returns how often class truth was taken for class predicted; Classes
// stands for the background.
func (c *Confusion) At(predicted, truth int) int {
	return c.Counts[Confused{predicted, truth}]
}

// Normalised returns the shares of each column's objects that are over 0.
func (c *Confusion) Normalised() map[Confused]float64 {
	sums := map[int]int{}
	for at, n := range c.Counts {
		sums[at.Truth] += n
	}
	out := make(map[Confused]float64, len(c.Counts))
	for at, n := range c.Counts {
		out[at] = float64(n) / float64(sums[at.Truth])
	}
	return out
}

func newConfusion(classes int) Confusion {
	return Confusion{classes, map[Confused]int{}}
}

func (c *Confusion) count(predicted, truth int) {
	c.Counts[Confused{predicted, truth}]++
}

// add counts one picture. Pairs are made without regard to class: best overlap
// first, first one label per detection, then one detection per label.
func (c *Confusion) add(dets []Detection, labels []LabelBox) {
	type pair struct {
		label, det int
		iou        float32
	}
	var pairs []pair
	for d := range dets {
		if !(dets[d].Conf > confusionConf) {
			continue
		}
		best := pair{-1, d, confusionIoU}
		for l := range labels {
			if v := IoU(labels[l].box(), dets[d].box()); v > best.iou {
				best.label, best.iou = l, v
			}
		}
		if best.label >= 0 {
			pairs = append(pairs, best)
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		switch {
		case a.iou > b.iou:
			return -1
		case a.iou < b.iou:
			return 1
		}
		return 0
	})
	matchedLabel, matchedDet := make([]bool, len(labels)), make([]bool, len(dets))
	for _, p := range pairs {
		if !matchedLabel[p.label] {
			matchedLabel[p.label], matchedDet[p.det] = true, true
			c.count(dets[p.det].Class, labels[p.label].Class)
		}
	}
	for l := range labels {
		if !matchedLabel[l] {
			c.count(c.Classes, labels[l].Class)
		}
	}
	for d := range dets {
		if dets[d].Conf > confusionConf && !matchedDet[d] {
			c.count(dets[d].Class, c.Classes)
		}
	}
}
