package loader

import (
	"math"
	"math/rand/v2"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// blend mixes other into img, of the same size: share of img, the rest of
// other.
func blend(img, other *picture.Image, share float64) {
	const one = 1 << 16
	a := uint32(share*one + .5)
	for i, v := range other.Pix {
		img.Pix[i] = uint8((uint32(img.Pix[i])*a + uint32(v)*(one-a)) >> 16)
	}
}

// mixShare draws from the Beta(32, 32) distribution, which stays near a half:
// the share of one sum of 32 exponential variates in two such sums.
func mixShare(r *rand.Rand) float64 {
	sum := func() (s float64) {
		for range 32 {
			s += r.ExpFloat64()
		}
		return s
	}
	a, b := sum(), sum()
	return a / (a + b)
}

// maxCovered is the share of any object that a pasted box may cover.
const maxCovered = .30

// copyPaste pastes mirrored copies of a share of the objects, drawn by r, into
// the picture: cut along the outline, or along the box where there is none. A
// copy whose box would cover too much of another object is left out.
func copyPaste(img *picture.Image, objs []object, share float64, r *rand.Rand) []object {
	n := int(math.RoundToEven(share * float64(len(objs))))
	if n == 0 {
		return objs
	}
	w := float64(img.Width)
	var original []uint8
	for _, i := range r.Perm(len(objs))[:n] {
		o := objs[i]
		o.x1, o.x2 = w-o.x2, w-o.x1
		if slices.ContainsFunc(objs, func(e object) bool { return o.covers(e) >= maxCovered }) {
			continue
		}
		outline := []dataset.Point{{X: o.x1, Y: o.y1}, {X: o.x2, Y: o.y1}, {X: o.x2, Y: o.y2}, {X: o.x1, Y: o.y2}}
		if len(o.polygon) > 0 {
			outline = make([]dataset.Point, len(o.polygon))
			for k, p := range o.polygon {
				outline[k] = dataset.Point{X: w - p.X, Y: p.Y}
			}
			o.polygon = outline
		}
		if original == nil {
			original = slices.Clone(img.Pix)
		}
		pasteMirrored(img, original, outline)
		objs = append(objs, o)
	}
	return objs
}

// covers returns the share of e's box that o's covers.
func (o *object) covers(e object) float64 {
	dx, dy := min(o.x2, e.x2)-max(o.x1, e.x1), min(o.y2, e.y2)-max(o.y1, e.y1)
	if area := (e.x2 - e.x1) * (e.y2 - e.y1); dx > 0 && dy > 0 && area > 0 {
		return dx * dy / area
	}
	return 0
}

// pasteMirrored copies the mirrored original into img within the outline, by
// the even-odd rule on the rows' centres.
func pasteMirrored(img *picture.Image, original []uint8, outline []dataset.Point) {
	var hull object
	hull.bound(outline)
	var cross []float64
	for y := max(int(hull.y1), 0); y <= min(int(hull.y2), img.Height-1); y++ {
		cross = cross[:0]
		at := float64(y) + .5
		for i, q := range outline {
			p := outline[(i+len(outline)-1)%len(outline)]
			if p.Y <= at != (q.Y <= at) {
				cross = append(cross, p.X+(at-p.Y)/(q.Y-p.Y)*(q.X-p.X))
			}
		}
		slices.Sort(cross)
		row := 3 * img.Width * y
		for ; len(cross) >= 2; cross = cross[2:] {
			for x := max(int(cross[0]+.5), 0); x < min(int(cross[1]+.5), img.Width); x++ {
				copy(img.Pix[row+3*x:][:3], original[row+3*(img.Width-1-x):])
			}
		}
	}
}
