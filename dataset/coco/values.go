package coco

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// key is an id: a whole number or a text. 7, 7.0 and "7" are the same one.
type key struct {
	number int64
	text   string // what is no whole number
}

func (k key) String() string {
	if k.text != "" {
		return strconv.Quote(k.text)
	}
	return strconv.FormatInt(k.number, 10)
}

func (k key) MarshalJSON() ([]byte, error) { return []byte(k.String()), nil }

func (k *key) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*k = key{number: n}
		return nil
	}
	text := string(b)
	switch {
	case b[0] == '"':
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	case string(b) == "null":
		return nil
	case !isNumber(b):
		return fmt.Errorf("id %.60s: must be a number or a text", b)
	}
	if n, ok := whole(text); ok {
		*k = key{number: n}
		return nil
	}
	if b[0] != '"' {
		return fmt.Errorf("id %.60s: must be a whole number or a text", b)
	}
	*k = key{text: text}
	return nil
}

// whole reads a whole number however it is written, such as 1.0 or 1e3.
func whole(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, strconv.FormatInt(n, 10) == text // 007 is a text
	}
	const exact = 1 << 53
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) > exact || !strings.ContainsAny(text, ".eE") {
		return 0, false
	}
	return int64(v), true
}

// number is a number, which may be written as a text; what is none is NaN, to be told
// where it is used.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(b), `"`)), 64)
	if err != nil || math.IsInf(v, 0) {
		v = math.NaN()
	}
	*n = number(v)
	return nil
}

func isNumber(b []byte) bool { return b[0] == '-' || b[0] >= '0' && b[0] <= '9' }

// name is a text that must be UTF-8; a number stands for its digits.
type name string

func (s *name) UnmarshalJSON(b []byte) error {
	switch {
	case !utf8.Valid(b):
		return fmt.Errorf("%.60q: not UTF-8", b)
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(s))
	case isNumber(b):
		*s = name(b)
	case string(b) != "null":
		return fmt.Errorf("%.60s: must be a text", b)
	}
	return nil
}

// flag takes the ways in which tools write yes and no.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	switch text := strings.Trim(string(b), `"`); text {
	case "true", "True":
		*f = true
	case "false", "False", "null", "":
	default:
		n, ok := whole(text)
		if !ok || n != 0 && n != 1 {
			return fmt.Errorf("iscrowd %.60s: must be 0 or 1", b)
		}
		*f = n == 1
	}
	return nil
}

// outline holds the parts of a polygon, x and y in turn, in pixels. Masks as
// run lengths, which mark crowds, are passed over; what is no list of numbers is left
// out, and noted.
type outline struct {
	parts [][]float32
	bad   bool
}

func (o *outline) UnmarshalJSON(b []byte) error {
	if b[0] != '[' || bytes.Equal(b, []byte("[]")) {
		return nil
	}
	if json.Unmarshal(b, &o.parts) == nil {
		return nil
	}
	var flat []float32 // some tools leave out the list of parts
	if json.Unmarshal(b, &flat) == nil {
		o.parts = [][]float32{flat}
		return nil
	}
	var masks []struct{ Counts any } // or list masks
	o.parts, o.bad = nil, json.Unmarshal(b, &masks) != nil
	return nil
}

// plain says in words what the decoder says in Go's.
func plain(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		what, _, _ := strings.Cut(kind.Value, " ")
		if kind.Field == "" {
			return fmt.Sprintf("a %s where an object must be", what)
		}
		return fmt.Sprintf("%s: a %s, which it cannot be", kind.Field, what)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
