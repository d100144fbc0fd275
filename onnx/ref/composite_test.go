package ref

import "yolofreeze/onnx"

// compositeCases are worked out by hand: two pictures of one pixel, -1 and 3 behind the
// kernel 2, normalised to ∓1 where epsilon is 0.
var compositeCases = []evalCase{
	{name: "two pixels", op: "ConvBatchNorm", attrs: []onnx.Attr{{Name: "epsilon", Value: float32(0)}, {Name: "activation", Value: "Relu"}},
		in:   []*Array{arr([]int64{2, 1, 1, 1}, -0.5, 1.5), arr([]int64{1, 1, 1, 1}, 2), arr([]int64{1}, 3), arr([]int64{1}, 1)},
		want: []*Array{arr([]int64{2, 1, 1, 1}, 0, 4), arr([]int64{2, 1, 1, 1}, -1, 3), arr([]int64{1}, 1), arr([]int64{1}, 4)}},
	// dy 5 passes the second pixel alone: its mean 2.5, with x̂ 2.5; dz = 3/2·(g - 2.5 - 2.5·x̂) = 0.
	{name: "two pixels", op: "ConvBatchNormGrad", attrs: []onnx.Attr{{Name: "epsilon", Value: float32(0)}, {Name: "activation", Value: "Relu"}},
		in: []*Array{arr([]int64{2, 1, 1, 1}, 7, 5), arr([]int64{2, 1, 1, 1}, -0.5, 1.5), arr([]int64{1, 1, 1, 1}, 2), arr([]int64{1}, 3), arr([]int64{1}, 1),
			arr([]int64{2, 1, 1, 1}, -1, 3), arr([]int64{1}, 1), arr([]int64{1}, 4)},
		want: []*Array{arr([]int64{2, 1, 1, 1}, 0, 0), arr([]int64{1, 1, 1, 1}, 0), arr([]int64{1}, 5), arr([]int64{1}, 5)}},
	{name: "leaky", op: "ConvAct", attrs: []onnx.Attr{{Name: "activation", Value: "LeakyRelu"}, {Name: "alpha", Value: float32(0.5)}},
		in:   []*Array{arr([]int64{1, 1, 2, 2}, 1, 2, -1, -2), arr([]int64{1, 2, 1, 1}, 1, 3), arr([]int64{1}, 1)},
		want: []*Array{arr([]int64{1, 1, 2, 1}, 8, -3), arr([]int64{1, 1, 2, 1}, 8, -6)}},
	{name: "leaky", op: "ConvActGrad", attrs: []onnx.Attr{{Name: "activation", Value: "LeakyRelu"}, {Name: "alpha", Value: float32(0.5)}},
		in:   []*Array{arr([]int64{1, 1, 2, 1}, 1, 2), arr([]int64{1, 1, 2, 2}, 1, 2, -1, -2), arr([]int64{1, 2, 1, 1}, 1, 3), arr([]int64{1, 1, 2, 1}, 8, -6)},
		want: []*Array{arr([]int64{1, 1, 2, 2}, 1, 3, 1, 3), arr([]int64{1, 2, 1, 1}, 0, 0), arr([]int64{1}, 2)}},
	{name: "of equals the first", op: "LargestOf", attrs: []onnx.Attr{{Name: "kernel_shape", Value: []int64{1, 2}}},
		in:   []*Array{arr([]int64{1, 1, 3, 2}, 1, 5, 1, 4, 2, 3)},
		want: []*Array{arr([]int64{1, 1, 2, 2}, 1, 5, 2, 4)}},
	{name: "of equals the first", op: "LargestOfGrad", attrs: []onnx.Attr{{Name: "kernel_shape", Value: []int64{1, 2}}},
		in:   []*Array{arr([]int64{1, 1, 2, 2}, 10, 20, 30, 40), arr([]int64{1, 1, 3, 2}, 1, 5, 1, 4, 2, 3)},
		want: []*Array{arr([]int64{1, 1, 3, 2}, 10, 20, 0, 40, 30, 0)}},
	{name: "two pixels", op: "Doubled", in: []*Array{arr([]int64{1, 1, 2, 1}, 1, 2)}, want: []*Array{arr([]int64{1, 2, 4, 1}, 1, 1, 2, 2, 1, 1, 2, 2)}},
	{name: "two pixels", op: "DoubledGrad", in: []*Array{arr([]int64{1, 2, 4, 1}, 1, 2, 3, 4, 5, 6, 7, 8)}, want: []*Array{arr([]int64{1, 1, 2, 1}, 14, 22)}},
}
