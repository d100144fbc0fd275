package ref

import (
	"math"

	"yolofreeze/onnx"
)

func quantizeLinear(c *call) *Array {
	least, most := 0., float64(math.MaxUint8)
	for _, v := range []*onnx.Value{c.Input(2), c.Output(0)} {
		if v != nil && v.Type.DType == onnx.Int8 {
			least, most = math.MinInt8, math.MaxInt8
		}
	}
	return scaled(c, func(x, scale, zero float64) float64 {
		return min(max(math.RoundToEven(x/scale)+zero, least), most)
	})
}

func dequantizeLinear(c *call) *Array {
	return scaled(c, func(x, scale, zero float64) float64 { return (x - zero) * scale })
}

// scaled maps an array by one scale and zero point, or by those of each index of an axis.
func scaled(c *call, f func(x, scale, zero float64) float64) *Array {
	x, scale, zero := c.in[0], c.in[1], c.arg(2)
	need(len(scale.Shape) <= 1 && (zero == nil || len(zero.Data) == len(scale.Data)), "scale of shape %v for %v", scale.Shape, x.Shape)
	count, each := 1, len(x.Data)
	if len(scale.Data) != 1 {
		axis := c.axis(1, int64(len(x.Shape)))
		count, each = int(x.Shape[axis]), int(onnx.NumElements(x.Shape[axis+1:]))
		need(len(scale.Data) == count, "%d scales along axis %d of %v", len(scale.Data), axis, x.Shape)
	}
	out := newArray(x.Shape)
	for i, v := range x.Data {
		k, z := i/max(each, 1)%max(count, 1), 0.
		if zero != nil {
			z = zero.Data[k]
		}
		out.Data[i] = f(v, scale.Data[k], z)
	}
	return out
}
