package ref

import "yolofreeze/onnx"

var (
	fiveBoxes  = arr([]int64{1, 5, 4}, 0, 0, 10, 10, 0, 1, 10, 11, 20, 20, 30, 30, 21, 20, 30, 31, 5, 5, 4, 4)
	twoClasses = arr([]int64{1, 2, 5}, .5, .9, .7, .7, .2, .1, .2, .3, .4, .6)
)

// nmsCases holds inputs chosen by hand and what ONNX Runtime 1.30 makes of them.
var nmsCases = []evalCase{
	{name: "three a class", op: "NonMaxSuppression",
		in:   []*Array{fiveBoxes, twoClasses, scalar(3), scalar(.5), scalar(.15)},
		want: []*Array{arr([]int64{6, 3}, 0, 0, 1, 0, 0, 2, 0, 0, 4, 0, 1, 4, 0, 1, 3, 0, 1, 1)}},
	{name: "no score is too low", op: "NonMaxSuppression",
		in: []*Array{fiveBoxes, twoClasses, scalar(9), scalar(.9)},
		want: []*Array{arr([]int64{10, 3}, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 0, 4,
			0, 1, 4, 0, 1, 3, 0, 1, 2, 0, 1, 1, 0, 1, 0)}},
	{name: "none by default", op: "NonMaxSuppression",
		in:   []*Array{fiveBoxes, twoClasses, nil, scalar(.5)},
		want: []*Array{arr([]int64{0, 3})}},
	{name: "centres", op: "NonMaxSuppression", attrs: []onnx.Attr{{Name: "center_point_box", Value: int64(1)}},
		in: []*Array{arr([]int64{1, 4, 4}, 5, 5, 10, 10, 5, 6, 10, 10, 25, 25, 10, 10, 5, 5, 10, 10.5),
			arr([]int64{1, 1, 4}, .5, .9, .7, .7), scalar(4), scalar(.5), scalar(.5)},
		want: []*Array{arr([]int64{2, 3}, 0, 0, 1, 0, 0, 2)}},
}
