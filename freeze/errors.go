package freeze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is a one-line message, with a hint where one can help.
type Error struct {
	msg, tip string
	isUsage  bool
	cause    error
}

func (e *Error) Error() string { return e.msg }
func (e *Error) Unwrap() error { return e.cause }

// Hint says how to mend the error; it may be empty.
func (e *Error) Hint() string { return e.tip }

// Usage reports whether a value could not be read at all.
func (e *Error) Usage() bool { return e.isUsage }

// BadInput reports whether a well-formed value does not fit the network, or a file is bad.
func (e *Error) BadInput() bool { return !e.isUsage }

func usage(format string, args ...any) *Error {
	return &Error{msg: fmt.Sprintf(format, args...), isUsage: true}
}

func unfit(format string, args ...any) *Error {
	return &Error{msg: fmt.Sprintf(format, args...)}
}

func (e *Error) hint(format string, args ...any) *Error {
	e.tip = fmt.Sprintf(format, args...)
	return e
}

// didYouMean makes a hint of near matches, empty when there are none.
func (e *Error) didYouMean(near []string) *Error {
	if len(near) > 0 {
		e.tip = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return e
}

// nearest returns at most three candidates a few edits away from text, nearest first;
// equally near ones keep the candidates' order.
func nearest(text string, candidates []string) []string {
	const longest = 200
	if len(text) > longest {
		return nil
	}
	type scored struct {
		text     string
		distance int
	}
	limit := 2 + len(text)/8
	var found []scored
	for _, c := range candidates {
		if len(c) > longest || slices.ContainsFunc(found, func(f scored) bool { return f.text == c }) {
			continue
		}
		if d := distance(strings.ToLower(text), strings.ToLower(c)); d <= min(limit, len(c)-1) {
			found = append(found, scored{c, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.text)
	}
	return out
}

// distance is Levenshtein's: the fewest inserted, deleted or replaced bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// suggest returns near matches of a selector that matches no name of the network,
// none for one that does, only nothing of the kind that was asked for.
func suggest(net Network, s Selector) []string {
	if slices.ContainsFunc(net.Parameters, func(p Parameter) bool { return s.matches(net, p.Name) }) {
		return nil
	}
	text := s.pattern
	if s.kind == glob {
		if i := strings.IndexAny(text, `*?[\`); i > 0 {
			text = strings.TrimSuffix(text[:i], ".")
		}
	}
	candidates := slices.Clone(words)
	inner := ""
	for _, p := range net.Parameters {
		for i, c := range p.Name {
			if c == '.' {
				candidates = append(candidates, p.Name[:i])
			}
		}
		candidates = append(candidates, p.Name)
		switch { // YOLOv5's users know selection by any part of a name
		case s.kind != prefix:
		case strings.Contains(p.Name, "."+text+"."):
			inner = "*." + text + ".*"
		case strings.HasSuffix(p.Name, "."+text):
			inner = "*." + text
		}
	}
	slices.Sort(candidates[len(words):])
	near := nearest(text, slices.Compact(candidates))
	if inner != "" {
		near = append([]string{inner}, near...)
	}
	return near
}
