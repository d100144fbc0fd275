package ref

import (
	"slices"

	"yolofreeze/onnx"
)

// gather picks whole slices along an axis.
func gather(c *call) *Array {
	x, indices := c.in[0], c.in[1]
	axis := c.axis(0, x.rank())
	outer, n, inner := around(x.Shape, axis)
	out := newArray(slices.Concat(x.Shape[:axis], indices.Shape, x.Shape[axis+1:]))
	to := out.Data
	for o := range outer {
		for _, v := range indices.Data {
			from := (o*n + index(v, n)) * inner
			to = to[copy(to, x.Data[from:from+inner]):]
		}
	}
	return out
}

// elementwiseAxis returns the strides by which the data is read at the position of an
// index, the axis left out, and that of the axis: GatherElements, ScatterElements.
func (c *call) elementwiseAxis(data, indices *Array) (steps []int64, axis, step int64) {
	axis = c.axis(0, data.rank())
	need(indices.rank() == data.rank(), "indices %v for data %v", indices.Shape, data.Shape)
	for i, d := range indices.Shape {
		need(int64(i) == axis || d <= data.Shape[i], "indices %v for data %v", indices.Shape, data.Shape)
	}
	steps = strides(data.Shape)
	step, steps[axis] = steps[axis], 0
	return steps, axis, step
}

func gatherElements(c *call) *Array {
	x, indices := c.in[0], c.in[1]
	steps, axis, step := c.elementwiseAxis(x, indices)
	out := newArray(indices.Shape)
	i := 0
	for at := range walk(indices.Shape, steps) {
		out.Data[i] = x.Data[at[0]+index(indices.Data[i], x.Shape[axis])*step]
		i++
	}
	return out
}

func scatterElements(c *call) *Array {
	x, indices, updates := c.in[0], c.in[1], c.in[2]
	steps, axis, step := c.elementwiseAxis(x, indices)
	need(slices.Equal(indices.Shape, updates.Shape), "indices %v, updates %v", indices.Shape, updates.Shape)
	combine := c.combiner()
	out := mapped(x, func(v float64) float64 { return v })
	i := 0
	for at := range walk(indices.Shape, steps) {
		to := at[0] + index(indices.Data[i], x.Shape[axis])*step
		out.Data[to] = combine(out.Data[to], updates.Data[i])
		i++
	}
	return out
}

// combiner is the reduction of a scatter; without one the last write wins.
func (c *call) combiner() func(old, update float64) float64 {
	switch r := c.Str("reduction", "none"); r {
	case "none":
		return func(_, update float64) float64 { return update }
	case "add":
		return add
	case "mul":
		return mul
	case "max":
		return larger
	case "min":
		return smaller
	default:
		refuse("reduction %q", r)
	}
	return nil
}

// blocks resolves tuples of indices, along the last axis of indices, to the offsets of
// the blocks of data that they name, each of size elements.
func blocks(data, indices *Array) (offsets []int64, size int64) {
	need(indices.rank() > 0, "indices without an axis")
	k := indices.Shape[indices.rank()-1]
	need(k <= data.rank(), "indices %v for data %v", indices.Shape, data.Shape)
	steps := strides(data.Shape)
	offsets = make([]int64, onnx.NumElements(indices.Shape[:indices.rank()-1]))
	for i := range offsets {
		for j := range k {
			offsets[i] += index(indices.Data[int64(i)*k+j], data.Shape[j]) * steps[j]
		}
	}
	return offsets, onnx.NumElements(data.Shape[k:])
}

func gatherND(c *call) *Array {
	x, indices := c.in[0], c.in[1]
	need(c.Int("batch_dims", 0) == 0, "batch_dims is not supported")
	offsets, size := blocks(x, indices)
	k := indices.Shape[indices.rank()-1]
	out := newArray(slices.Concat(indices.Shape[:indices.rank()-1], x.Shape[k:]))
	to := out.Data
	for _, from := range offsets {
		to = to[copy(to, x.Data[from:from+size]):]
	}
	return out
}

func scatterND(c *call) *Array {
	x, indices, updates := c.in[0], c.in[1], c.in[2]
	offsets, size := blocks(x, indices)
	k := indices.Shape[indices.rank()-1]
	want := slices.Concat(indices.Shape[:indices.rank()-1], x.Shape[k:])
	need(slices.Equal(updates.Shape, want), "updates %v, want %v", updates.Shape, want)
	combine := c.combiner()
	out := mapped(x, func(v float64) float64 { return v })
	for i, to := range offsets {
		for j := range size {
			out.Data[to+j] = combine(out.Data[to+j], updates.Data[int64(i)*size+j])
		}
	}
	return out
}

// oneHot puts the second of two values where an index points along a new axis, the first
// elsewhere; an index out of range points nowhere.
func oneHot(c *call) *Array {
	indices, values := c.in[0], c.in[2]
	need(len(values.Data) == 2, "values %v, want two", values.Shape)
	depth := toInt(c.single(1))
	axis := c.axis(-1, indices.rank()+1)
	out := filled(slices.Insert(slices.Clone(indices.Shape), int(axis), depth), values.Data[0])
	_, _, inner := around(out.Shape, axis)
	for i, v := range indices.Data {
		k := toInt(v)
		if k < 0 {
			k += depth
		}
		if k >= 0 && k < depth {
			out.Data[int64(i)/inner*inner*depth+k*inner+int64(i)%inner] = values.Data[1]
		}
	}
	return out
}
