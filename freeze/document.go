package freeze

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// document is the subset of YAML that plan files use: keys at the margin, each
// with a flow value on its line or with "- value" lines below it. Scalars are
// plain or double-quoted; comments begin with #.
type document map[string]field

type field struct {
	line  int
	value any    // string, []any or map[string]any; nil when items follow
	items []item // "- value" lines
}

type item struct {
	line  int
	value any
}

var documentKeys = []string{"version", "freeze", "bn", "lr_scale", "lr_decay", "layers", "backbone", "head", "tensors", "batchnorm"}

func parseDocument(data []byte) (document, error) {
	d := document{}
	key := ""
	for i, line := range strings.Split(string(data), "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' || trimmed == "---" {
			continue
		}
		if rest, ok := strings.CutPrefix(trimmed, "- "); ok {
			value, err := parseFlow(rest, i+1)
			if err != nil {
				return nil, err
			}
			f, open := d[key]
			if !open || f.value != nil {
				return nil, unfit("line %d: a list item under no key", i+1)
			}
			f.items = append(f.items, item{i + 1, value})
			d[key] = f
			continue
		}
		name, rest, ok := strings.Cut(trimmed, ":")
		if !ok || line[0] == ' ' || line[0] == '\t' {
			return nil, unfit("line %d: %q is neither a key nor a list item", i+1, shorten(trimmed))
		}
		key = strings.TrimSpace(name)
		if !slices.Contains(documentKeys, key) {
			return nil, unfit("line %d: unknown key %q", i+1, shorten(key)).didYouMean(nearest(key, documentKeys))
		}
		if _, twice := d[key]; twice {
			return nil, unfit("line %d: key %s stands twice", i+1, key)
		}
		f := field{line: i + 1}
		if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
			var err error
			if f.value, err = parseFlow(rest, i+1); err != nil {
				return nil, err
			}
		}
		d[key] = f
	}
	return d, nil
}

func shorten(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}

// number reads a non-negative integer.
func (d document) number(key string) (int, error) {
	f, ok := d[key]
	if !ok {
		return 0, unfit("key %s is missing", key)
	}
	text, _ := f.value.(string)
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, unfit("line %d: %s is not a whole number", f.line, key)
	}
	return n, nil
}

// texts reads a list of scalars, or one scalar.
func (d document) texts(key string) ([]string, error) {
	f := d[key]
	values, _ := f.value.([]any)
	if s, ok := f.value.(string); ok {
		values = []any{s}
	}
	for _, it := range f.items {
		values = append(values, it.value)
	}
	out := []string{}
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil, unfit("line %d: %s is not a list of selectors", f.line, key)
		}
		out = append(out, s)
	}
	if _, isMap := f.value.(map[string]any); isMap {
		return nil, unfit("line %d: %s is not a list of selectors", f.line, key)
	}
	return out, nil
}

// record reads the keys of one {…} item, each exactly once; the first error sticks.
type record struct {
	item item
	seen []string
	err  error
}

func (r *record) get(key string) any {
	m, _ := r.item.value.(map[string]any)
	v, ok := m[key]
	if !ok && r.err == nil {
		r.err = unfit("line %d: no %s", r.item.line, key)
	}
	r.seen = append(r.seen, key)
	return v
}

func (r *record) text(key string) string {
	s, ok := r.get(key).(string)
	if !ok && r.err == nil {
		r.err = unfit("line %d: %s is not a text", r.item.line, key)
	}
	return s
}

func (r *record) truth(key string) bool {
	s := r.text(key)
	if s != "true" && s != "false" && r.err == nil {
		r.err = unfit("line %d: %s is %q, not true or false", r.item.line, key, shorten(s))
	}
	return s == "true"
}

func (r *record) shape(key string) []int64 {
	values, ok := r.get(key).([]any)
	out := []int64{}
	for _, v := range values {
		s, _ := v.(string)
		n, err := strconv.ParseInt(s, 10, 64)
		ok = ok && err == nil && n >= 0
		out = append(out, n)
	}
	if !ok && r.err == nil {
		r.err = unfit("line %d: %s is not a list of sizes", r.item.line, key)
	}
	return out
}

func (r *record) done() error {
	if r.err != nil {
		return r.err
	}
	for _, key := range slices.Sorted(maps.Keys(r.item.value.(map[string]any))) {
		if !slices.Contains(r.seen, key) {
			return unfit("line %d: unknown key %q", r.item.line, shorten(key)).didYouMean(nearest(key, r.seen))
		}
	}
	return nil
}
