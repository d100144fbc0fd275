package ref

import (
	"math"
	"slices"
)

// resize samples every axis by scales (input 2) or to sizes (input 3), nearest or linear.
func resize(c *call) *Array {
	x := c.in[0]
	scales, sizes := c.target(x.Shape)
	for _, name := range []string{"antialias", "exclude_outside"} {
		need(c.Int(name, 0) == 0, "%s is not supported", name)
	}
	need(c.Str("keep_aspect_ratio_policy", "stretch") == "stretch" && c.Ints("axes", nil) == nil, "keeping the aspect ratio, and axes, are not supported")
	elements(sizes)
	place := placement(c.coordinates())
	out := x
	for axis := range x.Shape {
		if sizes[axis] == x.Shape[axis] && scales[axis] == 1 {
			continue
		}
		at := make([]float64, sizes[axis])
		for i := range at {
			at[i] = place(float64(i), scales[axis], float64(x.Shape[axis]), float64(sizes[axis]))
		}
		switch mode := c.Str("mode", "nearest"); mode {
		case "nearest":
			out = nearest(out, int64(axis), at, c.Str("nearest_mode", c.defaultRounding()))
		case "linear":
			out = linear(out, int64(axis), at)
		default:
			refuse("mode %q is not supported", mode)
		}
	}
	return out
}

// coordinates and defaultRounding: opset 10 had neither attribute, and meant asymmetric and floor.
func (c *call) coordinates() string {
	if c.opset < 11 {
		return "asymmetric"
	}
	return c.Str("coordinate_transformation_mode", "half_pixel")
}

func (c *call) defaultRounding() string {
	if c.opset < 11 {
		return "floor"
	}
	return "round_prefer_floor"
}

// target returns scale and size of each axis.
func (c *call) target(shape []int64) (scales []float64, sizes []int64) {
	scaleInput := 2
	if c.opset < 11 {
		scaleInput = 1
	}
	if c.has(3) {
		sizes = c.ints(3)
		need(len(sizes) == len(shape), "%d sizes for rank %d", len(sizes), len(shape))
		for i, n := range sizes {
			need(n >= 0 && (n == 0 || shape[i] > 0), "size %d from %d", n, shape[i])
			scales = append(scales, float64(n)/float64(max(shape[i], 1)))
		}
		return scales, sizes
	}
	need(c.has(scaleInput), "neither scales nor sizes")
	scales = slices.Clone(c.in[scaleInput].Data)
	need(len(scales) == len(shape), "%d scales for rank %d", len(scales), len(shape))
	for i, s := range scales {
		need(s > 0 && s <= float64(maxElements), "scale %v", s)
		sizes = append(sizes, int64(math.Floor(float64(shape[i])*s)))
	}
	return scales, sizes
}

// placement returns where in the input an output position lies.
func placement(mode string) func(i, scale, from, to float64) float64 {
	switch mode {
	case "asymmetric":
		return func(i, scale, _, _ float64) float64 { return i / scale }
	case "half_pixel":
		return func(i, scale, _, _ float64) float64 { return (i+0.5)/scale - 0.5 }
	case "pytorch_half_pixel":
		return func(i, scale, _, to float64) float64 {
			if to > 1 {
				return (i+0.5)/scale - 0.5
			}
			return 0
		}
	case "align_corners":
		return func(i, _, from, to float64) float64 {
			if to > 1 {
				return i * (from - 1) / (to - 1)
			}
			return 0
		}
	}
	refuse("coordinate_transformation_mode %q is not supported", mode)
	return nil
}

func nearest(x *Array, axis int64, at []float64, rounding string) *Array {
	round := map[string]func(float64) float64{
		"floor": math.Floor, "ceil": math.Ceil,
		"round_prefer_floor": func(v float64) float64 { return math.Ceil(v - 0.5) },
		"round_prefer_ceil":  func(v float64) float64 { return math.Floor(v + 0.5) },
	}[rounding]
	need(round != nil, "nearest_mode %q", rounding)
	return sampled(x, axis, int64(len(at)), func(i, n int64) (lo, hi int64, frac float64) {
		k := min(max(int64(round(at[i])), 0), n-1)
		return k, k, 0
	})
}

func linear(x *Array, axis int64, at []float64) *Array {
	return sampled(x, axis, int64(len(at)), func(i, n int64) (lo, hi int64, frac float64) {
		v := min(max(at[i], 0), float64(n-1))
		lo = int64(v)
		return lo, min(lo+1, n-1), v - float64(lo)
	})
}

// sampled makes size positions along an axis, each a mix of two of the input's.
func sampled(x *Array, axis, size int64, pick func(i, n int64) (lo, hi int64, frac float64)) *Array {
	outer, n, inner := around(x.Shape, axis)
	shape := slices.Clone(x.Shape)
	shape[axis] = size
	out := newArray(shape)
	if len(out.Data) == 0 {
		return out
	}
	for i := range size {
		lo, hi, frac := pick(i, n)
		for o := range outer {
			a, b := x.Data[(o*n+lo)*inner:][:inner], x.Data[(o*n+hi)*inner:][:inner]
			to := out.Data[(o*size+i)*inner:][:inner]
			for k := range to {
				to[k] = a[k]
				if frac > 0 {
					to[k] += frac * (b[k] - a[k])
				}
			}
		}
	}
	return out
}
