package picture

import "math"

// Resize returns the picture at w by h pixels, each at least 1. Its arithmetic
// is that of OpenCV's resize on 8-bit pictures, because training and
// validation figures of the checkpoints depend on it: INTER_AREA where area is
// set, INTER_LINEAR (which does not smooth when shrinking) otherwise.
func Resize(img *Image, w, h int, area bool) *Image {
	out := NewImage(w, h)
	if w == img.Width && h == img.Height {
		copy(out.Pix, img.Pix)
		return out
	}
	sx, sy := float64(img.Width)/float64(w), float64(img.Height)/float64(h)
	whole := img.Width%w == 0 && img.Height%h == 0
	switch {
	case whole && (area || sx == 2 && sy == 2):
		resizeBlocks(out, img, int(sx), int(sy))
	case area && sx >= 1 && sy >= 1:
		resizeArea(out, img, sx, sy)
	default:
		resizeLinear(out, img, area)
	}
	return out
}

// Weights of INTER_LINEAR have 11 bits of fraction.
const linearOne = 1 << 11

// tap mixes two samples or rows of the source.
type tap struct {
	from, to int
	a, b     int32 // weights of from and to
}

// linearTaps returns the taps of one axis. Pixel centres lie at halves; with
// cells set, edges are aligned instead, which is how OpenCV enlarges by area.
func linearTaps(size, n int, cells bool) []tap {
	inverse := float64(n) / float64(size)
	scale := 1 / inverse
	taps := make([]tap, n)
	for d := range taps {
		f := float32((float64(d)+0.5)*scale - 0.5)
		s := int(math.Floor(float64(f)))
		f -= float32(s)
		if cells {
			s = int(math.Floor(float64(d) * scale))
			f = max(float32(float64(d+1)-float64(s+1)*inverse), 0)
			f -= float32(math.Floor(float64(f)))
		}
		clip := func(at int) int { return min(max(at, 0), size-1) }
		taps[d] = tap{clip(s), clip(s + 1), fixed(1 - f), fixed(f)}
	}
	return taps
}

func fixed(f float32) int32 { return int32(math.RoundToEven(float64(f * linearOne))) }

func resizeLinear(out, img *Image, cells bool) {
	xs := linearTaps(img.Width, out.Width, cells)
	for i, t := range xs {
		if t.from == t.to { // at the edge: columns, unlike rows, take one sample whole
			t.a, t.b = linearOne, 0
		}
		xs[i] = tap{3 * t.from, 3 * t.to, t.a, t.b}
	}
	n := 3 * out.Width
	upper, lower := make([]int32, n), make([]int32, n)
	atUpper, atLower := -1, -1
	for y, t := range linearTaps(img.Height, out.Height, cells) {
		if t.from == atLower {
			upper, lower = lower, upper
			atUpper, atLower = atLower, atUpper
		}
		if t.from != atUpper {
			mixColumns(upper, img.Pix[3*img.Width*t.from:][:3*img.Width], xs)
			atUpper = t.from
		}
		if t.to == t.from {
			copy(lower, upper)
			atLower = t.to
		} else if t.to != atLower {
			mixColumns(lower, img.Pix[3*img.Width*t.to:][:3*img.Width], xs)
			atLower = t.to
		}
		mixRows(out.Pix[n*y:n*(y+1)], upper, lower, t.a, t.b)
	}
}

func mixColumns(dst []int32, src []uint8, xs []tap) {
	for i, t := range xs {
		d := dst[3*i : 3*i+3 : 3*i+3]
		p, q := src[t.from:t.from+3:t.from+3], src[t.to:t.to+3:t.to+3]
		d[0] = int32(p[0])*t.a + int32(q[0])*t.b
		d[1] = int32(p[1])*t.a + int32(q[1])*t.b
		d[2] = int32(p[2])*t.a + int32(q[2])*t.b
	}
}

// mixRows drops bits before and after each product as OpenCV's vector code,
// which works in 16 bits, does.
func mixRows(dst []uint8, upper, lower []int32, a, b int32) {
	upper, lower = upper[:len(dst)], lower[:len(dst)]
	for i := range dst {
		dst[i] = uint8((upper[i]>>4*a>>16 + lower[i]>>4*b>>16 + 2) >> 2)
	}
}

// resizeBlocks averages blocks of nx by ny pixels.
func resizeBlocks(out, img *Image, nx, ny int) {
	if nx == 2 && ny == 2 {
		halve(out, img)
		return
	}
	share := 1 / float32(nx*ny)
	sums := make([]int32, 3*out.Width)
	for y := range out.Height {
		clear(sums)
		for k := range ny {
			row := img.Pix[3*img.Width*(y*ny+k):]
			for x := range out.Width {
				for i := 3 * nx * x; i < 3*nx*(x+1); i += 3 {
					sums[3*x] += int32(row[i])
					sums[3*x+1] += int32(row[i+1])
					sums[3*x+2] += int32(row[i+2])
				}
			}
		}
		dst := out.Pix[3*out.Width*y:]
		for i, s := range sums {
			dst[i] = roundByte(float32(s) * share)
		}
	}
}

func halve(out, img *Image) {
	n := 3 * out.Width
	for y := range out.Height {
		r0 := img.Pix[4*n*y:][:2*n]
		r1 := img.Pix[4*n*y+2*n:][:2*n]
		dst := out.Pix[n*y:][:n]
		for x := 0; x < n; x += 3 {
			p, q, d := r0[2*x:2*x+6:2*x+6], r1[2*x:2*x+6:2*x+6], dst[x:x+3:x+3]
			d[0] = uint8((int32(p[0]) + int32(p[3]) + int32(q[0]) + int32(q[3]) + 2) >> 2)
			d[1] = uint8((int32(p[1]) + int32(p[4]) + int32(q[1]) + int32(q[4]) + 2) >> 2)
			d[2] = uint8((int32(p[2]) + int32(p[5]) + int32(q[2]) + int32(q[5]) + 2) >> 2)
		}
	}
}

// share is the part of an output cell that one source sample fills.
type share struct {
	src, dst int
	part     float32
}

// areaShares returns the shares of one axis, ordered by dst, then src.
func areaShares(size, n int, scale float64) []share {
	const sliver = 1e-3 // thinner parts are left out
	var out []share
	for d := range n {
		from := float64(d) * scale
		to := from + scale
		width := min(scale, float64(size)-from)
		last := min(int(math.Floor(to)), size-1)
		first := min(int(math.Ceil(from)), last)
		if float64(first)-from > sliver {
			out = append(out, share{first - 1, d, float32((float64(first) - from) / width)})
		}
		for s := first; s < last; s++ {
			out = append(out, share{s, d, float32(1 / width)})
		}
		if to-float64(last) > sliver {
			out = append(out, share{last, d, float32(min(to-float64(last), 1, width) / width)})
		}
	}
	return out
}

func resizeArea(out, img *Image, sx, sy float64) {
	xs := areaShares(img.Width, out.Width, sx)
	n := 3 * out.Width
	row, sum := make([]float32, n), make([]float32, n)
	ys := areaShares(img.Height, out.Height, sy)
	for i, y := range ys {
		src := img.Pix[3*img.Width*y.src:][:3*img.Width]
		clear(row)
		for _, x := range xs {
			d, p := row[3*x.dst:3*x.dst+3:3*x.dst+3], src[3*x.src:3*x.src+3:3*x.src+3]
			d[0] += float32(float32(p[0]) * x.part)
			d[1] += float32(float32(p[1]) * x.part)
			d[2] += float32(float32(p[2]) * x.part)
		}
		for k, v := range row {
			sum[k] += float32(v * y.part)
		}
		if i+1 == len(ys) || ys[i+1].dst != y.dst {
			dst := out.Pix[n*y.dst:][:n]
			for k, v := range sum {
				dst[k] = roundByte(v)
			}
			clear(sum)
		}
	}
}

// roundByte rounds halves to even; v is within a byte but for float error.
func roundByte(v float32) uint8 {
	const shift = 1 << 23 // from here on a float32 has no fraction
	return uint8(min(int32(v+shift)-shift, 255))
}
