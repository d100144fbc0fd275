package ref

import (
	"math"

	"yolofreeze/onnx"
)

func unary(f func(float64) float64) func(*call) *Array {
	return func(c *call) *Array { return mapped(c.in[0], f) }
}

func mapped(x *Array, f func(float64) float64) *Array {
	out := newArray(x.Shape)
	for i, v := range x.Data {
		out.Data[i] = f(v)
	}
	return out
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func relu(x float64) float64 { return max(x, 0) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func hardSwish(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }

func reciprocal(x float64) float64 { return 1 / x }

func negate(x float64) float64 { return -x }

func not(x float64) float64 { return truth(x == 0) }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func leakyRelu(c *call) *Array {
	alpha := float64(c.Float("alpha", 0.01))
	return mapped(c.in[0], func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	})
}

func hardSigmoid(c *call) *Array {
	alpha, beta := float64(c.Float("alpha", 0.2)), float64(c.Float("beta", 0.5))
	return mapped(c.in[0], func(x float64) float64 { return min(max(alpha*x+beta, 0), 1) })
}

// clip takes its bounds as inputs from opset 11 on, as attributes before.
func clip(c *call) *Array {
	low, high := math.Inf(-1), math.Inf(1)
	if c.opset < 11 {
		low, high = float64(c.Float("min", -math.MaxFloat32)), float64(c.Float("max", math.MaxFloat32))
	}
	if c.arg(1) != nil {
		low = c.single(1)
	}
	if c.arg(2) != nil {
		high = c.single(2)
	}
	return mapped(c.in[0], func(x float64) float64 { return min(max(x, low), high) })
}

func cast(c *call) *Array {
	to := onnx.DType(c.Int("to", 0))
	switch to {
	case onnx.Float, onnx.Double, onnx.Float16, onnx.BFloat16:
		return c.in[0]
	case onnx.Bool:
		return mapped(c.in[0], func(x float64) float64 { return truth(x != 0) })
	case onnx.Int8, onnx.Uint8, onnx.Int16, onnx.Uint16, onnx.Int32, onnx.Uint32, onnx.Int64, onnx.Uint64:
		return mapped(c.in[0], math.Trunc)
	}
	refuse("cast to %v", to)
	return nil
}

func binary(f func(x, y float64) float64) func(*call) *Array {
	return func(c *call) *Array { return combined(c.in[0], c.in[1], f) }
}

// compare gives a bool.
func compare(f func(x, y float64) bool) func(*call) *Array {
	return binary(func(x, y float64) float64 { return truth(f(x, y)) })
}

func fold(f func(x, y float64) float64) func(*call) *Array {
	return func(c *call) *Array {
		out := c.in[0]
		for i := 1; i < len(c.in); i++ {
			need(c.in[i] != nil, "input %d is missing", i)
			out = combined(out, c.in[i], f)
		}
		return out
	}
}

// combined applies f under broadcasting.
func combined(x, y *Array, f func(x, y float64) float64) *Array {
	shape := broadcast(x.Shape, y.Shape)
	out := newArray(shape)
	sx, sy := spread(x.Shape, shape), spread(y.Shape, shape)
	last := len(shape) - 1
	if last < 0 {
		out.Data[0] = f(x.Data[0], y.Data[0])
		return out
	}
	if shape[last] == 0 {
		return out
	}
	row, dx, dy := shape[last], sx[last], sy[last]
	to := out.Data
	for at := range walk(shape[:last], sx, sy) {
		i, j := at[0], at[1]
		for k := range to[:row] {
			to[k] = f(x.Data[i], y.Data[j])
			i += dx
			j += dy
		}
		to = to[row:]
	}
	return out
}

func add(x, y float64) float64 { return x + y }
func sub(x, y float64) float64 { return x - y }
func mul(x, y float64) float64 { return x * y }

func larger(x, y float64) float64  { return max(x, y) }
func smaller(x, y float64) float64 { return min(x, y) }

// divide rounds toward zero where the node works on integers.
func divide(c *call) *Array {
	if !c.integers() {
		return combined(c.in[0], c.in[1], func(x, y float64) float64 { return x / y })
	}
	c.needDivisor()
	return combined(c.in[0], c.in[1], func(x, y float64) float64 { return math.Trunc(x / y) })
}

// modulo takes the sign of the divisor, or with fmod that of the dividend.
func modulo(c *call) *Array {
	if c.integers() {
		c.needDivisor()
	}
	signed := c.Int("fmod", 0) != 0
	return combined(c.in[0], c.in[1], func(x, y float64) float64 {
		r := math.Mod(x, y)
		if !signed && r != 0 && (r < 0) != (y < 0) {
			r += y
		}
		return r
	})
}

// needDivisor refuses zeros, which integers have no answer for.
func (c *call) needDivisor() {
	for _, y := range c.in[1].Data {
		need(y != 0, "integer divided by zero")
	}
}

func where(c *call) *Array {
	x, y := c.in[1], c.in[2]
	shape := broadcast(c.in[0].Shape, x.Shape, y.Shape)
	out := newArray(shape)
	i := 0
	for at := range walk(shape, spread(c.in[0].Shape, shape), spread(x.Shape, shape), spread(y.Shape, shape)) {
		if c.in[0].Data[at[0]] != 0 {
			out.Data[i] = x.Data[at[1]]
		} else {
			out.Data[i] = y.Data[at[2]]
		}
		i++
	}
	return out
}

func isInf(c *call) *Array {
	up, down := c.Int("detect_positive", 1) != 0, c.Int("detect_negative", 1) != 0
	return mapped(c.in[0], func(x float64) float64 {
		return truth(up && math.IsInf(x, 1) || down && math.IsInf(x, -1))
	})
}
