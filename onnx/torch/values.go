package torch

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"yolofreeze/onnx"
)

// The values a pickle builds. Python's None, bool, int, float, str and bytes are
// nil, bool, int64 (*big.Int beyond it), float64, string and []byte; the rest:
type (
	tuple []any
	list  struct{ items []any }
	set   struct{ items []any }
	dict  struct {
		keys, values []any
		index        map[any]int
	}
)

// hashable reports whether v may be a key here. Python also allows tuples, but
// hashing those could take exponential time and no checkpoint needs them.
func hashable(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string:
		return true
	}
	return false
}

func (d *dict) set(key, value any) {
	if at, ok := d.index[key]; ok {
		d.values[at] = value
		return
	}
	if d.index == nil {
		d.index = make(map[any]int)
	}
	d.index[key] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

// get returns nil where d is nil or has no such key.
func (d *dict) get(key any) any {
	if d == nil {
		return nil
	}
	if at, ok := d.index[key]; ok {
		return d.values[at]
	}
	return nil
}

// kind names a value's Python type, with its article, for error messages; a value itself is never
// printed, since it may contain itself.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *big.Int:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case []byte:
		return "a bytes"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *set:
		return "a set"
	case *dict:
		return "a dict"
	case *tensor:
		return "a tensor"
	case *storage:
		return "a storage"
	case *numpyDType:
		return "a numpy.dtype"
	case *numpyArray:
		return "a numpy.ndarray"
	case *global:
		return "a reference to " + v.String()
	case *Object:
		return "a " + v.Class()
	}
	return fmt.Sprintf("a %T", v)
}

// Limits of a conversion: a pickle of a few hundred bytes can describe a list
// that has itself in it, or 2^64 elements by sharing.
const (
	maxPlainDepth = 64
	maxPlainNodes = 1 << 18
)

// plain turns a value into nested []any, map[string]any, string, int64, float64,
// bool, nil, *onnx.Tensor and *Object.
func plain(v any) (any, error) {
	nodes := 0
	return plainWithin(v, 0, &nodes)
}

func plainWithin(v any, depth int, nodes *int) (any, error) {
	if *nodes++; *nodes > maxPlainNodes {
		return nil, fmt.Errorf("expands to more than %d values", maxPlainNodes)
	}
	if depth > maxPlainDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxPlainDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case []byte:
		return string(v), nil
	case *big.Int:
		return v.String(), nil
	case tuple:
		return plainSlice(v, depth, nodes)
	case *list:
		return plainSlice(v.items, depth, nodes)
	case *set:
		return plainSlice(v.items, depth, nodes)
	case *dict:
		return plainMap(v, depth, nodes)
	case *numpyArray:
		return v.plain()
	case *tensor:
		return v.get()
	case *global:
		return v.String(), nil
	case *Object:
		if v.Module == "argparse" {
			return plainMap(v.attrs, depth, nodes)
		}
		return v, nil
	}
	return nil, fmt.Errorf("%s has no plain form", kind(v))
}

func plainSlice(items []any, depth int, nodes *int) (any, error) {
	out := make([]any, 0, min(len(items), maxPlainNodes))
	for _, item := range items {
		p, err := plainWithin(item, depth+1, nodes)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func plainMap(d *dict, depth int, nodes *int) (any, error) {
	out := make(map[string]any)
	if d == nil {
		return out, nil
	}
	for i, key := range d.keys {
		p, err := plainWithin(d.values[i], depth+1, nodes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shown(keyText(key)), err)
		}
		out[keyText(key)] = p
	}
	return out, nil
}

func keyText(key any) string {
	switch key := key.(type) {
	case string:
		return key
	case int64:
		return strconv.FormatInt(key, 10)
	case nil:
		return "None"
	}
	return fmt.Sprint(key)
}

// number returns an int, float, or array of one element as float64.
func number(v any) (float64, bool) {
	if a, ok := v.(*numpyArray); ok {
		v, _ = a.plain()
	}
	if t, ok := v.(*tensor); ok {
		v, _ = t.get()
	}
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	case *onnx.Tensor:
		if v != nil && v.Len() == 1 {
			return v.Float64s()[0], true
		}
	}
	return 0, false
}

// integers returns a tuple, list or torch.Size of ints, at most limit of them.
func integers(v any, limit int) ([]int64, bool) {
	var items []any
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	default:
		return nil, false
	}
	if len(items) > limit {
		return nil, false
	}
	out := make([]int64, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// shown prints a name bare where that cannot mislead, quoted elsewhere.
func shown(name string) string {
	if q := quote(name); name == "" || q != `"`+name+`"` || strings.Contains(name, " ") {
		return q
	}
	return name
}

// quote prints a stranger's text on one line and of bounded length.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.Quote(s[:cut]) + "…"
	}
	return strconv.Quote(s)
}
