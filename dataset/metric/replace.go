package metric

import "slices"

// beforeReplacing are the options of a suppression whose detections Replace then chooses from.
func (o NMSOptions) beforeReplacing() NMSOptions {
	if len(o.Replaces) == 0 {
		return o
	}
	o.MaxDet = 0
	if o.Classes != nil {
		o.Classes = slices.Clone(o.Classes)
		for class := range o.Replaces {
			o.Classes = append(o.Classes, class)
		}
	}
	return o
}

// Replace drops detections that give way to others by Replaces, those of classes that are
// not to be kept, and those beyond MaxDet. It keeps their order.
func Replace(dets []Detection, o NMSOptions) []Detection {
	var kept []Detection
	for _, d := range dets {
		if o.Classes != nil && !slices.Contains(o.Classes, d.Class) || replaced(d, dets, o) {
			continue
		}
		if kept = append(kept, d); len(kept) == o.MaxDet {
			break
		}
	}
	return kept
}

// replaced reports whether a detection gives way to another one.
func replaced(d Detection, dets []Detection, o NMSOptions) bool {
	return slices.ContainsFunc(dets, func(by Detection) bool {
		return slices.Contains(o.Replaces[by.Class], d.Class) && float64(IoU(d.box(), by.box())) > o.IoU
	})
}
