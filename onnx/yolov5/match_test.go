package yolov5_test

import (
	"slices"
	"testing"

	"yolofreeze/onnx/yolov5"
)

// grid is one level of 4×4 cells of 8 pixels for pictures of 32, with one
// anchor of 2×2 cells.
func grid() *yolov5.Network {
	return &yolov5.Network{NC: 3, Anchors: [][][2]float64{{{16, 16}}}, Strides: []int64{8}}
}

// at is an object of 2×2 cells whose centre is given in cells.
func at(x, y float64) yolov5.Target { return yolov5.Target{X: x / 4, Y: y / 4, W: 0.5, H: 0.5} }

// TestAssign: rows and boxes by hand. A row is y·4+x of the cell, boxes are
// relative to it; neighbours come in the order left, up, right, down.
func TestAssign(t *testing.T) {
	for _, c := range []struct {
		name   string
		target yolov5.Target
		rows   []int64
		xy     [][2]float32
	}{
		{"upper left quarter", at(1.25, 1.25), []int64{5, 4, 1}, [][2]float32{{0.25, 0.25}, {1.25, 0.25}, {0.25, 1.25}}},
		{"lower right quarter", at(1.75, 1.75), []int64{5, 6, 9}, [][2]float32{{0.75, 0.75}, {-0.25, 0.75}, {0.75, -0.25}}},
		{"right and up", at(2.75, 2.25), []int64{10, 6, 11}, [][2]float32{{0.75, 0.25}, {0.75, 1.25}, {-0.25, 0.25}}},
		{"exactly halves", at(1.5, 2.5), []int64{9}, [][2]float32{{0.5, 0.5}}},
		{"a half across, a quarter down", at(1.5, 1.25), []int64{5, 1}, [][2]float32{{0.5, 0.25}, {0.5, 1.25}}},
		{"beside the left and upper border", at(0.25, 0.25), []int64{0}, [][2]float32{{0.25, 0.25}}},
		{"beside the right and lower border", at(3.75, 3.75), []int64{15}, [][2]float32{{0.75, 0.75}}},
		{"on the left and upper border", at(0, 0), []int64{0, 0, 0}, [][2]float32{{0, 0}, {0, 0}, {0, 0}}},
		{"on the right and lower border", at(4, 4), []int64{15, 15, 15}, [][2]float32{{1, 1}, {1, 1}, {1, 1}}},
		{"where the first cell ends", at(1, 2.5), []int64{9, 9}, [][2]float32{{0, 0.5}, {0, 0.5}}},
		{"where the last cell begins", at(3, 2.5), []int64{11, 10}, [][2]float32{{0, 0.5}, {1, 0.5}}},
		{"where inner cells meet", at(2, 2.5), []int64{10, 9, 10}, [][2]float32{{0, 0.5}, {1, 0.5}, {0, 0.5}}},
		{"in another picture", yolov5.Target{Image: 2, X: 0.375, Y: 0.375, W: 0.5, H: 0.5}, []int64{37}, [][2]float32{{0.5, 0.5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := grid().Assign([]yolov5.Target{c.target}, 32, 32, 4)[0]
			if !slices.Equal(m.Row, c.rows) {
				t.Fatalf("rows %v, want %v", m.Row, c.rows)
			}
			for i, xy := range c.xy {
				if box := m.Box[4*i : 4*i+4]; !slices.Equal(box, []float32{xy[0], xy[1], 2, 2}) {
					t.Errorf("box %d is %v, want %v 2 2", i, box, xy)
				}
				if m.Weight[i] != 1/float32(len(c.rows)) || !slices.Equal(m.Anchor[2*i:2*i+2], []float32{2, 2}) {
					t.Errorf("match %d has weight %v and anchor %v", i, m.Weight[i], m.Anchor[2*i:2*i+2])
				}
				last := int64(len(c.rows) - 1) // the last position with the same row
				for c.rows[last] != c.rows[i] {
					last--
				}
				if m.Winner[i] != last {
					t.Errorf("winner of match %d is %d, want %d", i, m.Winner[i], last)
				}
			}
		})
	}
}

// TestAssignByShape: neither side may differ from the anchor's by the factor or more.
func TestAssignByShape(t *testing.T) {
	for _, c := range []struct {
		w, h  float64 // in cells; the anchor has 2
		match bool
	}{
		{2, 2, true}, {7.99, 0.51, true}, {8, 2, false}, {2, 8, false}, {0.5, 2, false}, {2, 0.5, false}, {0.51, 7.99, true}, {0, 2, false}, {2, 0, false},
	} {
		m := grid().Assign([]yolov5.Target{{X: 0.375, Y: 0.375, W: c.w / 4, H: c.h / 4}}, 32, 32, 4)[0]
		if got := m.Weight[0] > 0; got != c.match {
			t.Errorf("%v×%v cells: matched %t, want %t", c.w, c.h, got, c.match)
		}
	}
}

// TestAssignOrder: by neighbour, then anchor, then target; of matches in one
// cell the last is the winner for all.
func TestAssignOrder(t *testing.T) {
	net := &yolov5.Network{NC: 3, Anchors: [][][2]float64{{{16, 16}, {24, 16}}, {{32, 32}}}, Strides: []int64{8, 16}}
	first, second := at(1.25, 2.5), at(1.25, 2.5)
	first.Class, second.Class = 1, 2
	other := at(3.5, 0.5)
	other.Image, other.Class = 1, 0
	levels := net.Assign([]yolov5.Target{first, second, other}, 32, 32, 4)

	m := levels[0]
	// picture·32 + anchor·16 + y·4 + x: own cells, then the left neighbours of the first two
	rows := []int64{9, 9, 35, 25, 25, 51, 8, 8, 24, 24}
	classes := []int64{1, 2, 0, 1, 2, 0, 1, 2, 1, 2}
	winners := []int64{1, 1, 2, 4, 4, 5, 7, 7, 9, 9}
	if !slices.Equal(m.Row, rows) || !slices.Equal(m.Class, classes) || !slices.Equal(m.Winner, winners) {
		t.Errorf("rows %v, classes %v, winners %v", m.Row, m.Class, m.Winner)
	}
	if want := []float32{2, 2, 2, 2, 2, 2, 3, 2, 3, 2, 3, 2, 2, 2, 2, 2, 3, 2, 3, 2}; !slices.Equal(m.Anchor, want) {
		t.Errorf("anchors %v", m.Anchor)
	}
	// the coarse level has 2×2 cells of 16 pixels, centres are (0.625, 1.25) and
	// (1.75, 0.25): own cells, the upper neighbour, the right neighbour
	m = levels[1]
	if want := []int64{2, 2, 5, 0, 0, 3, 3}; !slices.Equal(m.Row, want) {
		t.Errorf("coarse rows %v, want %v", m.Row, want)
	}
}

// TestAssignOblong: height and width are not mixed up.
func TestAssignOblong(t *testing.T) {
	m := grid().Assign([]yolov5.Target{{X: 5.5 / 8, Y: 1.25 / 2, W: 0.25, H: 1}}, 16, 64, 4)[0]
	if want := []int64{8 + 5, 5}; !slices.Equal(m.Row, want) || !slices.Equal(m.Box[:4], []float32{0.5, 0.25, 2, 2}) {
		t.Errorf("rows %v, want %v; box %v", m.Row, want, m.Box[:4])
	}
}

// TestAssignNothing: without targets, or without a match, one of weight 0 stands in.
func TestAssignNothing(t *testing.T) {
	for name, targets := range map[string][]yolov5.Target{"no targets": nil, "too large": {{X: 0.5, Y: 0.5, W: 4, H: 4}}} {
		for i, m := range grid().Assign(targets, 32, 32, 4) {
			if len(m.Row) != 1 || len(m.Box) != 4 || len(m.Anchor) != 2 || len(m.Class) != 1 || len(m.Winner) != 1 || !slices.Equal(m.Weight, []float32{0}) {
				t.Errorf("%s: level %d has %+v", name, i, m)
			}
		}
	}
}
