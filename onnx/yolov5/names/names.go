// Package names reads and writes class names as the metadata of exported YOLOv5
// models carry them: as the literal of a Python dict.
//
//	names.Format([]string{"cat", "dog"}) // {0: 'cat', 1: 'dog'}
package names

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format writes class names as the metadata of an exported YOLOv5 carries
// them: the literal of a Python dict, {0: 'person', 1: 'bicycle'}
// (https://docs.python.org/3/library/stdtypes.html#str, repr).
func Format(names []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d: %s", i, pythonQuote(name))
	}
	b.WriteByte('}')
	return b.String()
}

// pythonQuote writes a string as Python's repr does: in single quotes, in
// double ones when only those avoid an escape.
func pythonQuote(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for i, r := range s {
		switch {
		case r == utf8.RuneError && s[i] < utf8.RuneSelf || r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// Parse reads the names of an export's metadata: the literal of a Python
// dict from 0, 1, 2, … to strings, or of a list or tuple of strings. A number,
// True, False or None, which a data.yaml's unquoted names become, is the name
// that it is printed as. Errors name the place, counted in bytes from 0.
func Parse(text string) ([]string, error) {
	p := literal{text: text}
	names, err := p.names()
	if err != nil {
		return nil, fmt.Errorf("names at byte %d: %w", p.at, err)
	}
	return names, nil
}

// maxNames bounds what a file can make Parse allocate.
const maxNames = 1 << 16

// literal reads a Python literal from left to right.
type literal struct {
	text string
	at   int
}

func (p *literal) names() ([]string, error) {
	var end byte
	switch {
	case p.take('{'):
		end = '}'
	case p.take('['):
		end = ']'
	case p.take('('):
		end = ')'
	default:
		return nil, fmt.Errorf("neither { nor [ nor (")
	}
	found := map[int]string{}
	for i := 0; !p.take(end); i++ {
		if i > 0 && !p.take(',') {
			return nil, fmt.Errorf("neither a comma nor %c", end)
		}
		if i > 0 && p.take(end) { // a comma may stand at the end
			break
		}
		class := i
		if end == '}' {
			var err error
			if class, err = p.key(); err != nil {
				return nil, err
			}
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if _, twice := found[class]; twice || class < 0 || class >= maxNames {
			return nil, fmt.Errorf("class %d is there twice or out of range", class)
		}
		found[class] = name
	}
	if p.blanks(); p.at < len(p.text) {
		return nil, fmt.Errorf("text after the end")
	}
	names := make([]string, len(found))
	for i := range names {
		name, ok := found[i]
		if !ok {
			return nil, fmt.Errorf("%d classes, but none is %d", len(found), i)
		}
		names[i] = name
	}
	return names, nil
}

func (p *literal) blanks() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take steps over one byte when it is the next but blanks.
func (p *literal) take(c byte) bool {
	p.blanks()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// key reads an integer, quoted or not, and the colon behind it.
func (p *literal) key() (int, error) {
	p.blanks()
	rest := p.text[p.at:]
	end := strings.IndexByte(rest, ':')
	if end < 0 || end > 32 {
		return 0, fmt.Errorf("a class number is missing")
	}
	n, err := strconv.Atoi(strings.Trim(rest[:end], `'" `))
	if err != nil {
		return 0, fmt.Errorf("%q is not a class number", rest[:end])
	}
	p.at += end + 1
	return n, nil
}

// unquoted are values that stand without quotes: of Python, and of JSON.
var unquoted = regexp.MustCompile(`^(?:True|False|None|true|false|null|-?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?)\b`)

// name reads a string, or what a name was taken for.
func (p *literal) name() (string, error) {
	p.blanks()
	if text := unquoted.FindString(p.text[p.at:]); text != "" {
		p.at += len(text)
		return text, nil
	}
	return p.str()
}

// str reads a quoted string with Python's escapes.
func (p *literal) str() (string, error) {
	p.blanks()
	if p.at == len(p.text) || p.text[p.at] != '\'' && p.text[p.at] != '"' {
		return "", fmt.Errorf("a quoted name is missing")
	}
	quote := p.text[p.at]
	p.at++
	var b strings.Builder
	for p.at < len(p.text) && p.text[p.at] != quote {
		if strings.HasPrefix(p.text[p.at:], `\'`) || strings.HasPrefix(p.text[p.at:], `\"`) {
			b.WriteByte(p.text[p.at+1])
			p.at += 2
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(p.text[p.at:], 0)
		if err != nil {
			return "", fmt.Errorf("not an escape that is known")
		}
		if multibyte || r < utf8.RuneSelf || p.text[p.at] == '\\' {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		p.at = len(p.text) - len(tail)
	}
	if p.at == len(p.text) {
		return "", fmt.Errorf("a name without its end")
	}
	p.at++
	return b.String(), nil
}
