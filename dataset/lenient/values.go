package lenient

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Key is an id: a whole number or a text. 7, 7.0 and "7" are the same one.
type Key struct {
	Number int64
	Text   string // what is no whole number
}

func (k Key) String() string {
	if k.Text != "" {
		return strconv.Quote(k.Text)
	}
	return strconv.FormatInt(k.Number, 10)
}

func (k Key) MarshalJSON() ([]byte, error) { return []byte(k.String()), nil }

func (k *Key) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		*k = Key{Number: n}
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
		*k = Key{Number: n}
		return nil
	}
	if b[0] != '"' {
		return fmt.Errorf("id %.60s: must be a whole number or a text", b)
	}
	*k = Key{Text: text}
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

// Number is a number, which may be written as a text; what is none is NaN, to be told
// where it is used.
type Number float64

func (n *Number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(b), `"`)), 64)
	if err != nil || math.IsInf(v, 0) {
		v = math.NaN()
	}
	*n = Number(v)
	return nil
}

func isNumber(b []byte) bool { return b[0] == '-' || b[0] >= '0' && b[0] <= '9' }

// Name is a text that must be UTF-8; a number stands for its digits.
type Name string

func (s *Name) UnmarshalJSON(b []byte) error {
	switch {
	case !utf8.Valid(b):
		return fmt.Errorf("%.60q: not UTF-8", b)
	case b[0] == '"':
		return json.Unmarshal(b, (*string)(s))
	case isNumber(b):
		*s = Name(b)
	case string(b) != "null":
		return fmt.Errorf("%.60s: must be a text", b)
	}
	return nil
}

// Flag takes the ways in which tools write yes and no.
type Flag bool

func (f *Flag) UnmarshalJSON(b []byte) error {
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

// Plain says in words what the decoder says in Go's.
func Plain(err error) string {
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
