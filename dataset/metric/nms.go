package metric

import (
	"math"
	"slices"
)

const (
	maxCandidates = 30000 // the most boxes that enter suppression, best first
	classStride   = 7680  // pixels between the planes that keep classes apart
)

// NMSOptions are the settings of non-maximum suppression.
type NMSOptions struct {
	Conf       float64 // least objectness, and least objectness × class probability
	IoU        float64 // a box overlapping a better one by more than this is dropped
	MaxDet     int     // most detections a picture; 0: no limit
	MultiLabel bool    // one candidate per class above Conf, not only the best class
	Agnostic   bool    // boxes of different classes suppress each other too
	Classes    []int   // classes to keep; nil: all

	// Replaces lists for a class those that give way to it: their boxes that overlap
	// one of its by more than IoU are dropped, however confident either is.
	Replaces map[int][]int
}

// candidate is a box with its confidence. The order in which candidates were
// found breaks ties.
type candidate struct {
	box   [4]float32
	conf  float32
	class int32
}

// NMS reduces one picture's predictions to its detections, sorted by falling
// confidence, exactly as YOLOv5 does (its time limit apart: the answer must not
// depend on the machine). rows holds, row after row, centre x, centre y, width
// and height in pixels, objectness, and the probability of each of the given
// number of classes: the exported model's output0. An incomplete last row is
// not looked at.
func NMS(rows []float32, classes int, o NMSOptions) []Detection {
	all := o.beforeReplacing()
	cands := collect(rows, classes, all)
	if len(cands) == 0 {
		return nil
	}
	dets := suppress(cands, rank(cands), all)
	if len(o.Replaces) > 0 {
		dets = Replace(dets, o)
	}
	return dets
}

// collect lists the boxes that pass the confidence limit.
func collect(rows []float32, classes int, o NMSOptions) []candidate {
	var cands []candidate
	limit := float32(o.Conf)
	wanted := wantedClasses(classes, o.Classes)
	width := 5 + classes
	for ; len(rows) >= width; rows = rows[width:] {
		obj := rows[4]
		if !(obj > limit) {
			continue
		}
		row := rows[:width:width]
		half := [2]float32{row[2] / 2, row[3] / 2}
		box := [4]float32{row[0] - half[0], row[1] - half[1], row[0] + half[0], row[1] + half[1]}
		if o.MultiLabel && classes > 1 {
			for c, p := range row[5:] {
				if conf := p * obj; conf > limit && wanted[c] {
					cands = append(cands, candidate{box, conf, int32(c)})
				}
			}
			continue
		}
		best, conf := 0, float32(math.Inf(-1))
		for c, p := range row[5:] {
			if p*obj > conf {
				best, conf = c, p*obj
			}
		}
		if conf > limit && wanted[best] {
			cands = append(cands, candidate{box, conf, int32(best)})
		}
	}
	return cands
}

func wantedClasses(classes int, list []int) []bool {
	wanted := make([]bool, classes)
	for c := range wanted {
		wanted[c] = list == nil || slices.Contains(list, c)
	}
	return wanted
}

// rank returns the candidates' indices by falling confidence, the earlier one
// first among equals, and no more than maxCandidates of them.
func rank(cands []candidate) []int32 {
	// Confidences are positive, so their bits order as they do: one integer
	// holds the complement of the confidence above the index.
	keys := make([]uint64, len(cands))
	for i := range cands {
		keys[i] = uint64(^math.Float32bits(cands[i].conf))<<32 | uint64(i)
	}
	slices.Sort(keys)
	keys = keys[:min(len(keys), maxCandidates)]
	order := make([]int32, len(keys))
	for i, k := range keys {
		order[i] = int32(uint32(k))
	}
	return order
}

// suppress keeps, best first, each candidate that no kept one overlaps too
// much. Classes are moved apart by classStride, in float32, whose rounding of
// large coordinates is part of YOLOv5's result.
func suppress(cands []candidate, order []int32, o NMSOptions) []Detection {
	type placed struct {
		box  [4]float32
		area float32
	}
	most := o.MaxDet
	if most <= 0 {
		most = len(order)
	}
	groups := map[int32][]placed{}
	together := o.Agnostic || !planesApart(cands, order)
	var dets []Detection
next:
	for _, i := range order {
		c := &cands[i]
		p := placed{box: c.box}
		if !o.Agnostic {
			offset := float32(c.class) * classStride
			for k := range p.box {
				p.box[k] += offset
			}
		}
		p.area = (p.box[2] - p.box[0]) * (p.box[3] - p.box[1])
		group := c.class
		if together {
			group = 0
		}
		for _, q := range groups[group] {
			w := min(p.box[2], q.box[2]) - max(p.box[0], q.box[0])
			h := min(p.box[3], q.box[3]) - max(p.box[1], q.box[1])
			if w <= 0 || h <= 0 {
				continue
			}
			inter := w * h
			if float64(inter/(p.area+q.area-inter)) > o.IoU {
				continue next
			}
		}
		groups[group] = append(groups[group], p)
		dets = append(dets, Detection{c.box[0], c.box[1], c.box[2], c.box[3], c.conf, int(c.class)})
		if len(dets) == most {
			break
		}
	}
	return dets
}

// planesApart says whether boxes of different classes cannot touch once they
// are moved apart, so that each class can be looked at alone.
func planesApart(cands []candidate, order []int32) bool {
	for _, i := range order {
		for _, v := range cands[i].box {
			if !(v > -classStride/2+1 && v < classStride/2-1) {
				return false
			}
		}
	}
	return true
}
