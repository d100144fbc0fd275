package coco

import (
	"fmt"
	"math"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
)

func toLabel(class int, b []lenient.Number, w, h int) dataset.Label {
	return dataset.FromPixels(class, float64(b[0]), float64(b[1]), float64(b[2]), float64(b[3]), w, h)
}

func formatBox(b []lenient.Number) string {
	return strings.Trim(fmt.Sprint(b), "[]")
}

// toOutline joins the parts of an outline, which reach the picture's edge at
// most, into one: each is spliced in where it comes closest.
func toOutline(parts [][]float32, w, h int) []dataset.Point {
	var out []dataset.Point
	for _, part := range parts {
		if len(part) < 6 || len(part)%2 != 0 {
			continue
		}
		points := make([]dataset.Point, len(part)/2)
		for i := range points {
			points[i].X = min(max(float64(part[2*i])/float64(w), 0), 1)
			points[i].Y = min(max(float64(part[2*i+1])/float64(h), 0), 1)
		}
		out = splice(out, points)
	}
	return out
}

// splice runs along a, leaves it at the point nearest to b, goes round b and
// comes back. The way there and back encloses nothing.
func splice(a, b []dataset.Point) []dataset.Point {
	if len(a) == 0 {
		return b
	}
	const enough = 1 << 20 // comparisons; longer outlines are looked at in steps
	step := len(a)*len(b)/enough + 1
	besti, bestj, best := 0, 0, math.Inf(1)
	for i := 0; i < len(a); i += step {
		for j := 0; j < len(b); j++ {
			if d := math.Hypot(a[i].X-b[j].X, a[i].Y-b[j].Y); d < best {
				besti, bestj, best = i, j, d
			}
		}
	}
	out := append([]dataset.Point{}, a[:besti+1]...)
	out = append(out, b[bestj:]...)
	out = append(out, b[:bestj+1]...)
	return append(out, a[besti:]...)
}
