package term

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// printable stands between what a command says and the terminal: names and paths come from
// strangers' files, and must not steer it. Only ends of lines and tabs stay.
type printable struct{ w io.Writer }

func (p printable) Write(text []byte) (int, error) {
	if _, err := io.WriteString(p.w, visible(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// visible writes control characters as Go spells them: an escape is \x1b.
func visible(text string) string {
	if !strings.ContainsFunc(text, steers) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steers(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// steers reports whether a terminal obeys a character instead of showing it, or shows what
// follows it in another order.
func steers(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// OneLine joins the lines of a message and drops control characters, which may
// come from a file's name or contents.
func OneLine(text string) string {
	var parts []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || steers(r) {
			return ' '
		}
		return r
	}, strings.Join(parts, "; "))
}

// Shorten cuts a text to at most n characters.
func Shorten(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// Spelt writes as flags the options that packages name in backquotes: `amp fp16`
// becomes --amp fp16.
func (t *Terminal) Spelt(text string) string {
	return quoted.ReplaceAllStringFunc(text, func(option string) string {
		words := strings.Trim(option, "`")
		name, _, _ := strings.Cut(words, " ")
		name, _, _ = strings.Cut(name, "=")
		if !t.Flags[name] {
			return option
		}
		return "--" + words
	})
}

var quoted = regexp.MustCompile("`[a-z][^`]*`")
