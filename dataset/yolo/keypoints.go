package yolo

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"yolofreeze/dataset"
)

// visiblePoints tells how many keypoints with a visibility of 0, 1 or 2 stand behind a box
// in the values behind a class; 0 where they are no such thing. Outlines are not taken for
// it: each third number would have to be whole, and the first four a box around the others.
func visiblePoints(v []float64) int {
	rest := len(v) - 4
	if rest < 3 || rest%3 != 0 {
		return 0
	}
	box := boxAt{dataset.Point{X: v[0], Y: v[1]}, dataset.Point{X: v[2], Y: v[3]}}
	if !box.withinPicture() {
		return 0
	}
	for at := 4; at < len(v); at += 3 {
		if seen := v[at+2]; seen != 0 && seen != 1 && seen != 2 || seen != 0 && !box.around(dataset.Point{X: v[at], Y: v[at+1]}) {
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
	columns, lines int // of the line that came first, and how many there are
	boxed          int // how many begin with a box around the rest
	differ         bool
	first          dataset.Problem // the place of the first by file and line, whichever came first
}

// add takes down a line that is read as an outline.
func (l *longLines) add(outline []dataset.Point, place dataset.Problem) {
	if l == nil {
		return
	}
	box, points := boxAt{outline[0], outline[1]}, 0
	boxed := box.withinPicture()
	for _, p := range outline[2:] {
		if boxed && p != (dataset.Point{}) { // a point that is not seen stands at 0 0
			points++
			boxed = box.around(p)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines++; l.lines == 1 {
		l.columns, l.first = 1+2*len(outline), place
	}
	if cmp.Or(cmp.Compare(place.File, l.first.File), cmp.Compare(place.Line, l.first.Line)) < 0 {
		l.first = place
	}
	l.differ = l.differ || 1+2*len(outline) != l.columns
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

// boxAt is the box that a line begins with.
type boxAt struct{ centre, size dataset.Point }

const slack = .02 // of what people set by hand

func inside(at, centre, size float64) bool {
	return at >= centre-size/2-slack && at <= centre+size/2+slack
}

func (b boxAt) around(p dataset.Point) bool {
	return inside(p.X, b.centre.X, b.size.X) && inside(p.Y, b.centre.Y, b.size.Y)
}

func (b boxAt) withinPicture() bool {
	x, y, w, h := b.centre.X, b.centre.Y, b.size.X, b.size.Y
	return w > 0 && h > 0 && inside(x-w/2, .5, 1) && inside(x+w/2, .5, 1) && inside(y-h/2, .5, 1) && inside(y+h/2, .5, 1)
}
