package metric

import (
	"slices"
	"sort"
)

// Method is a way to turn a precision-recall curve into one number.
type Method int

// The ways to average precision.
const (
	Interpolated101 Method = iota // YOLOv5: trapezoids over 101 recalls
	EveryPoint                    // VOC 2010 and later: area under the envelope
	ElevenPoint                   // VOC 2007: mean of the envelope at recalls 0, .1, … 1
)

// AveragePrecision averages precision over recall. recall rises; precision[i]
// belongs to recall[i]. The curve is made monotone first: each precision
// becomes the highest at this or any greater recall.
func AveragePrecision(m Method, recall, precision []float64) float64 {
	r, p := envelope(recall, precision)
	switch m {
	case EveryPoint:
		var area float64
		for i := 1; i < len(r); i++ {
			area += (r[i] - r[i-1]) * p[i]
		}
		return area
	case ElevenPoint:
		var sum float64
		for k := range 11 {
			// The product, not k/10: the usual evaluators place the points so, and
			// a recall of exactly .6 then lies before the seventh.
			sum += p[1+sort.SearchFloat64s(r[1:], float64(k)*.1)]
		}
		return sum / 11
	}
	var area float64
	before := interpolate(0, r, p, p[0])
	for k := 1; k <= 100; k++ {
		v := interpolate(float64(k)/100, r, p, p[0])
		area += (before + v) / 2 * (float64(k)/100 - float64(k-1)/100)
		before = v
	}
	return area
}

// envelope adds the points (0, 1) and (1, 0) and makes the precision monotone.
func envelope(recall, precision []float64) (r, p []float64) {
	r = append(append(append(make([]float64, 0, len(recall)+2), 0), recall...), 1)
	p = append(append(append(make([]float64, 0, len(recall)+2), 1), precision...), 0)
	for i := len(p) - 2; i >= 0; i-- {
		p[i] = max(p[i], p[i+1])
	}
	return r, p
}

// interpolate evaluates at x the line through the points (xs, ys), xs rising:
// left before the first point, the last ordinate behind the last. Where
// several points share an abscissa the last one holds.
func interpolate(x float64, xs, ys []float64, left float64) float64 {
	if x < xs[0] {
		return left
	}
	j, _ := slices.BinarySearchFunc(xs, x, func(e, x float64) int {
		if e <= x {
			return -1
		}
		return 1
	})
	j-- // the last point at or before x
	if j == len(xs)-1 || xs[j] == x {
		return ys[j]
	}
	return (ys[j+1]-ys[j])/(xs[j+1]-xs[j])*(x-xs[j]) + ys[j]
}

// smooth averages y over a window of the given share of its length, the ends
// repeated outwards.
func smooth(y []float64, share float64) []float64 {
	reach := int(float64(len(y))*share*2+.5) / 2 / 2
	out := make([]float64, len(y))
	for i := range y {
		var sum float64
		for k := i - reach; k <= i+reach; k++ {
			sum += y[min(max(k, 0), len(y)-1)]
		}
		out[i] = sum / float64(2*reach+1)
	}
	return out
}
