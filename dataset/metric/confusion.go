package metric

import "slices"

// Confusion counts what was found where: rows are predicted classes, columns
// true ones, and the last of each is the background. A detection over
// background counts also in pictures without labels.
type Confusion struct {
	Classes int
	Counts  []int // (Classes+1)×(Classes+1)
}

// The limits above which a detection enters the confusion matrix, and above
// which it counts as being on a label.
const (
	confusionConf = .25
	confusionIoU  = .45
)

// At returns how often class truth was taken for class predicted; Classes
// stands for the background.
func (c *Confusion) At(predicted, truth int) int {
	return c.Counts[predicted*(c.Classes+1)+truth]
}

// Normalised returns the share of each column's objects, row by row.
func (c *Confusion) Normalised() []float64 {
	n := c.Classes + 1
	out := make([]float64, len(c.Counts))
	for col := range n {
		var sum int
		for row := range n {
			sum += c.Counts[row*n+col]
		}
		if sum == 0 {
			continue
		}
		for row := range n {
			out[row*n+col] = float64(c.Counts[row*n+col]) / float64(sum)
		}
	}
	return out
}

func newConfusion(classes int) Confusion {
	return Confusion{classes, make([]int, (classes+1)*(classes+1))}
}

func (c *Confusion) count(predicted, truth int) {
	c.Counts[predicted*(c.Classes+1)+truth]++
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
