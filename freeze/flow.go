package freeze

import (
	"strconv"
	"strings"
)

// flowReader reads YAML's flow style on one line: "text", text, [a, b], {k: v}.
type flowReader struct {
	text  string
	at    int
	line  int
	depth int
}

func parseFlow(text string, line int) (any, error) {
	r := &flowReader{text: text, line: line}
	v, err := r.value(" #") // a plain scalar ends where a comment begins
	if err != nil {
		return nil, err
	}
	r.blanks()
	if r.at < len(r.text) && r.text[r.at] != '#' {
		return nil, r.fail("unexpected %q", shorten(r.text[r.at:]))
	}
	return v, nil
}

func (r *flowReader) fail(format string, args ...any) error {
	return unfit("line %d: "+format, append([]any{r.line}, args...)...)
}

func (r *flowReader) blanks() {
	for r.at < len(r.text) && (r.text[r.at] == ' ' || r.text[r.at] == '\t') {
		r.at++
	}
}

// take steps over one byte when it is the next.
func (r *flowReader) take(c byte) bool {
	r.blanks()
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// value reads any value; a plain scalar runs up to the first of the texts of end.
func (r *flowReader) value(end string) (any, error) {
	const deepest = 4
	if r.depth++; r.depth > deepest {
		return nil, r.fail("nested deeper than a plan file is")
	}
	defer func() { r.depth-- }()
	switch {
	case r.take('['):
		return r.list()
	case r.take('{'):
		return r.mapping()
	}
	return r.scalar(end)
}

func (r *flowReader) list() (any, error) {
	out := []any{}
	for !r.take(']') {
		if len(out) > 0 && !r.take(',') {
			return nil, r.fail("a list without its end")
		}
		v, err := r.value(",]")
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *flowReader) mapping() (any, error) {
	out := map[string]any{}
	for !r.take('}') {
		if len(out) > 0 && !r.take(',') {
			return nil, r.fail("a mapping without its end")
		}
		key, err := r.scalar(":,}")
		if err != nil {
			return nil, err
		}
		if !r.take(':') {
			return nil, r.fail("key %q has no value", shorten(key))
		}
		if _, twice := out[key]; twice {
			return nil, r.fail("key %q stands twice", shorten(key))
		}
		if out[key], err = r.value(",}"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scalar reads a quoted or plain scalar. An end of " #" is the comment's two bytes.
func (r *flowReader) scalar(end string) (string, error) {
	r.blanks()
	rest := r.text[r.at:]
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", r.fail("a quoted text without its end")
		}
		r.at += len(quoted)
		return strconv.Unquote(quoted)
	}
	n := strings.IndexAny(rest, end)
	if end == " #" {
		n = strings.Index(rest, end)
	}
	if n < 0 {
		n = len(rest)
	}
	r.at += n
	plain := strings.TrimSpace(rest[:n])
	if plain == "" {
		return "", r.fail("an empty value")
	}
	return plain, nil
}
