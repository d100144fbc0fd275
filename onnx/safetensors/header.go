package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"yolofreeze/onnx"
)

// entry is one tensor of the header; begin and end count bytes from the header's end.
type entry struct {
	name       string
	dtype      onnx.DType
	shape      []int64
	begin, end int64
}

type header struct {
	metadata map[string]string
	entries  []entry
}

func noObject() error { return badf("header does not begin with '{': not a safetensors file") }

// parseHeader reads the JSON by tokens, because decoding into maps would hide duplicate keys.
func parseHeader(text []byte) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, noObject()
	}
	if !utf8.Valid(text) {
		return nil, badf("header is not valid UTF-8")
	}
	p := &parser{json.NewDecoder(bytes.NewReader(text))}
	p.UseNumber()
	h := &header{}
	err := p.object("header", func(key string) error {
		if key == metadataKey {
			return p.metadata(h)
		}
		if len(h.entries) == maxTensors {
			return badf("more than %d tensors", maxTensors)
		}
		e := entry{name: key}
		if err := p.entry(&e); err != nil {
			return err
		}
		h.entries = append(h.entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimRight(text[p.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, badf("header byte %d: %d bytes after the JSON object", p.InputOffset(), len(rest))
	}
	return h, nil
}

// parser adds the few shapes that a header has to a token decoder.
type parser struct{ *json.Decoder }

func (p *parser) token(what string) (json.Token, error) {
	t, err := p.Token()
	if err != nil {
		return nil, badf("header byte %d: %s: %v", p.InputOffset(), what, err)
	}
	return t, nil
}

func (p *parser) wrong(what, want string, got json.Token) error {
	format := "%v"
	if _, ok := got.(string); ok {
		format = "%q"
	}
	return badf("header byte %d: %s: expected %s, found %s", p.InputOffset(), what, want, clip(fmt.Sprintf(format, got)))
}

// object reads {key: value …}, calling value once for each key, and refuses a key given twice.
func (p *parser) object(what string, value func(key string) error) error {
	t, err := p.token(what)
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return p.wrong(what, "an object", t)
	}
	seen := make(map[string]bool)
	for p.More() {
		t, err := p.token(what)
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return p.wrong(what, "a key", t)
		}
		if seen[key] {
			return badf("header byte %d: %s: duplicate key %q", p.InputOffset(), what, clip(key))
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = p.token(what) // the closing brace
	return err
}

func (p *parser) metadata(h *header) error {
	h.metadata = make(map[string]string)
	return p.object(metadataKey, func(key string) error {
		s, err := p.text(fmt.Sprintf("%s key %q", metadataKey, clip(key)))
		h.metadata[key] = s
		return err
	})
}

func (p *parser) text(what string) (string, error) {
	t, err := p.token(what)
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", p.wrong(what, "a string", t)
	}
	return s, nil
}

func (p *parser) entry(e *entry) error {
	what := fmt.Sprintf("tensor %q", clip(e.name))
	fields := 0
	err := p.object(what, func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			var name string
			if name, err = p.text(what + " dtype"); err != nil {
				return err
			}
			if e.dtype = dtypes[name]; e.dtype == onnx.Undefined {
				return badf("%s: unsupported dtype %q", what, clip(name))
			}
		case "shape":
			e.shape, err = p.integers(what+" shape", maxRank)
		case "data_offsets":
			var at []int64
			if at, err = p.integers(what+" data_offsets", 2); err == nil && len(at) != 2 {
				return badf("%s: data_offsets has %d numbers, not 2", what, len(at))
			}
			if err == nil {
				e.begin, e.end = at[0], at[1]
			}
		default:
			return badf("%s: unknown field %q", what, clip(key))
		}
		return err
	})
	if err == nil && fields != 3 {
		return badf("%s: needs dtype, shape and data_offsets, has %d of them", what, fields)
	}
	return err
}

// integers reads an array of at most limit whole numbers ≥ 0.
func (p *parser) integers(what string, limit int) ([]int64, error) {
	t, err := p.token(what)
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		return nil, p.wrong(what, "an array", t)
	}
	out := []int64{}
	for p.More() {
		t, err := p.token(what)
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		v, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil || v < 0 {
			return nil, p.wrong(what, "a whole number", t)
		}
		if len(out) == limit {
			return nil, badf("%s: more than %d numbers", what, limit)
		}
		out = append(out, v)
	}
	_, err = p.token(what) // the closing bracket
	return out, err
}

// clip keeps a hostile name from filling the screen.
func clip(s string) string {
	if len(s) <= 120 {
		return s
	}
	return s[:120] + "…"
}
