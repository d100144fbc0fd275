package ref

import "math"

// pooling reads what all pools share.
func (c *call) pooling() (x *Array, flat bool, w window) {
	x, flat = planes(c.in[0])
	need(c.Ints("kernel_shape", nil) != nil, "no kernel_shape")
	w = c.sliding(c.spatial("kernel_shape", flat, 1, 1), flat)
	c.forward(&w, x.Shape[2:], c.Int("ceil_mode", 0) != 0)
	return x, flat, w
}

// maxPool also gives where each maximum lies in the flat input; of equals the first one.
func maxPool(c *call) []*Array {
	x, flat, w := c.pooling()
	need(c.Int("storage_order", 0) == 0, "storage_order 1 is not supported")
	height, width := x.Shape[2], x.Shape[3]
	shape := []int64{x.Shape[0], x.Shape[1], w.out[0], w.out[1]}
	out, indices := filled(shape, math.Inf(-1)), filled(shape, -1)
	positions := w.out[0] * w.out[1]
	for plane := range shape[0] * shape[1] {
		for t := range w.taps(1, height, width) {
			to, from := plane*positions+t.col%max(positions, 1), plane*height*width+t.pixel
			for range t.n {
				if v := x.Data[from]; v > out.Data[to] || indices.Data[to] < 0 {
					out.Data[to], indices.Data[to] = v, float64(from)
				}
				to++
				from += t.step
			}
		}
	}
	return []*Array{out.unflat(flat), indices.unflat(flat)}
}

// averagePool divides by the pixels under the kernel, with count_include_pad also by
// those of the padding, but never by what ceil_mode adds beyond it.
func averagePool(c *call) *Array {
	x, flat, w := c.pooling()
	height, width := x.Shape[2], x.Shape[3]
	out := newArray([]int64{x.Shape[0], x.Shape[1], w.out[0], w.out[1]})
	positions := w.out[0] * w.out[1]
	count := make([]float64, positions)
	for t := range w.taps(1, height, width) {
		for i := range t.n {
			count[t.col%positions+i]++
		}
	}
	if c.Int("count_include_pad", 0) != 0 {
		w.countPadded(count, height, width)
	}
	for plane := range out.Shape[0] * out.Shape[1] {
		to, from := out.Data[plane*positions:(plane+1)*positions], x.Data[plane*height*width:]
		for t := range w.taps(1, height, width) {
			for i := range t.n {
				to[t.col%positions+i] += from[t.pixel+i*t.step]
			}
		}
		for i := range to {
			to[i] /= count[i]
		}
	}
	return out.unflat(flat)
}

// countPadded counts the taps that lie in the image or its padding.
func (w *window) countPadded(count []float64, height, width int64) {
	within := func(i int, position, size int64) (n float64) {
		for k := range w.kernel[i] {
			if position*w.stride[i]+k*w.dilation[i] < size+w.begin[i]+w.end[i] {
				n++
			}
		}
		return n
	}
	for oy := range w.out[0] {
		for ox := range w.out[1] {
			count[oy*w.out[1]+ox] = within(0, oy, height) * within(1, ox, width)
		}
	}
}

// globalPool reduces all spatial axes and keeps them at size 1.
func globalPool(r reduction) func(*call) *Array {
	return func(c *call) *Array {
		x := c.in[0]
		need(x.rank() >= 2, "shape %v has no channels", x.Shape)
		var axes []int64
		for i := int64(2); i < x.rank(); i++ {
			axes = append(axes, i)
		}
		return r.over(x, axes, true)
	}
}
