package dataset

import (
	"fmt"
	"io/fs"
	"strings"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/disk"
)

const actionRejected = "rejected"

// Recorder takes down what a Reader finds for one picture, applying the
// policies. Its methods are for that one goroutine.
type Recorder struct {
	sample   Sample
	counts   Counts
	problems []Problem
	more     int // problems beyond MaxProblems
	unknown  map[string]int
	seen     map[boxKey]bool
	left     bool // the picture is left out
	fault    error
	upright  int // EXIF orientation of the picture, heeded already
	turn     int // EXIF orientation that the labels have not heeded yet; 0: they have
	missing  bool
	misnamed *Misnamed
	classes  int
	o        ReadOptions
}

// picture reads one picture's header and labels.
func (r *Recorder) picture(it Item, classes int, sizes *sizes, read Reader, o ReadOptions) {
	r.o, r.classes = o, classes
	for _, p := range it.Bad {
		r.Bad(p)
	}
	if it.Unusable != nil {
		r.leaveOut(*it.Unusable, o.BadImages)
		return
	}
	info, err := sizes.probe(it.Picture, o.Limits)
	if disk.Fault(err) {
		r.fault = err
		return
	}
	if err != nil {
		r.leaveOut(Problem{File: it.Picture, Want: withoutPath(err, it.Picture)}, o.BadImages)
		return
	}
	r.sample = Sample{Path: it.Picture, Width: info.Width, Height: info.Height}
	r.upright = info.Orientation
	if named := formatOf(it.Picture); named != "" && info.Format != named {
		r.misnamed = &Misnamed{it.Picture, info.Format}
	}
	read(it, info.Width, info.Height, r)
	if r.seen = nil; r.left || r.fault != nil {
		return
	}
	r.counts.Pictures, r.counts.Objects = 1, len(r.sample.Labels)
	switch {
	case r.missing:
		r.counts.Missing = 1
	case len(r.sample.Labels) == 0:
		r.counts.Found, r.counts.Empty = 1, 1
	default:
		r.counts.Found = 1
	}
	if info.NoEnd {
		r.counts.Rescued = 1
		r.Note(Problem{File: it.Picture, Want: "jpeg without its end marker", Action: "added in memory"})
	}
}

// withoutPath is the message of an error whose path is told elsewhere.
func withoutPath(err error, path string) string {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), path+": ")
}

// Missing says that the picture has no label source.
func (r *Recorder) Missing() { r.missing = true }

// Note reports something that is not the reader's to change.
func (r *Recorder) Note(p Problem) {
	p = p.shortened()
	if len(r.problems) < MaxProblems {
		r.problems = append(r.problems, p)
		return
	}
	r.more++
}

// Size compares the size that an annotation gives with that of the picture, w by h, and
// returns the one in which its boxes count. Where it is that of the picture before a quarter
// turn by its EXIF orientation, all objects handed over are of that picture, and turned
// with it. The problem to report has its place and value filled in already.
func (r *Recorder) Size(saidW, saidH, w, h int, place Problem) (int, int) {
	switch {
	case saidW == w && saidH == h:
		return w, h
	case saidW == h && saidH == w && r.upright >= 5:
		r.turn = r.upright
		place.Want = fmt.Sprintf("the picture is %dx%d after its EXIF orientation %d", w, h, r.upright)
		place.Action = "boxes turned with it"
		r.Note(place)
		return h, w
	}
	place.Want, place.Action = fmt.Sprintf("the picture is %dx%d", w, h), "the picture's own size is used"
	r.Note(place)
	return w, h
}

// Ignore counts a sound object that is left out by choice.
func (r *Recorder) Ignore() { r.counts.Ignored++ }

// IgnoreName counts an object whose name is not in the class list.
func (r *Recorder) IgnoreName(name string) {
	if r.unknown == nil {
		r.unknown = map[string]int{}
	}
	r.unknown[name]++
	r.counts.Ignored++
}

// Bad reports an object that cannot be used.
func (r *Recorder) Bad(p Problem) {
	p.Action = actionRejected
	if r.o.BadLabels == Drop {
		p.Action = "dropped"
		r.counts.Dropped++
	}
	r.Note(p)
}

// Unread reports a label source that cannot be read, unless the system is to blame for
// that, which ends the reading of the whole set.
func (r *Recorder) Unread(file string, err error) {
	if disk.Fault(err) {
		r.fault = picture.Pathed(file, err)
		return
	}
	r.BadSource(Problem{File: file, Want: withoutPath(err, file)})
}

// BadSource reports a label source that cannot be read as a whole: its picture
// is left out, since it would pass for background.
func (r *Recorder) BadSource(p Problem) {
	policy := Reject
	if r.o.BadLabels == Drop {
		policy = Skip
	}
	r.leaveOut(p, policy)
}

func (r *Recorder) leaveOut(p Problem, policy Policy) {
	p = p.shortened()
	p.Action = "left out"
	if policy == Reject {
		p.Action = actionRejected
	}
	r.problems = append(r.problems, p)
	r.sample.Labels, r.left = nil, true
	r.counts = Counts{Corrupt: 1, Dropped: r.counts.Dropped}
}

// Object hands over one object, checks it and keeps it on the grid. The problem
// to report, should there be one, has its place filled in already.
func (r *Recorder) Object(l Label, place Problem) {
	if l.Class < 0 || l.Class >= r.classes {
		place.Field, place.Value = "class", fmt.Sprint(l.Class)
		place.Want = fmt.Sprintf("must be a whole number from 0 to %d", r.classes-1)
		r.Bad(place)
		return
	}
	if r.o.BoxesOnly {
		l.Polygon = nil
	}
	l = l.turned(r.turn)
	if field, v := outside(l); field != "" {
		p := place
		p.Field, p.Value, p.Want = field, fmt.Sprint(v), "must be from 0 to 1"
		if !r.Outside(p) {
			return
		}
		l = l.Clipped()
	}
	if l.W < minShare || l.H < minShare {
		place.Field, place.Value = "w", fmt.Sprint(l.W)
		if l.H < minShare {
			place.Field, place.Value = "h", fmt.Sprint(l.H)
		}
		place.Want = fmt.Sprintf("must be at least %g", minShare)
		r.NoArea(place)
		return
	}
	l = l.Snapped()
	if r.repeats(l) {
		r.counts.Duplicates++
		return
	}
	r.sample.Labels = append(r.sample.Labels, l)
}

// Boxed hands over an object whose box was given in pixels of a picture of w by h. Leaves is
// the problem to report where it reaches out of the picture.
func (r *Recorder) Boxed(l Label, w, h int, place, leaves Problem) {
	if l.Leaves(w, h) {
		if !r.Outside(leaves) {
			return
		}
		l = l.Clipped()
	}
	const dust = 1e-6 // of sums in float32
	if over := max(l.W, l.H); over > 1 && over < 1+dust {
		l.W, l.H = min(l.W, 1), min(l.H, 1)
	}
	r.Object(l, place)
}

type boxKey struct {
	class      int
	x, y, w, h float64
}

// repeats tells whether the picture has such an object already; it builds a
// table only for pictures with many.
func (r *Recorder) repeats(l Label) bool {
	const few = 32
	if len(r.sample.Labels) < few {
		for _, have := range r.sample.Labels {
			if have.SameBox(l) {
				return true
			}
		}
		return false
	}
	if r.seen == nil {
		r.seen = map[boxKey]bool{}
		for _, have := range r.sample.Labels {
			r.seen[boxKey{have.Class, have.X, have.Y, have.W, have.H}] = true
		}
	}
	key := boxKey{l.Class, l.X, l.Y, l.W, l.H}
	twice := r.seen[key]
	r.seen[key] = true
	return twice
}

// Outside reports a box that leaves the picture and tells whether it is to be
// clipped; otherwise the object is done with.
func (r *Recorder) Outside(p Problem) (clip bool) {
	if r.o.BadLabels != Clip {
		r.Bad(p)
		return false
	}
	p.Action = "clipped"
	r.counts.Clipped++
	r.Note(p)
	return true
}

// NoArea reports a box without area; Clip drops what it leaves nothing of.
func (r *Recorder) NoArea(p Problem) {
	if r.o.BadLabels == Clip {
		p.Action = "dropped"
		r.counts.Dropped++
		r.Note(p)
		return
	}
	r.Bad(p)
}

// outside names the first value of a label that is no share of the picture.
func outside(l Label) (string, float64) {
	for _, p := range l.Polygon {
		if !(p.X >= 0 && p.X <= 1) {
			return "polygon x", p.X
		}
		if !(p.Y >= 0 && p.Y <= 1) {
			return "polygon y", p.Y
		}
	}
	names := [4]string{"x", "y", "w", "h"}
	for i, v := range [4]float64{l.X, l.Y, l.W, l.H} {
		if !(v >= 0 && v <= 1) {
			return names[i], v
		}
	}
	return "", 0
}

// NewRecorder returns a recorder for labels alone, for the tests of readers.
func NewRecorder(classes int, o ReadOptions) *Recorder { return &Recorder{classes: classes, o: o} }

// Labels returns the objects taken down so far.
func (r *Recorder) Labels() []Label { return r.sample.Labels }
