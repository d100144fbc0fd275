package ref

import (
	"cmp"
	"math"
	"slices"
)

// reduction folds numbers into one: step adds a number to the sum so far, finish turns
// the sum over n of them into the result.
type reduction struct {
	start  float64
	step   func(sum, x float64) float64
	finish func(sum, n float64) float64
}

var (
	sumOf     = reduction{step: add}
	meanOf    = reduction{step: add, finish: func(sum, n float64) float64 { return sum / n }}
	maxOf     = reduction{start: math.Inf(-1), step: larger}
	minOf     = reduction{start: math.Inf(1), step: smaller}
	productOf = reduction{start: 1, step: mul}
	squaresOf = reduction{step: func(sum, x float64) float64 { return sum + x*x }}
	absOf     = reduction{step: func(sum, x float64) float64 { return sum + math.Abs(x) }}
	lengthOf  = reduction{step: squaresOf.step, finish: func(sum, _ float64) float64 { return math.Sqrt(sum) }}
)

// reduce reads axes from the attribute or, in newer opsets, from input 1; none mean all.
func reduce(r reduction) func(*call) *Array {
	return func(c *call) *Array {
		x := c.in[0]
		axes := wrapAll(c.listArg("axes", 1), x.rank())
		if len(axes) == 0 && c.Int("noop_with_empty_axes", 0) == 0 {
			for i := range x.rank() {
				axes = append(axes, i)
			}
		}
		return r.over(x, axes, c.Int("keepdims", 1) != 0)
	}
}

// over reduces the given axes of x.
func (r reduction) over(x *Array, axes []int64, keep bool) *Array {
	kept, shape := slices.Clone(x.Shape), []int64{}
	n := 1.0
	for i, d := range x.Shape {
		if slices.Contains(axes, int64(i)) {
			kept[i] = 1
			n *= float64(d)
		} else {
			shape = append(shape, d)
		}
	}
	out := filled(kept, r.start)
	i := 0
	for at := range walk(x.Shape, spread(kept, x.Shape)) {
		out.Data[at[0]] = r.step(out.Data[at[0]], x.Data[i])
		i++
	}
	if r.finish != nil {
		for i, sum := range out.Data {
			out.Data[i] = r.finish(sum, n)
		}
	}
	if keep {
		return out
	}
	return out.reshaped(shape)
}

// argBest gives the index of the first best number along an axis, or of the last.
func argBest(better func(x, best float64) bool) func(*call) *Array {
	return func(c *call) *Array {
		x := c.in[0]
		axis := c.axis(0, x.rank())
		outer, n, inner := around(x.Shape, axis)
		need(n > 0 || outer*inner == 0, "nothing along axis %d of %v", axis, x.Shape)
		last := c.Int("select_last_index", 0) != 0
		shape := slices.Clone(x.Shape)
		shape[axis] = 1
		out := newArray(shape)
		i := 0
		for at := range lines(x, n, inner) {
			best := int64(0)
			for k := range n {
				v, top := x.Data[at+k*inner], x.Data[at+best*inner]
				if better(v, top) || last && v == top {
					best = k
				}
			}
			out.Data[i] = float64(best)
			i++
		}
		if c.Int("keepdims", 1) == 0 {
			return out.reshaped(slices.Delete(shape, int(axis), int(axis)+1))
		}
		return out
	}
}

// topK gives the k largest numbers along an axis, or smallest, and their indices; of
// equals the one with the lower index comes first. They are always sorted.
func topK(c *call) []*Array {
	x := c.in[0]
	axis := c.axis(-1, x.rank())
	_, n, inner := around(x.Shape, axis)
	k := toInt(c.single(1))
	need(k >= 0 && k <= n, "k %d of %d along axis %d", k, n, axis)
	shape := slices.Clone(x.Shape)
	shape[axis] = k
	values, indices := newArray(shape), newArray(shape)
	if len(values.Data) == 0 {
		return []*Array{values, indices}
	}
	sign := 1
	if c.Int("largest", 1) != 0 {
		sign = -1
	}
	order := make([]int64, n)
	for at := range lines(x, n, inner) {
		for i := range order {
			order[i] = int64(i)
		}
		slices.SortStableFunc(order, func(i, j int64) int {
			return sign * cmp.Compare(x.Data[at+i*inner], x.Data[at+j*inner])
		})
		to := at/(n*inner)*k*inner + at%inner
		for i, from := range order[:k] {
			values.Data[to+int64(i)*inner] = x.Data[at+from*inner]
			indices.Data[to+int64(i)*inner] = float64(from)
		}
	}
	return []*Array{values, indices}
}

// cumSum adds up along the axis that input 1 names.
func cumSum(c *call) *Array {
	x := c.in[0]
	axis := wrap(toInt(c.single(1)), x.rank())
	exclusive, reverse := c.Int("exclusive", 0) != 0, c.Int("reverse", 0) != 0
	_, n, inner := around(x.Shape, axis)
	out := newArray(x.Shape)
	for at := range lines(x, n, inner) {
		sum := 0.0
		for k := range n {
			if reverse {
				k = n - 1 - k
			}
			i := at + k*inner
			if exclusive {
				out.Data[i] = sum
				sum += x.Data[i]
			} else {
				sum += x.Data[i]
				out.Data[i] = sum
			}
		}
	}
	return out
}
