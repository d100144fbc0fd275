package ref

import "yolofreeze/onnx"

// quantiseCases follow from the definitions: round(x/scale) to even, zero point added, cut off.
var quantiseCases = []evalCase{
	{name: "uint8", op: "QuantizeLinear",
		in:   []*Array{arr([]int64{6}, -9, -0.5, 0.25, 0.75, 1, 200), arr(nil, 0.5), arr(nil, 10)},
		want: []*Array{arr([]int64{6}, 0, 9, 10, 12, 12, 255)}},
	{name: "no zero point", op: "QuantizeLinear",
		in:   []*Array{arr([]int64{2}, -1, 3), arr(nil, 2)},
		want: []*Array{arr([]int64{2}, 0, 2)}},
	{name: "int8 by rows", op: "QuantizeLinear", dtype: onnx.Int8, attrs: []onnx.Attr{{Name: "axis", Value: int64(0)}},
		in:   []*Array{arr([]int64{2, 2}, -1, 3, -1, 300), arr([]int64{2}, 1, 2), arr([]int64{2}, 0, 1)},
		want: []*Array{arr([]int64{2, 2}, -1, 3, 1, 127)}},
	{name: "single", op: "DequantizeLinear",
		in:   []*Array{arr([]int64{3}, 0, 9, 255), arr(nil, 0.5), arr(nil, 10)},
		want: []*Array{arr([]int64{3}, -5, -0.5, 122.5)}},
	{name: "by the second axis", op: "DequantizeLinear",
		in:   []*Array{arr([]int64{1, 2, 2}, 1, 2, 3, 4), arr([]int64{2}, 1, 10)},
		want: []*Array{arr([]int64{1, 2, 2}, 1, 2, 30, 40)}},
}
