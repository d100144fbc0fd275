package loader

import "yolofreeze/dataset/picture"

// Warp fills dst with src seen through the matrix, which maps places in src to
// places in dst. Each value is mixed from the four pixels around its place;
// what lies outside src is PadColour. The answer is that of OpenCV's
// warpAffine and warpPerspective, which mix in float32 since release 4.11;
// whole numbers with 11 bits of fraction come within a level of it, faster.
// src and dst must not share memory.
func (m Matrix) Warp(dst, src *picture.Image) {
	inv, ok := m.inverse()
	if !ok {
		fill(dst.Pix, picture.PadColour)
		return
	}
	for y := range dst.Height {
		row := dst.Pix[3*dst.Width*y:][:3*dst.Width]
		if m.affine() {
			inv.warpRow(row, src, float64(y))
		} else {
			inv.warpRowPerspective(row, src, float64(y))
		}
	}
}

const (
	mixBits = 11 // 8 bits of colour, twice mixed, fill 30
	mixOne  = 1 << mixBits
	mixMask = mixOne - 1

	stepBits = 32 // bits of fraction of the places along a row
)

// warpRow steps along a row in whole numbers, which spares the division.
func (inv Matrix) warpRow(row []uint8, src *picture.Image, y float64) {
	const one = 1 << stepBits
	if !(max(abs(inv[0]), abs(inv[3]), abs(inv[1]*y+inv[2]), abs(inv[4]*y+inv[5])) < 1<<16) {
		inv.warpRowPerspective(row, src, y) // a scale near 0: the steps do not fit
		return
	}
	const half = one / (2 * mixOne)
	fx, fy := int64((inv[1]*y+inv[2])*one)+half, int64((inv[4]*y+inv[5])*one)+half
	dx, dy := int64(inv[0]*one), int64(inv[3]*one)
	const cut = stepBits - mixBits
	w, h := uint64(src.Width-1), uint64(src.Height-1)
	for ; len(row) >= 3; row = row[3:] {
		if x, y := uint64(fx>>stepBits), uint64(fy>>stepBits); x < w && y < h {
			mixInside(row[:3:3], src, int(x), int(y), int32(fx>>cut)&mixMask, int32(fy>>cut)&mixMask)
		} else {
			mixEdge(row[:3:3], src, int(fx>>cut), int(fy>>cut))
		}
		fx += dx
		fy += dy
	}
}

func (inv Matrix) warpRowPerspective(row []uint8, src *picture.Image, y float64) {
	x0, y0, w0 := inv[1]*y+inv[2], inv[4]*y+inv[5], inv[7]*y+inv[8]
	for x := 0.; len(row) >= 3; x, row = x+1, row[3:] {
		w := mixOne / (w0 + inv[6]*x)
		px, py := (x0+inv[0]*x)*w, (y0+inv[3]*x)*w
		if !(max(abs(px), abs(py)) < 1<<31) { // infinite, or no number
			row[0], row[1], row[2] = picture.PadColour, picture.PadColour, picture.PadColour
			continue
		}
		const shift = 1 << 31 // makes it positive, so that cutting is flooring
		mixEdge(row[:3:3], src, int(px+.5+shift)-shift, int(py+.5+shift)-shift)
	}
}

// mixInside mixes four pixels, all within src, the upper left of which is at
// (x, y).
func mixInside(dst []uint8, src *picture.Image, x, y int, a, b int32) {
	at, n := 3*(y*src.Width+x), 3*src.Width
	p, q := src.Pix[at:at+6:at+6], src.Pix[at+n:at+n+6:at+n+6]
	_ = dst[2]
	dst[0] = mix(int32(p[0]), int32(p[3]), int32(q[0]), int32(q[3]), a, b)
	dst[1] = mix(int32(p[1]), int32(p[4]), int32(q[1]), int32(q[4]), a, b)
	dst[2] = mix(int32(p[2]), int32(p[5]), int32(q[2]), int32(q[5]), a, b)
}

func mix(p0, p1, q0, q1, a, b int32) uint8 {
	upper, lower := p0<<mixBits+a*(p1-p0), q0<<mixBits+a*(q1-q0)
	return uint8((upper<<mixBits + b*(lower-upper) + 1<<(2*mixBits-1)) >> (2 * mixBits))
}

// mixEdge mixes the four pixels around a place given in 1/mixOne pixel, any of
// which may be missing.
func mixEdge(dst []uint8, src *picture.Image, fx, fy int) {
	x, y := fx>>mixBits, fy>>mixBits
	if uint(x) < uint(src.Width-1) && uint(y) < uint(src.Height-1) {
		mixInside(dst, src, x, y, int32(fx&mixMask), int32(fy&mixMask))
		return
	}
	if x < -1 || y < -1 || x >= src.Width || y >= src.Height {
		dst[0], dst[1], dst[2] = picture.PadColour, picture.PadColour, picture.PadColour
		return
	}
	for c := range dst {
		pixel := func(x, y int) int32 {
			if uint(x) >= uint(src.Width) || uint(y) >= uint(src.Height) {
				return picture.PadColour
			}
			return int32(src.Pix[3*(y*src.Width+x)+c])
		}
		dst[c] = mix(pixel(x, y), pixel(x+1, y), pixel(x, y+1), pixel(x+1, y+1), int32(fx&mixMask), int32(fy&mixMask))
	}
}

func abs(v float64) float64 { return max(v, -v) }

// fill sets every byte, doubling what is already set.
func fill(p []uint8, v uint8) {
	if len(p) == 0 {
		return
	}
	p[0] = v
	for n := 1; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
}
