package freeze

import (
	"maps"
	"slices"
	"strconv"

	"yolofreeze/onnx/yaml"
)

// document is a plan file: what stands under its keys.
type document map[string]field

type field struct {
	line  int
	value any    // string, []any or map[string]any; nil where there is nothing
	items []item // of a list
}

type item struct {
	line  int
	value any
}

var documentKeys = []string{"version", "freeze", "bn", "lr_scale", "lr_decay", "layers", "backbone", "head", "tensors", "batchnorm"}

func parseDocument(data []byte) (document, error) {
	root, err := yaml.Parse(data)
	if err != nil {
		return nil, &Error{msg: err.Error(), cause: err}
	}
	if root.Kind != yaml.Map {
		return nil, unfit("line %d: not a map of keys to values", max(root.Line, 1))
	}
	d := document{}
	for _, p := range root.Pairs {
		if !slices.Contains(documentKeys, p.Key) {
			return nil, unfit("line %d: unknown key %q", p.Line, shorten(p.Key)).didYouMean(nearest(p.Key, documentKeys))
		}
		f := field{line: p.Line, value: valueOf(p.Value)}
		for _, n := range p.Value.Items {
			f.items = append(f.items, item{n.Line, valueOf(n)})
		}
		d[p.Key] = f
	}
	return d, nil
}

// valueOf is what a node holds, its scalars as they are written.
func valueOf(n *yaml.Node) any {
	switch n.Kind {
	case yaml.Scalar:
		return n.Text
	case yaml.List:
		list := make([]any, len(n.Items))
		for i, each := range n.Items {
			list[i] = valueOf(each)
		}
		return list
	case yaml.Map:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key] = valueOf(p.Value)
		}
		return m
	}
	return nil
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
