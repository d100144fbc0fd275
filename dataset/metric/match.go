package metric

// Hits says at which thresholds a detection is right: bit i for threshold i.
type Hits uint64

// At reports whether the detection is right at threshold i.
func (h Hits) At(i int) bool { return h>>i&1 == 1 }

// maxThresholds is how many thresholds Hits can tell apart.
const maxThresholds = 64

// COCOThresholds returns the ten IoU thresholds .50, .55, … .95.
func COCOThresholds() []float32 {
	t := make([]float32, 10)
	for i := range t {
		t[i] = float32(50+5*i) / 100
	}
	return t
}

// Match pairs one picture's detections, sorted by falling confidence, with its
// labels, and tells for each detection at which IoU thresholds (64 at most) it
// is right. A detection stands for the label of its class that it overlaps
// most; of several detections that stand for one label the most confident
// counts. COCO's challenge assigns differently; this is YOLOv5's rule, and
// that of the VOC challenge.
func Match(dets []Detection, labels []LabelBox, thresholds []float32) []Hits {
	hits := make([]Hits, len(dets))
	taken := make([]Hits, len(labels))
	for i := range dets {
		best, most := -1, float32(0)
		for j := range labels {
			if labels[j].Class != dets[i].Class {
				continue
			}
			if v := IoU(labels[j].box(), dets[i].box()); v >= most {
				best, most = j, v
			}
		}
		if best < 0 {
			continue
		}
		for k, t := range thresholds {
			if most >= t && !taken[best].At(k) {
				hits[i] |= 1 << k
				taken[best] |= 1 << k
			}
		}
	}
	return hits
}
