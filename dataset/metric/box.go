package metric

// Detection is one found object: corners in pixels, confidence in 0…1, class
// index.
type Detection struct {
	X1, Y1, X2, Y2, Conf float32
	Class                int
}

// LabelBox is one object of the ground truth: class index, corners in the same
// pixels as the detections it is compared with.
type LabelBox struct {
	Class          int
	X1, Y1, X2, Y2 float32
}

// IoU returns the intersection over union of two boxes given by their corners,
// 0 when they do not touch.
func IoU(a, b [4]float32) float32 {
	const eps = 1e-7 // as YOLOv5: two empty boxes give 0, not NaN
	w := min(a[2], b[2]) - max(a[0], b[0])
	h := min(a[3], b[3]) - max(a[1], b[1])
	inter := max(w, 0) * max(h, 0)
	return inter / ((a[2]-a[0])*(a[3]-a[1]) + (b[2]-b[0])*(b[3]-b[1]) - inter + eps)
}

func (d *Detection) box() [4]float32 { return [4]float32{d.X1, d.Y1, d.X2, d.Y2} }

func (l *LabelBox) box() [4]float32 { return [4]float32{l.X1, l.Y1, l.X2, l.Y2} }

// Restore maps detections, in place, from a letterboxed picture back to the
// original of width×height pixels: the padding is taken off, the rest divided
// by ratio (network pixels per original pixel), and what lies outside is cut.
func Restore(dets []Detection, ratio, padX, padY float32, width, height int) {
	w, h := float32(width), float32(height)
	clip := func(v, most float32) float32 { return min(max(v, 0), most) }
	for i := range dets {
		d := &dets[i]
		d.X1, d.X2 = clip((d.X1-padX)/ratio, w), clip((d.X2-padX)/ratio, w)
		d.Y1, d.Y2 = clip((d.Y1-padY)/ratio, h), clip((d.Y2-padY)/ratio, h)
	}
}
