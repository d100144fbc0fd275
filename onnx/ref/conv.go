package ref

// conv unfolds the image, so that a convolution is one matrix product per image and group.
func conv(c *call) *Array {
	x, flat := planes(c.in[0])
	weight, _ := planes(c.in[1])
	need(c.in[0].rank() == c.in[1].rank(), "image %v and kernel %v", c.in[0].Shape, c.in[1].Shape)
	n, channels, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	groups, features := c.Int("group", 1), weight.Shape[0]
	need(groups > 0 && features%groups == 0 && weight.Shape[1]*groups == channels,
		"image %v, kernel %v, %d groups", c.in[0].Shape, c.in[1].Shape, groups)
	c.checkKernel(weight.Shape[2:], flat)
	win := c.sliding(weight.Shape[2:], flat)
	c.forward(&win, x.Shape[2:], false)

	out := newArray([]int64{n, features, win.out[0], win.out[1]})
	c.bias(out, 2)
	positions := win.out[0] * win.out[1]
	inGroup, outGroup := channels/groups, features/groups
	taps := inGroup * win.kernel[0] * win.kernel[1]
	col := newArray([]int64{taps, positions})
	for i := range n {
		for g := range groups {
			from := (i*channels + g*inGroup) * h * w
			win.unfold(col.Data, x.Data[from:from+inGroup*h*w], inGroup, h, w)
			to := out.Data[(i*features+g*outGroup)*positions:]
			multiply(to[:outGroup*positions], weight.Data[g*outGroup*taps:(g+1)*outGroup*taps], col.Data, outGroup, taps, positions)
		}
	}
	return out.unflat(flat)
}

// checkKernel holds the attribute kernel_shape against the weight.
func (c *call) checkKernel(size []int64, flat bool) {
	k := c.spatial("kernel_shape", flat, 0, 1)
	need(c.Ints("kernel_shape", nil) == nil || k[0] == size[0] && k[1] == size[1], "kernel_shape %v, the weight has %v", k, size)
}

// bias fills [N, C, H, W] with one number a channel, if the input is there.
func (c *call) bias(out *Array, input int) {
	b := c.arg(input)
	if b == nil {
		return
	}
	channels := out.Shape[1]
	need(b.rank() == 1 && b.Shape[0] == channels, "bias %v for %d channels", b.Shape, channels)
	plane := out.Shape[2] * out.Shape[3]
	for i := range out.Shape[0] * channels {
		to := out.Data[i*plane : (i+1)*plane]
		for k := range to {
			to[k] = b.Data[i%channels]
		}
	}
}

// convTranspose is the adjoint of conv with the same window: the roles of image and
// output are exchanged, the kernel is [C, features/groups, kh, kw].
func convTranspose(c *call) *Array {
	x, flat := planes(c.in[0])
	weight, _ := planes(c.in[1])
	need(c.in[0].rank() == c.in[1].rank(), "image %v and kernel %v", c.in[0].Shape, c.in[1].Shape)
	n, channels, h, w := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	groups := c.Int("group", 1)
	need(groups > 0 && channels%groups == 0 && weight.Shape[0] == channels,
		"image %v, kernel %v, %d groups", c.in[0].Shape, c.in[1].Shape, groups)
	c.checkKernel(weight.Shape[2:], flat)
	win := c.sliding(weight.Shape[2:], flat)
	size := c.backward(&win, x.Shape[2:], flat)

	inGroup, outGroup := channels/groups, weight.Shape[1]
	features, plane := outGroup*groups, size[0]*size[1]
	out := newArray([]int64{n, features, size[0], size[1]})
	c.bias(out, 2)
	taps := outGroup * win.kernel[0] * win.kernel[1]
	col := newArray([]int64{taps, h * w})
	turned := weight.reshaped([]int64{groups, inGroup, taps}).transposed(0, 2, 1)
	for i := range n {
		for g := range groups {
			clear(col.Data)
			from := (i*channels + g*inGroup) * h * w
			multiply(col.Data, turned.Data[g*taps*inGroup:(g+1)*taps*inGroup], x.Data[from:from+inGroup*h*w], taps, inGroup, h*w)
			to := (i*features + g*outGroup) * plane
			win.fold(out.Data[to:to+outGroup*plane], col.Data, outGroup, size[0], size[1])
		}
	}
	return out.unflat(flat)
}

// backward sets the window's positions to the image and returns the size of the output,
// with the padding that auto_pad or output_shape implies.
func (c *call) backward(w *window, image []int64, flat bool) [2]int64 {
	extra, wanted := c.spatial("output_padding", flat, 0, 1), c.spatial("output_shape", flat, 0, 1)
	auto := c.Str("auto_pad", "NOTSET")
	var size [2]int64
	for i := range 2 {
		w.out[i] = image[i]
		need(extra[i] >= 0 && extra[i] < max(w.stride[i], w.dilation[i]), "output_padding %v", extra)
		full := w.stride[i]*(image[i]-1) + extra[i] + w.reach(i)
		switch {
		case c.Ints("output_shape", nil) != nil:
			size[i] = wanted[i]
			w.pad(i, max(full-size[i], 0), auto != "SAME_LOWER" && auto != "NOTSET")
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			size[i] = min(image[i]*w.stride[i], full) // ONNX Runtime adds nothing to reach the product
			w.pad(i, full-size[i], auto == "SAME_UPPER")
		case auto == "VALID":
			w.begin[i], w.end[i] = 0, 0
			size[i] = full
		default:
			size[i] = full - w.begin[i] - w.end[i]
		}
		need(size[i] >= 0, "an output of size %d", size[i])
	}
	return size
}
