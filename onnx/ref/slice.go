package ref

import (
	"slices"

	"yolofreeze/onnx"
)

// slice takes starts, ends, axes and steps as inputs, and before opset 10 as attributes.
func slice(c *call) *Array {
	x := c.in[0]
	starts, ends := c.listArg("starts", 1), c.listArg("ends", 2)
	axes, steps := c.listArg("axes", 3), []int64(nil)
	if c.arg(4) != nil {
		steps = c.ints(4)
	}
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int64{1}, len(starts))
	}
	need(len(ends) == len(starts) && len(axes) == len(starts) && len(steps) == len(starts),
		"starts %v, ends %v, axes %v, steps %v", starts, ends, axes, steps)
	shape, moves, offset := slices.Clone(x.Shape), strides(x.Shape), int64(0)
	for i, axis := range wrapAll(axes, x.rank()) {
		need(steps[i] != 0, "step 0")
		step := min(max(steps[i], -maxElements), maxElements) // longer ones leave one element too
		first, count := sliceRange(starts[i], ends[i], step, x.Shape[axis])
		if count > 0 {
			offset += first * moves[axis]
		}
		shape[axis] = count
		moves[axis] *= step
	}
	return x.view(shape, offset, moves)
}

// sliceRange clamps as Slice says, which backward differs from Python in a start before
// the first element, and counts the elements.
func sliceRange(start, end, step, size int64) (first, count int64) {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	if step > 0 {
		start, end = min(max(start, 0), size), min(max(end, 0), size)
	} else {
		start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
	}
	if way := (end - start) * sign64(step); way > 0 {
		count = (way-1)/(step*sign64(step)) + 1
	}
	return start, count
}

func sign64(v int64) int64 {
	if v < 0 {
		return -1
	}
	return 1
}

// pad surrounds by a constant; negative pads cut off.
func pad(c *call) *Array {
	x := c.in[0]
	mode := c.Str("mode", "constant")
	need(mode == "constant", "mode %q is not supported", mode)
	pads, value := c.listArg("pads", 1), float64(c.Float("value", 0))
	if c.arg(2) != nil {
		value = c.single(2)
	}
	axes := []int64{}
	if c.arg(3) != nil {
		axes = wrapAll(c.ints(3), x.rank())
	} else {
		for i := range x.rank() {
			axes = append(axes, i)
		}
	}
	need(len(pads) == 2*len(axes), "%d pads for %d axes", len(pads), len(axes))

	shape, inside := slices.Clone(x.Shape), slices.Clone(x.Shape)
	from, to := make([]int64, len(shape)), make([]int64, len(shape)) // where the part of x that stays begins
	for i, axis := range axes {
		begin, end := pads[i], pads[len(axes)+i]
		need(max(begin, end) <= maxElements && min(begin, end) >= -maxElements, "pads %v", pads)
		shape[axis] += begin + end
		need(shape[axis] >= 0, "pads %v of shape %v", pads, x.Shape)
		from[axis], to[axis] = max(-begin, 0), max(begin, 0)
		inside[axis] = max(x.Shape[axis]+min(begin, 0)+min(end, 0), 0)
	}
	out := filled(shape, value)
	own, other := strides(x.Shape), strides(shape)
	read, write := dot(from, own), dot(to, other)
	for at := range walk(inside, own, other) {
		out.Data[write+at[1]] = x.Data[read+at[0]]
	}
	return out
}

func dot(a, b []int64) (sum int64) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func constant(c *call) *Array {
	for _, a := range c.Attrs {
		switch v := a.Value.(type) {
		case *onnx.Tensor:
			need(v.DType.Size() > 0, "a tensor of %v", v.DType)
			return FromTensor(v)
		case float32:
			return scalar(float64(v))
		case int64:
			return scalar(float64(v))
		case []float32:
			return FromTensor(onnx.Of(v, int64(len(v))))
		case []int64:
			return list(v)
		}
	}
	refuse("no value that is a number")
	return nil
}

func constantOfShape(c *call) *Array {
	value := 0.0
	if t, ok := c.Attr("value").(*onnx.Tensor); ok {
		need(t.Len() == 1 && t.DType.Size() > 0, "value %v", t)
		value = t.Float64s()[0]
	}
	return filled(c.ints(0), value)
}

// shapeOf gives the sizes of the axes from start to end.
func shapeOf(c *call) *Array {
	shape := c.in[0].Shape
	rank := int64(len(shape))
	first, count := sliceRange(c.Int("start", 0), c.Int("end", rank), 1, rank)
	return list(shape[first : first+count])
}

func sizeOf(c *call) *Array { return scalar(float64(len(c.in[0].Data))) }

// span counts from a start in steps up to a limit, which is left out.
func span(c *call) *Array {
	start, limit, delta := c.single(0), c.single(1), c.single(2)
	count := (limit - start) / delta
	need(delta != 0 && count < float64(maxElements), "from %v to %v in steps of %v", start, limit, delta)
	n := int64(max(count, 0))
	if float64(n) < count {
		n++
	}
	out := newArray([]int64{n})
	for i := range out.Data {
		out.Data[i] = start + float64(i)*delta
	}
	return out
}
