package dataset

import (
	"fmt"
	"sort"
	"strings"
)

// Counts says how many of each kind there are.
type Counts struct {
	Pictures int `json:"pictures"` // in the set, after everything was left out that had to be
	Objects  int `json:"objects"`  // in those pictures

	Found   int `json:"found"`   // pictures that have a label source
	Missing int `json:"missing"` // pictures without a label source: background
	Empty   int `json:"empty"`   // pictures whose label source names no object
	Corrupt int `json:"corrupt"` // pictures left out because they or their label source cannot be read

	Rescued    int `json:"rescued"`    // JPEGs whose missing end marker is made good in memory
	Duplicates int `json:"duplicates"` // objects that repeat another of the same picture, left out
	Clipped    int `json:"clipped"`    // objects whose box was cut at the picture's edge
	Dropped    int `json:"dropped"`    // bad objects left out
	Ignored    int `json:"ignored"`    // sound objects left out by choice: difficult, crowd, foreign names

	Orphans int `json:"orphans"` // label files that belong to no picture
}

func (c *Counts) add(o Counts) {
	c.Pictures += o.Pictures
	c.Objects += o.Objects
	c.Found += o.Found
	c.Missing += o.Missing
	c.Empty += o.Empty
	c.Corrupt += o.Corrupt
	c.Rescued += o.Rescued
	c.Duplicates += o.Duplicates
	c.Clipped += o.Clipped
	c.Dropped += o.Dropped
	c.Ignored += o.Ignored
	c.Orphans += o.Orphans
}

// Report says what reading a data set found, so that nothing is left out in
// silence.
type Report struct {
	Counts                   // of all splits together
	Splits map[string]Counts `json:"splits"` // of each split

	Problems []Problem `json:"problems"`      // the first MaxProblems, in the order of the samples
	More     int       `json:"more_problems"` // problems beyond Problems

	Unknown   map[string]int      `json:"unknown_names"` // class names outside the list, with their objects
	NeverSeen map[string][]string `json:"never_seen"`    // per split, the classes without an object
	Shared    []Shared            `json:"shared"`        // pictures in more than one split

	Misnamed []Misnamed `json:"misnamed,omitempty"` // pictures of another format than their names say

	Unfit []Unfit `json:"unfit"` // what would waste a run, of splits as wholes
}

// Misnamed is a picture whose name promises another format; its content counts.
type Misnamed struct {
	Path   string `json:"path"`
	Format string `json:"format"` // of the content
}

// Shared is one picture that several splits hold.
type Shared struct {
	Paths  []string `json:"paths"` // equal in place or in content
	Splits []string `json:"splits"`
}

// MaxProblems is how many problems a Report lists; the rest is counted.
const MaxProblems = 1000

// Problem is one thing wrong with a data set.
type Problem struct {
	File   string `json:"file"`             // label file, annotation file or picture
	Unit   string `json:"unit,omitempty"`   // what Line counts: "" lines, "object", or "annotation" and "image" by their id; without Line, the place
	Line   int    `json:"line,omitempty"`   // 1-based; 0: the whole file, or what Unit says
	Field  string `json:"field,omitempty"`  // which value of the object: "class", "x", "xmin", …
	Value  string `json:"value,omitempty"`  // that value as written
	Want   string `json:"want"`             // what is allowed
	Action string `json:"action,omitempty"` // what was done about it: "dropped", "clipped", "left out", …
}

func (p Problem) String() string {
	var s strings.Builder
	s.WriteString(p.File)
	switch {
	case p.Unit != "" && p.Line > 0:
		fmt.Fprintf(&s, ": %s %d", p.Unit, p.Line)
	case p.Unit != "":
		s.WriteString(": " + p.Unit)
	case p.Line > 0:
		fmt.Fprintf(&s, ":%d", p.Line)
	}
	s.WriteString(": ")
	if p.Field != "" {
		s.WriteString(p.Field + " ")
	}
	if p.Value != "" {
		fmt.Fprintf(&s, "%q: ", p.Value)
	}
	s.WriteString(p.Want)
	if p.Action != "" {
		s.WriteString(" (" + p.Action + ")")
	}
	return s.String()
}

// maxValue is how much of a value as written a problem repeats; maxWant how much it says,
// since a parser's words may quote the file, too.
const maxValue, maxWant = 80, 400

// shortened is the problem without more of the file than anybody reads.
func (p Problem) shortened() Problem {
	cut := func(text string, most int) string {
		if len(text) > most {
			return text[:most] + "…"
		}
		return text
	}
	p.Value, p.Want = cut(p.Value, maxValue), cut(p.Want, maxWant)
	return p
}

// Add notes a problem, counting those beyond MaxProblems.
func (r *Report) Add(p Problem) {
	p = p.shortened()
	if len(r.Problems) < MaxProblems {
		r.Problems = append(r.Problems, p)
		return
	}
	r.More++
}

// BadDataError is returned where the policy is to reject what is wrong.
type BadDataError struct {
	Problems []Problem
	More     int
}

func (e *BadDataError) Error() string {
	if n := len(e.Problems) + e.More; n > 1 {
		return fmt.Sprintf("%s; and %d more problems (dataset check lists them)", e.Problems[0], n-1)
	}
	return e.Problems[0].String()
}

// Hint names the way round, which YOLOv5 takes without being asked.
func (e *BadDataError) Hint() string {
	return "`bad-labels clip` or drop goes on without bad labels, `bad-images skip` without bad pictures"
}

// finish fills what is known only of the whole set.
func (s *Set) finish() {
	s.findUnseen()
	r := &s.Report
	where := map[string][]string{}
	for split, samples := range s.Splits {
		for i := range samples {
			at := where[samples[i].Path]
			if len(at) == 0 || at[len(at)-1] != split {
				where[samples[i].Path] = append(at, split)
			}
		}
	}
	for path, splits := range where {
		if len(splits) > 1 {
			sort.Strings(splits)
			r.Shared = append(r.Shared, Shared{Paths: []string{path}, Splits: splits})
		}
	}
	sort.Slice(r.Shared, func(i, j int) bool { return r.Shared[i].Paths[0] < r.Shared[j].Paths[0] })
}

// findUnseen lists the classes of which a split has no object.
func (s *Set) findUnseen() {
	s.Report.NeverSeen = map[string][]string{}
	for split, samples := range s.Splits {
		seen := make([]bool, len(s.Names))
		for i := range samples {
			for _, l := range samples[i].Labels {
				seen[l.Class] = true
			}
		}
		for class, ok := range seen {
			if !ok {
				s.Report.NeverSeen[split] = append(s.Report.NeverSeen[split], s.Names[class])
			}
		}
	}
}
