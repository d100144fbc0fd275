package dataset

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"yolofreeze/onnx/disk"
)

// Item is a picture that belongs to a split, before it is read.
type Item struct {
	Split   string
	Picture string
	Source  string // the file that its labels are in or are looked for in
	Index   int    // the meaning is the reader's

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

// Source is what a format's package found of a data set, before any picture is read.
type Source struct {
	Path  string   // as errors name the set
	Names []string // of the classes
	Items []Item
	Read  Reader

	Notes   []Problem      // of the set as a whole
	Orphans map[string]int // per split, label files that belong to no picture
}

// Index reads the headers of all pictures and their labels and sorts the
// samples of each split by file name, so that the same pictures come in the
// same order whatever format names them. The names bound the classes. A picture
// that a split lists again is used once. With a *BadDataError the set is returned too,
// for its report.
func Index(s Source, o ReadOptions) (*Set, error) {
	o, err := o.Checked()
	if err != nil {
		return nil, err
	}
	var repeats []Problem
	s.Items, repeats = withoutRepeats(s.Items)
	s.Notes = append(s.Notes, repeats...)
	sortItems(s.Items)
	sizes, err := openSizes(o.CacheDir, s.Path)
	if foreign := (*disk.ForeignError)(nil); errors.As(err, &foreign) {
		s.Notes = append(s.Notes, Problem{File: foreign.Path, Want: "cache folder not used: " + foreign.Reason, Action: "picture headers are read anew"})
	}
	results := make([]Recorder, len(s.Items))
	var fault atomic.Pointer[error]
	Each(len(s.Items), o.Workers, func(i int) {
		if fault.Load() != nil {
			return
		}
		r := &results[i]
		if r.picture(s.Items[i], len(s.Names), sizes, s.Read, o); r.fault != nil {
			fault.CompareAndSwap(nil, &r.fault)
		}
	})
	if err := fault.Load(); err != nil {
		return nil, &FaultError{*err}
	}
	sizes.save()
	return collect(s, results, o)
}

// withoutRepeats leaves out what a split lists again, and tells so once a split.
func withoutRepeats(items []Item) (once []Item, notes []Problem) {
	type place struct{ split, picture string }
	seen := make(map[place]bool, len(items))
	again := map[string][]string{}
	for _, it := range items {
		at := place{it.Split, it.Picture}
		if seen[at] && it.Unusable == nil && len(it.Bad) == 0 {
			again[it.Split] = append(again[it.Split], it.Picture)
			continue
		}
		seen[at] = true
		once = append(once, it)
	}
	for _, split := range SplitNames {
		if n := len(again[split]); n > 0 {
			want := "listed twice in split " + split
			if n > 1 {
				want = fmt.Sprintf("the first of %d repeats in split %s", n, split)
			}
			notes = append(notes, Problem{File: again[split][0], Want: want, Action: "used once: image-weights draws pictures of rare classes more often"})
		}
	}
	return once, notes
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
func collect(s Source, results []Recorder, o ReadOptions) (*Set, error) {
	set := &Set{Path: s.Path, Names: s.Names, Splits: map[string][]Sample{}}
	rep := &set.Report
	rep.Splits, rep.Unknown = map[string]Counts{}, map[string]int{}
	firsts := map[string]first{}
	bad := &BadDataError{}
	for _, p := range s.Notes {
		rep.Add(p)
	}
	for i := range results {
		r, it := &results[i], &s.Items[i]
		counts, f := rep.Splits[it.Split], firsts[it.Split]
		counts.add(r.counts)
		rep.Splits[it.Split] = counts
		rep.add(r.counts)
		if r.misnamed != nil {
			rep.Misnamed = append(rep.Misnamed, *r.misnamed)
		}
		if r.left && f.corrupt == nil {
			f.corrupt = &r.problems[len(r.problems)-1]
		}
		if r.missing && f.missing == nil {
			f.missing = it
		}
		firsts[it.Split] = f
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
	for split, n := range s.Orphans {
		counts := rep.Splits[split]
		counts.Orphans = n
		rep.Splits[split] = counts
		rep.Orphans += n
	}
	set.finish()
	set.findUnfit(firsts, s.Orphans)
	if len(bad.Problems) > 0 {
		return set, bad
	}
	return set, set.usable(o)
}
