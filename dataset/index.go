package dataset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// Item is a picture that belongs to a split, before it is read.
type Item struct {
	Split   string
	Picture string
	Source  string // where its labels are; the meaning is the reader's
	Index   int    // likewise

	Unusable *Problem  // why the picture must not even be opened
	Bad      []Problem // labels known to be bad before the picture is read
}

// FaultError is an error of the system, not of the data: no permission, too many open
// files, a disk that has gone.
type FaultError struct{ Err error }

func (e *FaultError) Error() string { return e.Err.Error() }

func (e *FaultError) Unwrap() error { return e.Err }

// BadInput marks the error as not the data's fault, whoever wraps it.
func (e *FaultError) BadInput() bool { return false }

// Reader fetches the labels of one picture of w by h pixels and hands them to
// the recorder. It is called from several goroutines.
type Reader func(it Item, w, h int, r *Recorder)

// Index reads the headers of all pictures and their labels and sorts the
// samples of each split by file name, so that the same pictures come in the
// same order whatever format names them. The names bound the classes. With a
// *BadDataError the set is returned too, for its report.
func Index(path string, names []string, items []Item, read Reader, o ReadOptions) (*Set, error) {
	o, err := o.Checked()
	if err != nil {
		return nil, err
	}
	sortItems(items)
	sizes := openSizes(o.CacheDir, path)
	results := make([]Recorder, len(items))
	var fault atomic.Pointer[error]
	each(len(items), o.Workers, func(i int) {
		if fault.Load() != nil {
			return
		}
		r := &results[i]
		if r.picture(items[i], len(names), sizes, read, o); r.fault != nil {
			fault.CompareAndSwap(nil, &r.fault)
		}
	})
	if err := fault.Load(); err != nil {
		return nil, &FaultError{*err}
	}
	sizes.save()
	return collect(path, names, items, results, o)
}

func sortItems(items []Item) {
	slices.SortStableFunc(items, func(a, b Item) int { return comparePictures(a.Picture, b.Picture) })
}

// comparePictures orders pictures by name without ending, then by path.
func comparePictures(a, b string) int {
	if c := strings.Compare(stem(a), stem(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

func stem(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// collect joins the results in the order of the items.
func collect(path string, names []string, items []Item, results []Recorder, o ReadOptions) (*Set, error) {
	set := &Set{Path: path, Names: names, Splits: map[string][]Sample{}}
	rep := &set.Report
	rep.Splits, rep.Unknown = map[string]Counts{}, map[string]int{}
	bad := &BadDataError{}
	seen := map[[2]string]bool{}
	for i := range results {
		r, it := &results[i], items[i]
		if at := [2]string{it.Split, it.Picture}; seen[at] {
			r.problems = append(r.problems, Problem{File: it.Picture, Want: "listed twice in split " + it.Split, Action: "used once"})
			r.counts, r.left = Counts{}, true
		} else {
			seen[at] = true
		}
		counts := rep.Splits[it.Split]
		counts.add(r.counts)
		rep.Splits[it.Split] = counts
		rep.add(r.counts)
		for name, n := range r.unknown {
			rep.Unknown[name] += n
		}
		for _, p := range r.problems {
			rep.Add(p)
			if p.Action == actionRejected {
				if p.Action = ""; len(bad.Problems) < MaxProblems {
					bad.Problems = append(bad.Problems, p)
				} else {
					bad.More++
				}
			}
		}
		rep.More += r.more
		if len(bad.Problems) > 0 {
			bad.More += r.more
		}
		if !r.left {
			set.Splits[it.Split] = append(set.Splits[it.Split], r.sample)
		}
		*r = Recorder{}
	}
	set.finish()
	if len(bad.Problems) > 0 {
		return set, bad
	}
	return set, set.usable(o)
}

// usable says why there is nothing to learn from the set.
func (s *Set) usable(o ReadOptions) error {
	for _, split := range SplitNames {
		c, read := s.Report.Splits[split]
		if read && c.Pictures == 0 {
			return fmt.Errorf("%s: split %q has no readable picture: %d left out%s", s.Path, split, c.Corrupt, s.firstProblem())
		}
	}
	if s.Report.Objects == 0 && !o.AllowNoObjects {
		return fmt.Errorf("%s: no object in any of the %d pictures (%d without labels, %d with empty ones)%s",
			s.Path, s.Report.Pictures, s.Report.Missing, s.Report.Empty, s.firstProblem())
	}
	return nil
}

func (s *Set) firstProblem() string {
	if len(s.Report.Problems) == 0 {
		return ""
	}
	return ": " + s.Report.Problems[0].String()
}
