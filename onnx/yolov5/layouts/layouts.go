// Package layouts has the layer tables that YOLOv5 has published.
package layouts

import "slices"

// Layout is one of YOLOv5's published tables, in what it differs from the others.
type Layout struct {
	Name     string
	Stem     []any   // the first row's module and arguments
	Block    string  // of all stages
	Channels []int64 // of the stages, from a stride of 4 on
	Pool     []any   // the pyramid's module and argument
	Early    bool    // the pyramid stands before the last stage, which then has no shortcuts
	Finest   int     // level that the head goes up to: strides are 2^level
}

var (
	fiveLevels = []int64{128, 256, 512, 1024}
	sixLevels  = []int64{128, 256, 512, 768, 1024}
)

// All are those whose activation is SiLU throughout. Older ones differ in
// it, which no tensor shows.
var All = []Layout{
	{"v6", List("Conv", 64, 6, 2, 2), "C3", fiveLevels, List("SPPF", 5), false, 3},
	{"v6 P6", List("Conv", 64, 6, 2, 2), "C3", sixLevels, List("SPPF", 5), false, 3},
	{"v6 P2", List("Conv", 64, 6, 2, 2), "C3", fiveLevels, List("SPPF", 5), false, 2},
	{"v5", List("Focus", 64, 3), "C3", fiveLevels, List("SPP", List(5, 9, 13)), true, 3},
	{"v5 P6", List("Focus", 64, 3), "C3", sixLevels, List("SPP", List(3, 5, 7)), true, 3},
}

// List makes a table's list of its arguments, with integers as tables have them.
func List(values ...any) []any {
	for i, v := range values {
		if n, ok := v.(int); ok {
			values[i] = int64(n)
		}
	}
	return values
}

// Table writes the layout out, without nc and anchors. repeats tells how often
// the block of a layer repeats its inner part.
func (l Layout) Table(width float64, repeats func(layer int) int64) map[string]any {
	var rows []any
	add := func(from any, number int64, module string, args ...any) int64 {
		rows = append(rows, List(from, number, module, List(args...)))
		return int64(len(rows) - 1)
	}
	block := func(c int64, shortcut ...any) int64 {
		return add(-1, max(repeats(len(rows)), 1), l.Block, append(List(c), shortcut...)...)
	}
	top := len(l.Channels) + 1
	taps, laterals := map[int]int64{}, map[int]int64{}
	add(-1, 1, l.Stem[0].(string), l.Stem[1:]...)
	for i, c := range l.Channels {
		add(-1, 1, "Conv", c, 3, 2)
		if last := i+2 == top; last && l.Early {
			add(-1, 1, l.Pool[0].(string), c, l.Pool[1])
			taps[i+2] = block(c, false)
		} else {
			taps[i+2] = block(c)
		}
	}
	if !l.Early {
		add(-1, 1, l.Pool[0].(string), l.Channels[top-2], l.Pool[1])
	}
	backbone := len(rows)
	var outs []any
	for level := top - 1; level >= l.Finest; level-- {
		c := l.Channels[level-2]
		laterals[level] = add(-1, 1, "Conv", c, 1, 1)
		add(-1, 1, "nn.Upsample", nil, 2, "nearest")
		add(List(-1, taps[level]), 1, "Concat", 1)
		outs = []any{block(c, false)}
	}
	for level := l.Finest; level < top; level++ {
		add(-1, 1, "Conv", l.Channels[level-2], 3, 2)
		add(List(-1, laterals[level]), 1, "Concat", 1)
		outs = append(outs, block(l.Channels[level-1], false))
	}
	add(outs, 1, "Detect", "nc", "anchors")
	return map[string]any{"depth_multiple": 1.0, "width_multiple": width, "backbone": slices.Clone(rows[:backbone]), "head": rows[backbone:]}
}
