package ref

import (
	"iter"
	"slices"

	"yolofreeze/onnx"
)

// strides returns how far apart neighbours along each axis lie.
func strides(shape []int64) []int64 {
	s := make([]int64, len(shape))
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = step
		step *= shape[i]
	}
	return s
}

// broadcast returns the shape that operands take together
// (https://onnx.ai/onnx/repo-docs/Broadcasting.html, multidirectional).
func broadcast(shapes ...[]int64) []int64 {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := slices.Repeat([]int64{1}, rank)
	for _, s := range shapes {
		for i, d := range s {
			o := &out[rank-len(s)+i]
			need(d == *o || d == 1 || *o == 1, "shapes %v do not broadcast", shapes)
			if *o == 1 {
				*o = d
			}
		}
	}
	return out
}

// spread returns the strides by which an operand is read under a broadcast shape.
func spread(shape, to []int64) []int64 {
	out := make([]int64, len(to))
	lead := len(to) - len(shape)
	for i, s := range strides(shape) {
		if shape[i] != 1 {
			out[lead+i] = s
		}
	}
	return out
}

// walk steps through the indices of a shape in row-major order and yields, for each
// of the operands, the offset that its strides give. The slice is reused.
func walk(shape []int64, strides ...[]int64) iter.Seq[[]int64] {
	return func(yield func([]int64) bool) {
		if onnx.NumElements(shape) == 0 {
			return
		}
		at, index := make([]int64, len(strides)), make([]int64, len(shape))
		for {
			if !yield(at) {
				return
			}
			d := len(shape) - 1
			for ; d >= 0; d-- {
				index[d]++
				for k, s := range strides {
					at[k] += s[d]
				}
				if index[d] < shape[d] {
					break
				}
				for k, s := range strides {
					at[k] -= s[d] * shape[d]
				}
				index[d] = 0
			}
			if d < 0 {
				return
			}
		}
	}
}

// view copies what strides select from an array, beginning at an offset.
func (a *Array) view(shape []int64, offset int64, strides []int64) *Array {
	out := newArray(shape)
	i := 0
	for at := range walk(shape, strides) {
		out.Data[i] = a.Data[offset+at[0]]
		i++
	}
	return out
}

// transposed reorders the axes.
func (a *Array) transposed(perm ...int64) *Array {
	shape, steps, own := make([]int64, len(perm)), make([]int64, len(perm)), strides(a.Shape)
	for i, p := range perm {
		shape[i], steps[i] = a.Shape[p], own[p]
	}
	return a.view(shape, 0, steps)
}

// around splits a shape into the sizes before an axis, at it and behind it.
func around(shape []int64, axis int64) (outer, n, inner int64) {
	return onnx.NumElements(shape[:axis]), shape[axis], onnx.NumElements(shape[axis+1:])
}
