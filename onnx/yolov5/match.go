package yolov5

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
)

// Target is one object of a batch: the picture's index, the class, and the box's centre and size as shares of the picture.
type Target struct {
	Image, Class int
	X, Y, W, H   float64
}

// Matches are one level's assignments of targets to anchors and cells, in
// YOLOv5's order, as the loss's inputs (MatchNames) take them. M is the number
// of matches, at least 1: a level without any has one of weight 0.
type Matches struct {
	Row    []int64   // [M] flat index into [N, anchors, H, W]
	Box    []float32 // [M,4] centre relative to the cell, and size, in cells
	Anchor []float32 // [M,2] width and height in cells
	Class  []int64   // [M]
	Weight []float32 // [M] 1/M: the mean's weights
	Winner []int64   // [M] position of the last match with the same Row, whose IoU is the cell's target
}

// MatchNames are the graph inputs that describe one level's matches; Matches says what they hold.
func MatchNames(level int) []string {
	names := []string{"row", "box", "anchor", "class", "weight", "winner"}
	for i, n := range names {
		names[i] = fmt.Sprintf("match%d.%s", level, n)
	}
	return names
}

// Tensors lays the matches out as the inputs of MatchNames for a level.
func (m Matches) Tensors(level int) map[string]*onnx.Tensor {
	n, names := int64(len(m.Row)), MatchNames(level)
	return map[string]*onnx.Tensor{
		names[0]: onnx.Of(m.Row, n), names[1]: onnx.Of(m.Box, n, 4), names[2]: onnx.Of(m.Anchor, n, 2),
		names[3]: onnx.Of(m.Class, n), names[4]: onnx.Of(m.Weight, n), names[5]: onnx.Of(m.Winner, n),
	}
}

// Pad returns the matches with others of weight 0 behind them, n in all, for
// graphs of fixed shapes; n must not be less than there are. The padding repeats
// the matches in turn, winners included: whatever is written to a cell twice is
// then the same both times, and no cell without a match is written to.
func (m Matches) Pad(n int) Matches {
	have := len(m.Row)
	p := Matches{make([]int64, n), make([]float32, 4*n), make([]float32, 2*n), make([]int64, n), make([]float32, n), make([]int64, n)}
	copy(p.Weight, m.Weight)
	for at := 0; at < n; at += have {
		copy(p.Row[at:], m.Row)
		copy(p.Box[4*at:], m.Box)
		copy(p.Anchor[2*at:], m.Anchor)
		copy(p.Class[at:], m.Class)
		copy(p.Winner[at:], m.Winner)
	}
	return p
}

// Assign matches targets to every level of a batch of pictures height×width:
// an anchor takes a target when neither side differs by more than the factor
// anchorT, in the target's own cell and in the two nearest neighbours.
// Positions run by neighbour, then anchor, then target, so that the last
// write to a cell is the one PyTorch keeps.
func (net *Network) Assign(targets []Target, height, width int, anchorT float64) []Matches {
	levels := make([]Matches, len(net.Anchors))
	for i := range levels {
		levels[i] = net.assignLevel(i, targets, height, width, anchorT)
	}
	return levels
}

// neighbours are the steps, in cells, from a target's centre towards the cells
// that also take it: none, left, up, right, down, half a cell each.
var neighbours = [5][2]float64{{0, 0}, {0.5, 0}, {0, 0.5}, {-0.5, 0}, {0, -0.5}}

func (net *Network) assignLevel(level int, targets []Target, height, width int, anchorT float64) Matches {
	stride := float64(net.Strides[level])
	h, w := height/int(stride), width/int(stride)
	gh, gw := float64(h), float64(w)
	anchors := net.Anchors[level]
	var m Matches
	last := map[int64]int64{}
	for side, step := range neighbours {
		for a, anchor := range anchors {
			aw, ah := anchor[0]/stride, anchor[1]/stride
			for _, t := range targets {
				x, y, tw, th := t.X*gw, t.Y*gh, t.W*gw, t.H*gh
				if max(tw/aw, aw/tw, th/ah, ah/th) >= anchorT || !reaches(side, x, y, gw, gh) {
					continue
				}
				cx := min(max(int(x-step[0]), 0), w-1)
				cy := min(max(int(y-step[1]), 0), h-1)
				row := ((int64(t.Image)*int64(len(anchors))+int64(a))*int64(h)+int64(cy))*int64(w) + int64(cx)
				last[row] = int64(len(m.Row))
				m.Row = append(m.Row, row)
				m.Box = append(m.Box, float32(x-float64(cx)), float32(y-float64(cy)), float32(tw), float32(th))
				m.Anchor = append(m.Anchor, float32(aw), float32(ah))
				m.Class = append(m.Class, int64(t.Class))
			}
		}
	}
	if len(m.Row) == 0 {
		return Matches{[]int64{0}, []float32{0.5, 0.5, 1, 1}, []float32{1, 1}, []int64{0}, []float32{0}, []int64{0}}
	}
	m.Weight, m.Winner = make([]float32, len(m.Row)), make([]int64, len(m.Row))
	for i, row := range m.Row {
		m.Weight[i], m.Winner[i] = 1/float32(len(m.Row)), last[row]
	}
	return m
}

// reaches tells whether a centre lies in the half of its cell that is next to
// the neighbour, and the neighbour lies inside the grid.
func reaches(side int, x, y, gw, gh float64) bool {
	near := func(v float64) bool { return v > 1 && v-math.Floor(v) < 0.5 }
	switch side {
	case 1:
		return near(x)
	case 2:
		return near(y)
	case 3:
		return near(gw - x)
	case 4:
		return near(gh - y)
	}
	return true
}
