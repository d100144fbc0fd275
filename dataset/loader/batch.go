package loader

import (
	"math"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/dataset/metric"
)

// Batch is a stack of pictures of one size with their objects.
type Batch struct {
	Size, Width, Height int
	Images              []uint8  // Size×3×Height×Width: red, green and blue planes
	Targets             []Target // of all pictures, those of one together
	Samples             []int    // Size: which sample each picture was made of, or drawn for
	Frames              []Frame  // Size: how each picture maps back to its sample
}

// Target is one object of a batch: the picture's index in the batch, the class,
// and centre and size as shares of that picture.
type Target struct {
	Image, Class int32
	X, Y, W, H   float32
}

// Frame says how a picture of a batch maps back to its sample:
// original = (x - Pad)/Ratio. Ratio and Pad are zero of an augmented picture.
type Frame struct {
	Width, Height int // of the original, in pixels
	Ratio         float64
	PadX, PadY    float64
}

// Restore maps detections in pixels of the batch's picture i, in place, to
// pixels of the original.
func (b *Batch) Restore(i int, dets []metric.Detection) {
	f := b.Frames[i]
	metric.Restore(dets, float32(f.Ratio), float32(f.PadX), float32(f.PadY), f.Width, f.Height)
}

// Labels returns the objects of picture i in pixels of the original: the
// targets mapped back, which is what YOLOv5 measures against.
func (b *Batch) Labels(i int) []metric.LabelBox {
	var dets []metric.Detection
	for _, t := range b.Targets {
		if int(t.Image) != i {
			continue
		}
		x, y, w, h := t.X*float32(b.Width), t.Y*float32(b.Height), t.W*float32(b.Width), t.H*float32(b.Height)
		dets = append(dets, metric.Detection{X1: x - w/2, Y1: y - h/2, X2: x + w/2, Y2: y + h/2, Class: int(t.Class)})
	}
	b.Restore(i, dets)
	boxes := make([]metric.LabelBox, len(dets))
	for k, d := range dets {
		boxes[k] = metric.LabelBox{Class: d.Class, X1: d.X1, Y1: d.Y1, X2: d.X2, Y2: d.Y2}
	}
	return boxes
}

// slot is one picture to be made for a batch.
type slot struct {
	sample int
	repeat int // how often the sample came before in this epoch
}

// plan is one batch to be made.
type plan struct {
	slots         []slot
	width, height int
}

// rectPlans sorts samples by shape and gives each batch the smallest sides
// that hold its pictures, in steps of the stride: the longer side is about
// size, and pad is added in strides.
func rectPlans(samples []dataset.Sample, batch, size, stride int, pad float64) []plan {
	order := make([]int, len(samples))
	shape := make([]float64, len(samples)) // height over width
	for i, s := range samples {
		order[i], shape[i] = i, float64(s.Height)/float64(s.Width)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case shape[a] < shape[b]:
			return -1
		case shape[a] > shape[b]:
			return 1
		}
		return 0
	})
	side := func(share float64) int {
		return int(math.Ceil(share*float64(size)/float64(stride)+pad)) * stride
	}
	var plans []plan
	for list := range slices.Chunk(order, batch) {
		p := plan{width: side(1), height: side(1)}
		if flattest, tallest := shape[list[0]], shape[list[len(list)-1]]; tallest < 1 {
			p.height = side(tallest)
		} else if flattest > 1 {
			p.width = side(1 / flattest)
		}
		for _, i := range list {
			p.slots = append(p.slots, slot{sample: i})
		}
		plans = append(plans, p)
	}
	return plans
}

// evenPlans cuts the order of an epoch into batches of one size.
func evenPlans(order []int, batch int, size dataset.Size, dropLast bool) []plan {
	seen := map[int]int{}
	var plans []plan
	for list := range slices.Chunk(order, batch) {
		if dropLast && len(list) < batch {
			break
		}
		p := plan{width: size.Width, height: size.Height}
		for _, i := range list {
			p.slots = append(p.slots, slot{i, seen[i]})
			seen[i]++
		}
		plans = append(plans, p)
	}
	return plans
}
