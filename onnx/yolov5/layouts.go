package yolov5

import "slices"

// layout is one of YOLOv5's published tables, in what it differs from the others.
type layout struct {
	name     string
	stem     []any   // the first row's module and arguments
	block    string  // of all stages
	channels []int64 // of the stages, from a stride of 4 on
	pool     []any   // the pyramid's module and argument
	early    bool    // the pyramid stands before the last stage, which then has no shortcuts
	finest   int     // level that the head goes up to: strides are 2^level
}

var (
	fiveLevels = []int64{128, 256, 512, 1024}
	sixLevels  = []int64{128, 256, 512, 768, 1024}
)

// layouts are those whose activation is SiLU throughout. Older ones differ in
// it, which no tensor shows.
var layouts = []layout{
	{"v6", list("Conv", 64, 6, 2, 2), "C3", fiveLevels, list("SPPF", 5), false, 3},
	{"v6 P6", list("Conv", 64, 6, 2, 2), "C3", sixLevels, list("SPPF", 5), false, 3},
	{"v6 P2", list("Conv", 64, 6, 2, 2), "C3", fiveLevels, list("SPPF", 5), false, 2},
	{"v5", list("Focus", 64, 3), "C3", fiveLevels, list("SPP", list(5, 9, 13)), true, 3},
	{"v5 P6", list("Focus", 64, 3), "C3", sixLevels, list("SPP", list(3, 5, 7)), true, 3},
}

// list makes a table's list of its arguments, with integers as tables have them.
func list(values ...any) []any {
	for i, v := range values {
		if n, ok := v.(int); ok {
			values[i] = int64(n)
		}
	}
	return values
}

// table writes the layout out, without nc and anchors. repeats tells how often
// the block of a layer repeats its inner part.
func (l layout) table(width float64, repeats func(layer int) int64) map[string]any {
	var rows []any
	add := func(from any, number int64, module string, args ...any) int64 {
		rows = append(rows, list(from, number, module, list(args...)))
		return int64(len(rows) - 1)
	}
	block := func(c int64, shortcut ...any) int64 {
		return add(-1, max(repeats(len(rows)), 1), l.block, append(list(c), shortcut...)...)
	}
	top := len(l.channels) + 1
	taps, laterals := map[int]int64{}, map[int]int64{}
	add(-1, 1, l.stem[0].(string), l.stem[1:]...)
	for i, c := range l.channels {
		add(-1, 1, "Conv", c, 3, 2)
		if last := i+2 == top; last && l.early {
			add(-1, 1, l.pool[0].(string), c, l.pool[1])
			taps[i+2] = block(c, false)
		} else {
			taps[i+2] = block(c)
		}
	}
	if !l.early {
		add(-1, 1, l.pool[0].(string), l.channels[top-2], l.pool[1])
	}
	backbone := len(rows)
	var outs []any
	for level := top - 1; level >= l.finest; level-- {
		c := l.channels[level-2]
		laterals[level] = add(-1, 1, "Conv", c, 1, 1)
		add(-1, 1, "nn.Upsample", nil, 2, "nearest")
		add(list(-1, taps[level]), 1, "Concat", 1)
		outs = []any{block(c, false)}
	}
	for level := l.finest; level < top; level++ {
		add(-1, 1, "Conv", l.channels[level-2], 3, 2)
		add(list(-1, laterals[level]), 1, "Concat", 1)
		outs = append(outs, block(l.channels[level-1], false))
	}
	add(outs, 1, "Detect", "nc", "anchors")
	return map[string]any{"depth_multiple": 1.0, "width_multiple": width, "backbone": slices.Clone(rows[:backbone]), "head": rows[backbone:]}
}
