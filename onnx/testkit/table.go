package testkit

// Variants are the multiples of depth and width of YOLOv5's models.
var Variants = map[string][2]float64{"n": {0.33, 0.25}, "s": {0.33, 0.5}, "m": {0.67, 0.75}, "l": {1, 1}, "x": {1.33, 1.25}}

// YOLOv5Table is the layer table of a model of YOLOv5 v6.0 as a checkpoint holds it.
func YOLOv5Table(variant string, nc int) map[string]any {
	type list = []any
	row := func(from any, number int64, module string, args ...any) any { return list{from, number, module, args} }
	ints := func(v ...int64) list {
		out := make(list, len(v))
		for i, x := range v {
			out[i] = x
		}
		return out
	}
	conv := func(args ...int64) any { return row(int64(-1), 1, "Conv", ints(args...)...) }
	join := func(with int64) any { return row(ints(-1, with), 1, "Concat", int64(1)) }
	up := row(int64(-1), 1, "nn.Upsample", nil, int64(2), "nearest")
	c3 := func(number, out int64) any { return row(int64(-1), number, "C3", out) }
	straight := func(out int64) any { return row(int64(-1), 3, "C3", out, false) } // without shortcuts
	return map[string]any{
		"nc": int64(nc), "ch": int64(3), "depth_multiple": Variants[variant][0], "width_multiple": Variants[variant][1],
		"anchors": list{ints(10, 13, 16, 30, 33, 23), ints(30, 61, 62, 45, 59, 119), ints(116, 90, 156, 198, 373, 326)},
		"backbone": list{
			conv(64, 6, 2, 2), conv(128, 3, 2), c3(3, 128), conv(256, 3, 2), c3(6, 256), conv(512, 3, 2), c3(9, 512), conv(1024, 3, 2), c3(3, 1024),
			row(int64(-1), 1, "SPPF", int64(1024), int64(5)),
		},
		"head": list{
			conv(512, 1, 1), up, join(6), straight(512), conv(256, 1, 1), up, join(4), straight(256),
			conv(256, 3, 2), join(14), straight(512), conv(512, 3, 2), join(10), straight(1024),
			row(ints(17, 20, 23), 1, "Detect", "nc", "anchors"),
		},
	}
}
