package ref

import (
	"slices"

	"yolofreeze/onnx"
)

func identity(c *call) *Array { return c.in[0] }

// reshape keeps a size where the wanted one is 0, unless allowzero, and works out one of -1.
func reshape(c *call) *Array {
	x, wanted := c.in[0], c.listArg("shape", 1)
	shape, free := slices.Clone(wanted), -1
	for i, d := range wanted {
		switch {
		case d == -1 && free < 0:
			free, shape[i] = i, 1
		case d == 0 && c.Int("allowzero", 0) == 0:
			need(i < len(x.Shape), "shape %v from %v", wanted, x.Shape)
			shape[i] = x.Shape[i]
		}
	}
	total, known := int64(len(x.Data)), elements(shape)
	if free >= 0 {
		need(known > 0 && total%known == 0, "shape %v from %v", wanted, x.Shape)
		shape[free] = total / known
		known = total
	}
	need(known == total, "shape %v from %v", wanted, x.Shape)
	return x.reshaped(shape)
}

func flatten(c *call) *Array {
	x := c.in[0]
	axis := c.Int("axis", 1)
	if axis != x.rank() {
		axis = wrap(axis, x.rank())
	}
	return x.reshaped([]int64{onnx.NumElements(x.Shape[:axis]), onnx.NumElements(x.Shape[axis:])})
}

func squeeze(c *call) *Array {
	x := c.in[0]
	axes := wrapAll(c.listArg("axes", 1), x.rank())
	shape := []int64{}
	for i, d := range x.Shape {
		named := slices.Contains(axes, int64(i))
		need(!named || d == 1, "axis %d of %v is not 1", i, x.Shape)
		if !named && (len(axes) > 0 || d != 1) {
			shape = append(shape, d)
		}
	}
	return x.reshaped(shape)
}

func unsqueeze(c *call) *Array {
	x := c.in[0]
	axes := c.listArg("axes", 1)
	axes = wrapAll(axes, x.rank()+int64(len(axes)))
	shape := slices.Clone(x.Shape)
	for _, axis := range slices.Sorted(slices.Values(axes)) {
		shape = slices.Insert(shape, int(axis), 1)
	}
	return x.reshaped(shape)
}

func transpose(c *call) *Array {
	x := c.in[0]
	perm := c.Ints("perm", nil)
	if perm == nil {
		for i := range x.rank() {
			perm = append(perm, x.rank()-1-i)
		}
	}
	need(len(perm) == len(x.Shape), "perm %v of rank %d", perm, x.rank())
	return x.transposed(wrapAll(perm, x.rank())...)
}

func expand(c *call) *Array {
	x := c.in[0]
	shape := broadcast(x.Shape, c.ints(1))
	return x.view(shape, 0, spread(x.Shape, shape))
}

// tile walks each axis as two: the repeats, which do not move, and the axis itself.
func tile(c *call) *Array {
	x, repeats := c.in[0], c.ints(1)
	need(len(repeats) == len(x.Shape), "repeats %v of rank %d", repeats, x.rank())
	shape, wide, steps := make([]int64, len(repeats)), []int64{}, []int64{}
	for i, s := range strides(x.Shape) {
		need(repeats[i] >= 0 && repeats[i] <= maxElements, "repeats %v", repeats)
		shape[i] = repeats[i] * x.Shape[i]
		wide, steps = append(wide, repeats[i], x.Shape[i]), append(steps, 0, s)
	}
	return x.view(wide, 0, steps).reshaped(shape)
}

func concat(c *call) *Array {
	first := c.in[0]
	need(c.Attr("axis") != nil, "no axis")
	axis := c.axis(0, first.rank())
	shape := slices.Clone(first.Shape)
	shape[axis] = 0
	for i, a := range c.in {
		need(a != nil && a.rank() == first.rank(), "input %d does not have rank %d", i, first.rank())
		for k, d := range a.Shape {
			need(int64(k) == axis || d == shape[k], "input %d has shape %v, the first %v", i, a.Shape, first.Shape)
		}
		shape[axis] += a.Shape[axis]
	}
	out := newArray(shape)
	outer, n, inner := around(shape, axis)
	at := int64(0)
	for _, a := range c.in {
		size := a.Shape[axis] * inner
		for o := range outer {
			copy(out.Data[o*n*inner+at:], a.Data[o*size:(o+1)*size])
		}
		at += size
	}
	return out
}

// split cuts an axis to given sizes, or evenly into as many parts as the node has outputs.
func split(c *call) []*Array {
	x := c.in[0]
	axis := c.axis(0, x.rank())
	outer, n, inner := around(x.Shape, axis)
	sizes := c.listArg("split", 1)
	if sizes == nil {
		parts := c.Int("num_outputs", int64(len(c.Outputs)))
		need(parts > 0 && parts <= 1<<16, "%d parts", parts)
		size := (n + parts - 1) / parts
		for i := range parts {
			sizes = append(sizes, max(min(size, n-i*size), 0))
		}
	}
	var out []*Array
	at := int64(0)
	for _, size := range sizes {
		need(size >= 0 && at+size <= n, "parts %v of %d", sizes, n)
		shape := slices.Clone(x.Shape)
		shape[axis] = size
		part := newArray(shape)
		for o := range outer {
			copy(part.Data[o*size*inner:(o+1)*size*inner], x.Data[(o*n+at)*inner:])
		}
		out = append(out, part)
		at += size
	}
	need(at == n, "parts %v of %d", sizes, n)
	return out
}

// depthToSpace moves channels into blocks of pixels: the block's rows and columns count
// slower than the channel (DCR) or faster (CRD).
func depthToSpace(c *call) *Array {
	x, b := c.in[0], c.Int("blocksize", 0)
	need(x.rank() == 4 && b > 0 && b < 1<<15 && x.Shape[1]%(b*b) == 0, "shape %v, blocksize %d", x.Shape, b)
	n, depth, h, w := x.Shape[0], x.Shape[1]/(b*b), x.Shape[2], x.Shape[3]
	out := []int64{n, depth, h * b, w * b}
	switch mode := c.Str("mode", "DCR"); mode {
	case "DCR":
		return x.reshaped([]int64{n, b, b, depth, h, w}).transposed(0, 3, 4, 1, 5, 2).reshaped(out)
	case "CRD":
		return x.reshaped([]int64{n, depth, b, b, h, w}).transposed(0, 1, 4, 2, 5, 3).reshaped(out)
	default:
		refuse("mode %q", mode)
	}
	return nil
}

// spaceToDepth undoes depthToSpace in mode DCR.
func spaceToDepth(c *call) *Array {
	x, b := c.in[0], c.Int("blocksize", 0)
	need(x.rank() == 4 && b > 0 && b < 1<<15 && x.Shape[2]%b == 0 && x.Shape[3]%b == 0, "shape %v, blocksize %d", x.Shape, b)
	n, depth, h, w := x.Shape[0], x.Shape[1], x.Shape[2]/b, x.Shape[3]/b
	return x.reshaped([]int64{n, depth, h, b, w, b}).transposed(0, 3, 5, 1, 2, 4).reshaped([]int64{n, depth * b * b, h, w})
}
