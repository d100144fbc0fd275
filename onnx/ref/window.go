package ref

import (
	"iter"
	"slices"
)

// window is how a kernel slides over the two spatial axes of an image: convolutions and pools.
type window struct {
	kernel, stride, dilation, begin, end [2]int64 // begin, end: padding
	out                                  [2]int64 // positions
}

// planes is an array [N, C, H, W]; one spatial axis is taken as an image of one row.
func planes(a *Array) (x *Array, flat bool) {
	switch a.rank() {
	case 3:
		return a.reshaped([]int64{a.Shape[0], a.Shape[1], 1, a.Shape[2]}), true
	case 4:
		return a, false
	}
	refuse("shape %v, want one or two spatial axes", a.Shape)
	return nil, false
}

// unflat takes the row away that planes added.
func (a *Array) unflat(flat bool) *Array {
	if !flat {
		return a
	}
	return a.reshaped([]int64{a.Shape[0], a.Shape[1], a.Shape[3]})
}

// spatial reads an attribute with per entries for each spatial axis.
func (c *call) spatial(name string, flat bool, otherwise int64, per int) []int64 {
	v, want := c.Ints(name, nil), 2*per
	if v == nil {
		return slices.Repeat([]int64{otherwise}, want)
	}
	if flat {
		want = per
	}
	need(len(v) == want, "%s %v, want %d numbers", name, v, want)
	switch {
	case flat && per == 2:
		return []int64{0, v[0], 0, v[1]}
	case flat && name != "output_padding":
		return []int64{1, v[0]}
	case flat:
		return []int64{0, v[0]}
	}
	return v
}

// sliding reads the attributes that convolutions and pools share, except for the output size.
func (c *call) sliding(kernel []int64, flat bool) window {
	stride, dilation, pads := c.spatial("strides", flat, 1, 1), c.spatial("dilations", flat, 1, 1), c.spatial("pads", flat, 0, 2)
	w := window{}
	for i := range 2 {
		w.kernel[i], w.stride[i], w.dilation[i] = kernel[i], stride[i], dilation[i]
		w.begin[i], w.end[i] = pads[i], pads[2+i]
		const sane = 1 << 12 // keeps a senseless kernel from taking hours
		need(w.kernel[i] > 0 && w.kernel[i] < sane && w.stride[i] > 0 && w.stride[i] < sane && w.dilation[i] > 0 && w.dilation[i] < sane,
			"kernel %v, strides %v, dilations %v", kernel, stride, dilation)
		need(w.begin[i] >= 0 && w.begin[i] < sane && w.end[i] >= 0 && w.end[i] < sane, "pads %v", pads)
	}
	return w
}

// reach is how far the kernel extends along an axis.
func (w *window) reach(i int) int64 { return (w.kernel[i]-1)*w.dilation[i] + 1 }

// forward sets the padding of auto_pad and the number of positions for an image of the
// given size; up rounds the number up, as ceil_mode asks for.
func (c *call) forward(w *window, size []int64, up bool) {
	auto := c.Str("auto_pad", "NOTSET")
	for i := range 2 {
		switch auto {
		case "NOTSET", "":
		case "VALID":
			w.begin[i], w.end[i] = 0, 0
		case "SAME_UPPER", "SAME_LOWER":
			n := (size[i] + w.stride[i] - 1) / w.stride[i]
			w.pad(i, max((n-1)*w.stride[i]+w.reach(i)-size[i], 0), auto == "SAME_UPPER")
		default:
			refuse("auto_pad %q", auto)
		}
		free := size[i] + w.begin[i] + w.end[i] - w.reach(i)
		need(free >= 0, "kernel %v does not fit into an image of %v with its padding", w.kernel, size)
		w.out[i] = free/w.stride[i] + 1
		// a position that begins in the padding at the end does not count
		if up && free%w.stride[i] != 0 && w.out[i]*w.stride[i] < size[i]+w.begin[i] {
			w.out[i]++
		}
	}
}

// pad splits padding between both ends, an odd rest goes to the upper or lower one.
func (w *window) pad(i int, total int64, upper bool) {
	w.begin[i] = total / 2
	if !upper {
		w.begin[i] = total - total/2
	}
	w.end[i] = total - w.begin[i]
}

// span returns the positions at which tap k of the kernel lies inside an axis of the given size.
func (w *window) span(i int, k, size int64) (from, to int64) {
	shift := k*w.dilation[i] - w.begin[i] // of the tap at position 0
	if shift < 0 {
		from = (-shift + w.stride[i] - 1) / w.stride[i]
	}
	if size > shift {
		to = min((size-1-shift)/w.stride[i]+1, w.out[i])
	}
	return min(from, to), to
}

// tap is a run of positions in one image row that one tap of the kernel reads: n
// elements from col in the unfolded matrix, every step-th from pixel in the planes.
type tap struct{ col, pixel, n, step int64 }

// taps yields every run of planes [channels, height, width] and their unfolded matrix
// [channels·kh·kw, positions]; what lies in the padding is in none.
func (w *window) taps(channels, height, width int64) iter.Seq[tap] {
	return func(yield func(tap) bool) {
		row := int64(0)
		for ch := range channels {
			for ky := range w.kernel[0] {
				y0, y1 := w.span(0, ky, height)
				for kx := range w.kernel[1] {
					x0, x1 := w.span(1, kx, width)
					for oy := y0; oy < y1 && x0 < x1; oy++ {
						y := oy*w.stride[0] + ky*w.dilation[0] - w.begin[0]
						x := x0*w.stride[1] + kx*w.dilation[1] - w.begin[1]
						if !yield(tap{(row*w.out[0]+oy)*w.out[1] + x0, (ch*height+y)*width + x, x1 - x0, w.stride[1]}) {
							return
						}
					}
					row++
				}
			}
		}
	}
}

// unfold writes the matrix of the planes, zero where a tap lies in the padding.
func (w *window) unfold(col, image []float64, channels, height, width int64) {
	clear(col)
	for t := range w.taps(channels, height, width) {
		to, p := col[t.col:t.col+t.n], t.pixel
		for i := range to {
			to[i] = image[p]
			p += t.step
		}
	}
}

// fold is the adjoint of unfold: it adds each element to the pixel that it came from.
func (w *window) fold(image, col []float64, channels, height, width int64) {
	for t := range w.taps(channels, height, width) {
		p := t.pixel
		for _, v := range col[t.col : t.col+t.n] {
			image[p] += v
			p += t.step
		}
	}
}
