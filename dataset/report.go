package dataset

import "fmt"

// Report says what reading a data set found, so that nothing is dropped in
// silence.
type Report struct {
	Found   int // pictures that have a label source
	Missing int // pictures without a label source: background
	Empty   int // pictures whose label source names no object
	Corrupt int // pictures or label sources left out

	Rescued    int // pictures whose missing end marker was made good in memory
	Duplicates int // objects that repeated another of the same picture
	Clipped    int // objects whose box was cut at the picture's edge
	Dropped    int // objects left out by the policy
	Ignored    int // objects left out by choice (difficult, crowd)

	Problems []Problem // the first MaxProblems, in the order of the samples
	More     int       // problems beyond Problems

	NeverSeen []string            // names of classes without an object in any split
	Shared    map[string][]string // picture's path to the splits that hold it, where more than one
}

// MaxProblems is how many problems a Report lists; the rest is counted.
const MaxProblems = 1000

// Problem is one thing wrong with a data set.
type Problem struct {
	File   string // label file, annotation file or picture
	Line   int    // 1-based line or object number; 0: the whole file
	Value  string // the offending value, as written
	Want   string // the allowed range
	Action string // what was done: "dropped", "clipped", "left out", …
}

func (p Problem) String() string {
	place := p.File
	if p.Line > 0 {
		place = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	s := place + ": "
	if p.Value != "" {
		s += fmt.Sprintf("%q: ", p.Value)
	}
	s += p.Want
	if p.Action != "" {
		s += " (" + p.Action + ")"
	}
	return s
}

// Add notes a problem, counting those beyond MaxProblems.
func (r *Report) Add(p Problem) {
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, p)
		return
	}
	r.More++
}
