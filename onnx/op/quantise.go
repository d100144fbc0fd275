package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// quantisations turn floats into small integers and back, in exported models.
var quantisations = []Op{
	{"QuantizeLinear", 2, []int64{10, 13, 19, 21, 23, 24, 25}, inferQuantizeLinear, NoGrad},
	{"DequantizeLinear", 2, []int64{10, 13, 19, 21, 23, 24, 25}, inferDequantizeLinear, Unsupported("used in exported models only")},
}

func inferQuantizeLinear(n *onnx.Node) ([]onnx.Type, error) {
	x, zero := n.Inputs[0].Type, n.Input(2)
	out := onnx.Type{DType: onnx.Uint8, Shape: x.Shape}
	if zero != nil {
		out.DType = zero.Type.DType
	}
	if out.DType != onnx.Uint8 && out.DType != onnx.Int8 || x.DType != n.Inputs[1].Type.DType {
		return nil, fmt.Errorf("of %v by %v to %v: want uint8 or int8 of a float and a scale of its type", x, n.Inputs[1].Type, out.DType)
	}
	return []onnx.Type{out}, checkScale(n)
}

func inferDequantizeLinear(n *onnx.Node) ([]onnx.Type, error) {
	x, zero := n.Inputs[0].Type, n.Input(2)
	small := x.DType == onnx.Uint8 || x.DType == onnx.Int8 || x.DType == onnx.Int32
	if !small || zero != nil && zero.Type.DType != x.DType {
		return nil, fmt.Errorf("of %v: want uint8, int8 or int32, and a zero point of its type", x)
	}
	return []onnx.Type{{DType: n.Inputs[1].Type.DType, Shape: x.Shape}}, checkScale(n)
}

// checkScale makes sure that scale and zero point are one number, or one for each index of the axis.
func checkScale(n *onnx.Node) error {
	x, scale := n.Inputs[0].Type, n.Inputs[1].Type
	if zero := n.Input(2); zero != nil && len(zero.Type.Shape) != len(scale.Shape) {
		return fmt.Errorf("has the scale %v and the zero point %v", scale, zero.Type)
	}
	switch len(scale.Shape) {
	case 0:
		return nil
	case 1:
		axis, err := axisOf(n.Int("axis", 1), len(x.Shape))
		if err != nil {
			return err
		}
		if d := x.Shape[axis]; d.Known() && scale.Shape[0].Known() && d != scale.Shape[0] && scale.Shape[0].Size != 1 {
			return fmt.Errorf("has %d scales along axis %d of %v", scale.Shape[0].Size, axis, x)
		}
		return nil
	}
	return fmt.Errorf("has the scale %v: want one number, or one for each index of an axis", scale)
}
