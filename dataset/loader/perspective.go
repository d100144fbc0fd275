package loader

import "math"

// Perspective is one draw of a random transform, in the order in which YOLOv5
// draws it. The zero perspective, angle and shears with scale 1 and shifts of
// one half leave a picture as it is.
type Perspective struct {
	PerspectiveX, PerspectiveY float64 // per pixel
	Angle                      float64 // degrees, counter-clockwise
	Scale                      float64
	ShearX, ShearY             float64 // degrees
	TranslateX, TranslateY     float64 // where the picture's centre comes to lie, as a share of the output
}

// Matrix maps places of one picture to places of another, in homogeneous
// coordinates, row by row.
type Matrix [9]float64

var identity = Matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}

func (m Matrix) times(n Matrix) Matrix {
	var out Matrix
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				out[3*i+j] += m[3*i+k] * n[3*k+j]
			}
		}
	}
	return out
}

// Matrix returns the transform of a picture of inW×inH pixels to one of
// outW×outH: perspective about the centre, rotation with scale, shear, shift.
func (p Perspective) Matrix(inW, inH, outW, outH int) Matrix {
	radians := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	sin, cos := math.Sincos(radians(p.Angle))
	centre := Matrix{1, 0, -float64(inW) / 2, 0, 1, -float64(inH) / 2, 0, 0, 1}
	perspective := Matrix{1, 0, 0, 0, 1, 0, p.PerspectiveX, p.PerspectiveY, 1}
	rotate := Matrix{p.Scale * cos, p.Scale * sin, 0, -p.Scale * sin, p.Scale * cos, 0, 0, 0, 1}
	shear := Matrix{1, math.Tan(radians(p.ShearX)), 0, math.Tan(radians(p.ShearY)), 1, 0, 0, 0, 1}
	translate := Matrix{1, 0, p.TranslateX * float64(outW), 0, 1, p.TranslateY * float64(outH), 0, 0, 1}
	return translate.times(shear).times(rotate).times(perspective).times(centre)
}

// At returns where the matrix takes a place.
func (m Matrix) At(x, y float64) (float64, float64) {
	w := 1.
	if !m.affine() {
		w = m[6]*x + m[7]*y + m[8]
	}
	return (m[0]*x + m[1]*y + m[2]) / w, (m[3]*x + m[4]*y + m[5]) / w
}

func (m Matrix) affine() bool { return m[6] == 0 && m[7] == 0 }

// inverse returns the matrix that undoes m, false where none does.
func (m Matrix) inverse() (Matrix, bool) {
	if m.affine() {
		det := m[0]*m[4] - m[1]*m[3]
		if det == 0 {
			return m, false
		}
		d := 1 / det
		a, b, c, e := m[4]*d, -m[1]*d, -m[3]*d, m[0]*d
		return Matrix{a, b, -a*m[2] - b*m[5], c, e, -c*m[2] - e*m[5], 0, 0, 1}, true
	}
	minor := func(a, b, c, d int) float64 { return m[a]*m[d] - m[b]*m[c] }
	adj := Matrix{
		minor(4, 5, 7, 8), -minor(1, 2, 7, 8), minor(1, 2, 4, 5),
		-minor(3, 5, 6, 8), minor(0, 2, 6, 8), -minor(0, 2, 3, 5),
		minor(3, 4, 6, 7), -minor(0, 1, 6, 7), minor(0, 1, 3, 4),
	}
	det := m[0]*adj[0] + m[1]*adj[3] + m[2]*adj[6]
	if det == 0 {
		return m, false
	}
	for i := range adj {
		adj[i] /= det
	}
	return adj, true
}
