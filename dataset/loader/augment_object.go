package loader

import (
	"math"

	"yolofreeze/dataset"
)

// object is a label on its way through augmentation: a box and, where there is
// one, an outline, in pixels of the picture at hand.
type object struct {
	class          int
	x1, y1, x2, y2 float64
	polygon        []dataset.Point
}

// placed returns the labels of a picture that was resized to w×h pixels and
// put at (left, top) of a larger one.
func placed(out []object, labels []dataset.Label, w, h, left, top float64) []object {
	for _, l := range labels {
		o := object{
			class: l.Class,
			x1:    w*(l.X-l.W/2) + left, y1: h*(l.Y-l.H/2) + top,
			x2: w*(l.X+l.W/2) + left, y2: h*(l.Y+l.H/2) + top,
		}
		if len(l.Polygon) > 0 {
			o.polygon = make([]dataset.Point, len(l.Polygon))
			for i, p := range l.Polygon {
				o.polygon[i] = dataset.Point{X: p.X*w + left, Y: p.Y*h + top}
			}
		}
		out = append(out, o)
	}
	return out
}

// cut limits boxes and outlines to a picture of w×h pixels.
func cut(objs []object, w, h float64) {
	clip := func(v, most float64) float64 { return min(max(v, 0), most) }
	for i := range objs {
		o := &objs[i]
		o.x1, o.x2 = clip(o.x1, w), clip(o.x2, w)
		o.y1, o.y2 = clip(o.y1, h), clip(o.y2, h)
		for k, p := range o.polygon {
			o.polygon[k] = dataset.Point{X: clip(p.X, w), Y: clip(p.Y, h)}
		}
	}
}

// The least an object must keep to stay one after a transform.
const (
	minSide         = 2    // pixels
	minAreaBox      = .10  // share of the area it would have uncut,
	minAreaPolygon  = .01  // less where the outline says what is left
	maxSideRelation = 100. // of the longer side to the shorter
)

// move takes objects through the matrix into a picture of w×h pixels, where
// they lose what lies outside, and leaves out those of which too little is
// left. scale is the enlargement that the matrix contains. It reuses objs.
func (m Matrix) move(objs []object, scale float64, w, h int) []object {
	out := objs[:0]
	for _, o := range objs {
		corners, least := []dataset.Point{{X: o.x1, Y: o.y1}, {X: o.x2, Y: o.y2}, {X: o.x1, Y: o.y2}, {X: o.x2, Y: o.y1}}, minAreaBox
		if len(o.polygon) > 0 {
			corners, least = o.polygon, minAreaPolygon
		}
		moved := make([]dataset.Point, len(corners))
		for i, p := range corners {
			moved[i].X, moved[i].Y = m.At(p.X, p.Y)
		}
		if len(o.polygon) > 0 {
			moved = clipPolygon(moved, float64(w), float64(h))
		}
		area := (o.x2 - o.x1) * scale * (o.y2 - o.y1) * scale
		o.polygon = nil
		o.bound(moved)
		one := [1]object{o}
		cut(one[:], float64(w), float64(h))
		o = one[0]
		dx, dy := o.x2-o.x1, o.y2-o.y1
		if dx > minSide && dy > minSide && dx*dy > least*area && max(dx/dy, dy/dx) < maxSideRelation {
			out = append(out, o)
		}
	}
	return out
}

// bound makes the box that which holds the points.
func (o *object) bound(points []dataset.Point) {
	o.x1, o.y1, o.x2, o.y2 = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, p := range points {
		o.x1, o.x2 = min(o.x1, p.X), max(o.x2, p.X)
		o.y1, o.y2 = min(o.y1, p.Y), max(o.y2, p.Y)
	}
}

// clipPolygon cuts a polygon to the rectangle (0, 0)–(w, h), side by side
// (Sutherland and Hodgman, 1974). Nothing is left of one that lies outside.
func clipPolygon(poly []dataset.Point, w, h float64) []dataset.Point {
	inside := [4]func(dataset.Point) float64{ // distance from a side, positive within
		func(p dataset.Point) float64 { return p.X },
		func(p dataset.Point) float64 { return w - p.X },
		func(p dataset.Point) float64 { return p.Y },
		func(p dataset.Point) float64 { return h - p.Y },
	}
	for _, side := range inside {
		var out []dataset.Point
		for i, q := range poly {
			p := poly[(i+len(poly)-1)%len(poly)]
			dp, dq := side(p), side(q)
			if dp < 0 != (dq < 0) {
				t := dp / (dp - dq)
				out = append(out, dataset.Point{X: p.X + t*(q.X-p.X), Y: p.Y + t*(q.Y-p.Y)})
			}
			if dq >= 0 {
				out = append(out, q)
			}
		}
		poly = out
	}
	return poly
}

// targets writes the objects as shares of a picture of w×h pixels, boxes cut a
// thousandth of a pixel inside its edge.
func targets(out []Target, objs []object, w, h int) []Target {
	const margin = 1e-3
	cut(objs, float64(w)-margin, float64(h)-margin)
	for _, o := range objs {
		out = append(out, Target{
			Class: int32(o.class), X: float32((o.x1 + o.x2) / 2 / float64(w)), Y: float32((o.y1 + o.y2) / 2 / float64(h)),
			W: float32((o.x2 - o.x1) / float64(w)), H: float32((o.y2 - o.y1) / float64(h)),
		})
	}
	return out
}
