package yaml

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Encode writes a value as YAML; fields of structs are named by their yaml tags, or else their names in lower case.
func Encode(v any) ([]byte, error) { return yaml.Dump(v, yaml.WithQuotePreference(yaml.QuoteDouble)) }

// Decode reads a document into what into points at: a struct (see
// [Encode]), or a map with texts for keys. A struct's fields without a key keep their
// values; a key without a field is an *[Error], as is a value that does not fit.
func Decode(data []byte, into any) error {
	n, err := Parse(data)
	if err != nil || n.Kind == Null {
		return err
	}
	return n.Decode(into)
}

// Decode is the function Decode for a node.
func (n *Node) Decode(into any) error { return n.into(reflect.ValueOf(into).Elem()) }

// Value returns the node as a map[string]any, a []any, a string, a bool, an int64, a
// float64 or nil.
func (n *Node) Value() any {
	switch n.Kind {
	case Null:
		return nil
	case List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Value()
		}
		return list
	case Map:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key] = p.Value.Value()
		}
		return m
	}
	switch n.tag {
	case "!!bool":
		return strings.EqualFold(n.Text, "true")
	case "!!int":
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.Text, "_", ""), 0, 64); err == nil {
			return i
		}
		fallthrough
	case "!!float":
		if f, ok := n.float(); ok {
			return f
		}
	}
	return n.Text
}

// float reads a number; not-a-number and infinities as YAML writes them.
func (n *Node) float() (float64, bool) {
	text := strings.ToLower(n.Text)
	switch strings.TrimLeft(text, "+-") {
	case ".nan":
		return math.NaN(), true
	case ".inf":
		text = strings.Replace(text, ".", "", 1)
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !strings.ContainsAny(text, "xp")
}

func (n *Node) into(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Interface:
		if value := n.Value(); value != nil {
			v.Set(reflect.ValueOf(value))
		}
		return nil
	case reflect.Struct:
		return n.fields(v)
	case reflect.Map:
		return n.keys(v)
	case reflect.Slice:
		return n.list(v)
	}
	if n.Kind != Scalar && v.Kind() != reflect.String || n.Kind > Scalar {
		return bad(n.Line, "want %s, not %v", wanted(v), n.Kind)
	}
	misfit := bad(n.Line, "want %s, not %q", wanted(v), shorten(n.Text))
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Text)
	case reflect.Bool:
		if n.tag != "!!bool" {
			return misfit
		}
		v.SetBool(strings.EqualFold(n.Text, "true"))
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Text, 10, v.Type().Bits())
		if err != nil {
			return misfit
		}
		v.SetInt(i)
	case reflect.Uint64:
		i, err := strconv.ParseUint(n.Text, 10, 64)
		if err != nil {
			return misfit
		}
		v.SetUint(i)
	case reflect.Float64:
		f, ok := n.float()
		if !ok {
			return misfit
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("yaml: a %s cannot be read", v.Type())
	}
	return nil
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func (n *Node) fields(v reflect.Value) error {
	if n.Kind != Map {
		return bad(n.Line, "want a map of keys to values, not %v", n.Kind)
	}
	named := map[string]reflect.Value{}
	nameFields(named, v)
	for _, p := range n.Pairs {
		field, ok := named[p.Key]
		if !ok {
			return bad(p.Line, "unknown field %q", shorten(p.Key))
		}
		if err := p.Value.into(field); err != nil {
			return within(p, err)
		}
	}
	return nil
}

// nameFields lists a struct's fields by their keys; those of an inline one stand among its own.
func nameFields(named map[string]reflect.Value, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, flags, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case flags == "inline":
			nameFields(named, v.Field(i))
		case name != "-":
			named[cmp.Or(name, strings.ToLower(f.Name))] = v.Field(i)
		}
	}
}

// within names the key whose value an error is about.
func within(p Pair, err error) error {
	if e, ok := err.(*Error); ok && !strings.HasPrefix(e.Reason, "key ") {
		line := e.Line
		if line == 0 {
			line = p.Line
		}
		return bad(line, "key %s: %s", shorten(p.Key), e.Reason)
	}
	return err
}

func (n *Node) keys(v reflect.Value) error {
	if n.Kind != Map {
		return bad(n.Line, "want a map of keys to values, not %v", n.Kind)
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Pairs)))
	for _, p := range n.Pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := p.Value.into(value); err != nil {
			return within(p, err)
		}
		v.SetMapIndex(reflect.ValueOf(p.Key), value)
	}
	return nil
}

func (n *Node) list(v reflect.Value) error {
	if n.Kind == Null {
		v.SetZero()
		return nil
	}
	if n.Kind != List {
		return bad(n.Line, "want a list, not %v", n.Kind)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		if err := item.into(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}
