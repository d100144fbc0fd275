package yolo

import (
	"errors"
	"fmt"
	"sync"

	"yolofreeze/dataset"
)

// visiblePoints tells how many keypoints with a visibility of 0, 1 or 2 stand behind a box;
// 0 where the line is no such thing. Outlines are not taken for it: each third
// number would have to be whole, and the first four a box around the others.
func visiblePoints(fields [][]byte) int {
	rest := len(fields) - 5
	if rest < 3 || rest%3 != 0 {
		return 0
	}
	v, ok := parseNumbers(fields[1:])
	if !ok || !withinPicture(v) {
		return 0
	}
	for at := 4; at < len(v); at += 3 {
		if seen := v[at+2]; seen != 0 && seen != 1 && seen != 2 || seen != 0 && !around(v, v[at], v[at+1]) {
			return 0
		}
	}
	return rest / 3
}

// longLines tells keypoints without a visibility from outlines. Both have as many
// columns, so a line alone does not say which it is. But all lines of keypoints are of one
// length and begin with a box around the rest, and outlines that look so by
// chance are few. It is filled by several goroutines.
type longLines struct {
	mu             sync.Mutex
	columns, lines int // of the first line, and how many there are
	boxed          int // how many begin with a box around the rest
	differ         bool
	first          dataset.Problem
}

// add takes down a line of an even number of values behind its class.
func (l *longLines) add(fields [][]byte, place dataset.Problem) {
	if l == nil {
		return
	}
	v, ok := parseNumbers(fields[1:])
	boxed := ok && withinPicture(v)
	points := 0
	for at := 4; boxed && at+1 < len(v); at += 2 {
		if v[at] != 0 || v[at+1] != 0 { // a point that is not seen stands at 0 0
			points++
			boxed = around(v, v[at], v[at+1])
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines++; l.lines == 1 {
		l.columns, l.first = len(fields), place
	}
	l.differ = l.differ || len(fields) != l.columns
	if boxed && points > 0 {
		l.boxed++
	}
}

// check refuses what would be read as outlines and can hardly be any: then
// every box would be a wrong one. A tenth of the lines may have points outside of their box.
func (l *longLines) check(data string) error {
	if l.lines == 0 || l.differ || l.boxed*10 < l.lines*9 {
		return nil
	}
	n := (l.columns - 5) / 2
	l.first.Want = fmt.Sprintf("%d columns, as in all %d such lines, and a box around the other points: keypoints? "+
		"then %s needs kpt_shape: [%d, 2]; should they be outlines, write their boxes instead (class x y w h)", l.columns, l.lines, data, n)
	return errors.New(l.first.String())
}

func parseNumbers(fields [][]byte) ([]float64, bool) {
	v := make([]float64, len(fields))
	for i, f := range fields {
		var err error
		if v[i], err = parseNumber(f); err != nil {
			return nil, false
		}
	}
	return v, true
}

const slack = .02 // of what people set by hand

func inside(at, centre, size float64) bool {
	return at >= centre-size/2-slack && at <= centre+size/2+slack
}

// around tells whether the box that v begins with (x y w h) holds a point.
func around(v []float64, x, y float64) bool { return inside(x, v[0], v[2]) && inside(y, v[1], v[3]) }

// withinPicture tells whether v begins with a box in the picture.
func withinPicture(v []float64) bool {
	return v[2] > 0 && v[3] > 0 && inside(v[0]-v[2]/2, .5, 1) && inside(v[0]+v[2]/2, .5, 1) && inside(v[1]-v[3]/2, .5, 1) && inside(v[1]+v[3]/2, .5, 1)
}
