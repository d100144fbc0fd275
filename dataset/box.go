package dataset

import (
	"math"
	"slices"
	"strconv"
)

// Coordinates are kept in steps of 2^-30 of the picture. A box therefore has
// the same bits whichever format it was read from, although the formats reach
// it by different sums; a float32 cannot tell the difference.
const grid = 1 << 30

// minShare is the least width or height of a box, as a share of the picture.
const minShare = 1e-6

func snap(v float64) float64 { return math.Round(v*grid) / grid }

// Snapped returns the label on the grid, as every Set holds it.
func (l Label) Snapped() Label {
	l.X, l.Y, l.W, l.H = snap(l.X), snap(l.Y), snap(l.W), snap(l.H)
	for i, p := range l.Polygon {
		l.Polygon[i] = Point{snap(p.X), snap(p.Y)}
	}
	return l
}

// FromPixels makes a label of a box given in pixels by its upper left corner
// and size, in a picture of w by h pixels.
func FromPixels(class int, left, top, width, height float64, w, h int) Label {
	return Label{
		Class: class,
		X:     (left + width/2) / float64(w), Y: (top + height/2) / float64(h),
		W: width / float64(w), H: height / float64(h),
	}
}

// Pixels is the inverse of FromPixels: exact, but not rounded.
func (l Label) Pixels(w, h int) (left, top, width, height float64) {
	fw, fh := float64(w), float64(h)
	return (l.X - l.W/2) * fw, (l.Y - l.H/2) * fh, l.W * fw, l.H * fh
}

// Leaves tells whether the box reaches beyond a picture of w by h pixels by more
// than the pixel that counting from 0 or from 1 makes.
func (l Label) Leaves(w, h int) bool {
	const slack = 1.01
	left, top, bw, bh := l.Pixels(w, h)
	return left < -slack || top < -slack || left+bw > float64(w)+slack || top+bh > float64(h)+slack
}

// SameBox tells whether two labels have the same class and box.
func (l Label) SameBox(o Label) bool {
	return l.Class == o.Class && l.X == o.X && l.Y == o.Y && l.W == o.W && l.H == o.H
}

// Clipped returns the label, box and outline, cut to the picture.
func (l Label) Clipped() Label {
	for i, p := range l.Polygon {
		l.Polygon[i] = Point{clip01(p.X), clip01(p.Y)}
	}
	x0, x1 := clip01(l.X-l.W/2), clip01(l.X+l.W/2)
	y0, y1 := clip01(l.Y-l.H/2), clip01(l.Y+l.H/2)
	l.X, l.W = (x0+x1)/2, x1-x0
	l.Y, l.H = (y0+y1)/2, y1-y0
	return l
}

// turned returns the label as EXIF orientation o turns its picture, a quarter and
// perhaps mirrored; others leave it as it is.
func (l Label) turned(o int) Label {
	if o < 5 || o > 8 {
		return l
	}
	move := func(x, y float64) (float64, float64) {
		x, y = y, x
		if o == 6 || o == 7 {
			x = 1 - x
		}
		if o == 7 || o == 8 {
			y = 1 - y
		}
		return x, y
	}
	l.X, l.Y = move(l.X, l.Y)
	l.W, l.H = l.H, l.W
	l.Polygon = slices.Clone(l.Polygon)
	for i, p := range l.Polygon {
		l.Polygon[i].X, l.Polygon[i].Y = move(p.X, p.Y)
	}
	return l
}

// boxed returns the label with the box around its outline.
func (l Label) boxed() Label {
	x0, y0 := math.Inf(1), math.Inf(1)
	x1, y1 := math.Inf(-1), math.Inf(-1)
	for _, p := range l.Polygon {
		x0, x1 = min(x0, p.X), max(x1, p.X)
		y0, y1 = min(y0, p.Y), max(y1, p.Y)
	}
	l.X, l.W = (x0+x1)/2, x1-x0
	l.Y, l.H = (y0+y1)/2, y1-y0
	return l
}

// FromPolygon makes a label of an outline and the box around it.
func FromPolygon(class int, outline []Point) Label {
	return Label{Class: class, Polygon: outline}.boxed()
}

func clip01(v float64) float64 { return min(max(v, 0), 1) }

// FormatBox writes n values with the fewest decimals from which read makes the
// label that it should; values are the exact ones.
func FormatBox(want Label, values [4]float64, read func(v [4]float64) Label) [4]string {
	var text [4]string
	for decimals := 0; decimals <= 17; decimals++ {
		var back [4]float64
		for i, v := range values {
			text[i] = strconv.FormatFloat(v, 'f', decimals, 64)
			back[i], _ = strconv.ParseFloat(text[i], 64)
		}
		if read(back).Snapped().SameBox(want) {
			break
		}
	}
	return text
}
