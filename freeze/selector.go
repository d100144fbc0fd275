package freeze

import (
	"path"
	"strconv"
	"strings"
)

// Selector chooses parameters by name. Selectors are read by Parse.
type Selector struct {
	Text    string // as written, a leading "!" included
	Exclude bool   // "!": what it matches trains after all
	kind    kind
	first   int // layers first … last
	last    int
	pattern string // of a prefix or glob; a word
	plan    *Plan  // of a plan file
}

// Selectors apply in order; for a parameter that several match, the last one decides.
type Selectors []Selector

type kind int

const (
	layers kind = iota
	word
	prefix
	glob
	planFile
)

// words are the names of parts of the network.
var words = []string{"all", "backbone", "neck", "head"}

// Parse reads the values of option freeze; each value may hold several selectors,
// apart by commas or blanks:
//
//	0, nothing        no parameter
//	N                 alone, exclusions aside: the first N layers
//	0,1,5             several integers: exactly those layers
//	0-9               layers 0 to 9, both included; beside it integers are single layers
//	backbone neck head all
//	model.24.m.0      names that begin with these whole dotted segments (a final dot changes nothing)
//	model.*.bn.*      glob as of path.Match; "*" crosses dots
//	!model.9.         what this matches trains after all; after "!" an integer is a single layer
//	@file             freeze.yaml of a run, or one selector a line
//
// Errors are of type *Error: misspelt selectors are usage errors, unreadable files bad input.
func Parse(values []string) (Selectors, error) {
	var tokens []string
	for _, v := range values {
		for _, part := range strings.Split(v, ",") {
			if part = strings.TrimSpace(part); strings.HasPrefix(part, "@") {
				tokens = append(tokens, part) // a file's name may contain blanks
			} else {
				tokens = append(tokens, fields(part)...)
			}
		}
	}
	return parseTokens(tokens)
}

// fields cuts a value at commas and blanks.
func fields(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// parseTokens reads selectors and decides whether an integer means the first N layers.
func parseTokens(tokens []string) (Selectors, error) {
	var out Selectors
	for _, token := range tokens {
		if name, ok := strings.CutPrefix(token, "@"); ok {
			more, err := readFile(name)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
			continue
		}
		s, err := parseOne(token)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	integer, integers, ranges, others := -1, 0, false, 0
	for i, s := range out {
		switch {
		case s.Exclude:
		case s.kind != layers:
			others++
		case strings.Contains(s.Text, "-"):
			ranges = true
		default:
			integer, integers = i, integers+1
		}
	}
	if integers != 1 || ranges {
		return out, nil
	}
	n := out[integer].first
	switch {
	case others > 0:
		return nil, usage("%d beside other selectors is ambiguous: the first %d layers, or layer %d", n, n, n).
			hint("write model.%d. for that layer, or a range such as 0-9", n)
	case n > 0:
		out[integer].first, out[integer].last = 0, n-1
		return out, nil
	case len(out) > 1:
		return nil, usage("0 freezes nothing, and %s excludes from it", strings.Join(out.Texts(), ",")).hint("write model.0. for layer 0")
	}
	return nil, nil
}

// parseOne reads a selector that stands for itself; an integer is a single layer.
func parseOne(token string) (Selector, error) {
	s := Selector{Text: token}
	body, exclude := strings.CutPrefix(token, "!")
	s.Exclude = exclude
	switch {
	case strings.HasPrefix(body, "@"):
		return s, usage("selector %q: a file can only be a selector of `freeze` by itself", token)
	case body == "" || body[0] == '!':
		return s, usage("selector %q: nothing selected", token).hint("write !model.9. or !9")
	case strings.Trim(body, "0123456789-") == "":
		return parseLayers(s, body)
	case strings.ContainsAny(body, `*?[\`):
		if _, err := path.Match(body, ""); err != nil {
			err := usage("selector %q: malformed glob", token)
			if body[0] == '[' {
				err = err.hint("lists stand without brackets, such as 0,1,2")
			}
			return s, err
		}
		s.kind, s.pattern = glob, body
		return s, nil
	}
	for _, w := range words {
		if body == w {
			s.kind, s.pattern = word, w
			return s, nil
		}
	}
	s.kind, s.pattern = prefix, strings.TrimSuffix(body, ".")
	if strings.HasPrefix(s.pattern, ".") || strings.HasSuffix(s.pattern, ".") || strings.Contains(s.pattern, "..") || s.pattern == "" {
		return s, usage("selector %q: empty segment between dots", token)
	}
	return s, nil
}

// parseLayers reads N or A-B.
func parseLayers(s Selector, body string) (Selector, error) {
	from, to, isRange := strings.Cut(body, "-")
	if !isRange {
		to = from
	}
	var err1, err2 error
	s.first, err1 = strconv.Atoi(from)
	s.last, err2 = strconv.Atoi(to)
	switch {
	case err1 != nil || err2 != nil || s.first < 0 || s.last < 0:
		return s, usage("selector %q: not a layer number or range", s.Text).hint("write 10 or 0-9")
	case s.first > s.last:
		return s, usage("selector %q: the range runs backwards", s.Text).hint("write %d-%d", s.last, s.first)
	}
	return s, nil
}

// matches reports whether a parameter's name is selected.
func (s Selector) matches(net Network, name string) bool {
	switch s.kind {
	case layers:
		layer := Layer(name)
		return layer >= s.first && layer <= s.last
	case word:
		first, last := net.span(s.pattern)
		layer := Layer(name)
		return s.pattern == "all" || layer >= first && layer <= last
	case prefix:
		rest, ok := strings.CutPrefix(name, s.pattern)
		return ok && (rest == "" || rest[0] == '.')
	case glob:
		ok, _ := path.Match(s.pattern, name)
		return ok
	}
	return false
}

// Layer returns i of a name model.i.…, -1 for other names.
func Layer(name string) int {
	rest, ok := strings.CutPrefix(name, "model.")
	if !ok {
		return -1
	}
	number, _, ok := strings.Cut(rest, ".")
	if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
		return -1
	}
	if n, err := strconv.Atoi(number); err == nil {
		return n
	}
	return -1
}

// Texts returns the selectors as they were written.
func (s Selectors) Texts() []string {
	texts := make([]string, len(s))
	for i, x := range s {
		texts[i] = x.Text
	}
	return texts
}
