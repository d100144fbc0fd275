package dataset

import (
	"fmt"
	"math"
	"slices"
)

// Annotated is a picture with what a label tool's file says of it.
type Annotated struct {
	Item
	Place         Problem // of the picture in the file
	Width, Height int     // as the file says; 0: it does not
	Unlabelled    bool    // nobody has looked for objects yet
	Objects       []Drawn
}

// Drawn is one object as it was drawn: a box or an outline.
type Drawn struct {
	Name    string
	Place   Problem
	Wrong   string     // why it cannot be used, "" where nothing is wrong
	Ignored bool       // it is of a kind that has no box, or was not asked for
	Shares  bool       // numbers are shares of the picture, and otherwise pixels
	Box     [4]float64 // left, top, width, height
	Outline []Point    // whose box is taken where it is there and Box is not
	Crowd   bool
}

// AnnotatedSource makes a Source of pictures in memory. Without names of classes the objects'
// own are taken, sorted.
func AnnotatedSource(path string, names []string, list []Annotated) Source {
	if len(names) == 0 {
		seen := map[string]bool{}
		for _, a := range list {
			for _, o := range a.Objects {
				seen[o.Name] = !o.Ignored && o.Wrong == "" || seen[o.Name]
			}
		}
		for name, used := range seen {
			if used && name != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	s := Source{Path: path, Names: names, Items: make([]Item, len(list))}
	classes := make(map[string]int, len(names))
	for i, name := range names {
		classes[name] = i
	}
	for i := range list {
		s.Items[i] = list[i].Item
		s.Items[i].Index = i
	}
	s.Read = func(it Item, w, h int, r *Recorder) { list[it.Index].read(classes, w, h, r) }
	return s
}

func (a *Annotated) read(classes map[string]int, w, h int, r *Recorder) {
	if a.Unlabelled {
		r.Missing()
		return
	}
	if a.Width != 0 || a.Height != 0 {
		place := a.Place
		place.Field, place.Value = "size", fmt.Sprintf("%dx%d", a.Width, a.Height)
		w, h = r.Size(a.Width, a.Height, w, h, place)
	}
	for _, o := range a.Objects {
		class, known := classes[o.Name]
		place := o.Place
		switch {
		case o.Ignored:
			r.Ignore()
		case o.Wrong != "":
			place.Want = o.Wrong
			r.Bad(place)
		case !known:
			r.IgnoreName(o.Name)
		default:
			o.hand(class, w, h, place, r)
		}
	}
}

// Label is the object as a label of a picture of w by h pixels.
func (o *Drawn) Label(class, w, h int) Label {
	if o.Shares {
		w, h = 1, 1
	}
	fw, fh, b := float64(w), float64(h), o.Box
	l := FromPixels(class, b[0], b[1], b[2], b[3], w, h)
	l.Crowd = o.Crowd
	outline := make([]Point, len(o.Outline))
	for i, p := range o.Outline {
		outline[i] = Point{p.X / fw, p.Y / fh}
	}
	if b == [4]float64{} && len(outline) > 0 {
		around := Label{Polygon: outline}.boxed()
		l.X, l.Y, l.W, l.H = around.X, around.Y, around.W, around.H
	}
	if len(outline) >= 3 {
		l.Polygon = outline
		for i, p := range outline { // which reaches the picture's edge at most
			outline[i] = Point{clip01(p.X), clip01(p.Y)}
		}
	}
	return l
}

// hand gives the object to the recorder, in a picture of w by h pixels.
func (o *Drawn) hand(class, w, h int, place Problem, r *Recorder) {
	l := o.Label(class, w, h)
	left, top, bw, bh := l.Pixels(w, h)
	place.Field, place.Value = "box", fmt.Sprintf("%.6g %.6g %.6g %.6g", left, top, bw, bh)
	if math.IsNaN(l.X + l.Y + l.W + l.H) {
		place.Want = "must be numbers"
		r.Bad(place)
		return
	}
	if l.W <= 0 || l.H <= 0 {
		place.Want = "width and height must be over 0"
		r.NoArea(place)
		return
	}
	leaves := place
	leaves.Want = fmt.Sprintf("must lie in the picture of %dx%d", w, h)
	r.Boxed(l, w, h, place, leaves)
}

// Join makes another part of the same object one with it: of both the box around them is kept.
func (o *Drawn) Join(outline []Point) {
	around := Label{Polygon: append(slices.Clone(o.Outline), outline...)}
	if o.Box != [4]float64{} {
		around.Polygon = append(around.Polygon, Point{o.Box[0], o.Box[1]}, Point{o.Box[0] + o.Box[2], o.Box[1] + o.Box[3]})
	}
	l := around.boxed()
	o.Box, o.Outline = [4]float64{l.X - l.W/2, l.Y - l.H/2, l.W, l.H}, nil
}

// Corners are those of a box that is turned about its upper left corner, clockwise by degrees.
func Corners(left, top, width, height, degrees float64) []Point {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	at := func(x, y float64) Point { return Point{left + x*cos - y*sin, top + x*sin + y*cos} }
	return []Point{at(0, 0), at(width, 0), at(width, height), at(0, height)}
}
