package term

import (
	"fmt"
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
	if _, err := io.WriteString(p.w, visible(withheld(string(text)))); err != nil {
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

// steers reports whether a terminal obeys a character instead of showing it, or shows
// nothing, a new line, or what follows in another order.
func steers(r rune) bool {
	switch r {
	case '\n', '\t', 0x200c, 0x200d: // these join and part the letters of some scripts
		return false
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// Sprintf is fmt's, but what the arguments say stays on its line and steers nothing: they
// come from data, the format does not.
func Sprintf(format string, args ...any) string { return fmt.Sprintf(format, quotedAll(args)...) }

// Fprintf writes what Sprintf makes.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	return io.WriteString(w, Sprintf(format, args...))
}

// Fprintln writes a text of one line.
func Fprintln(w io.Writer, text any) (int, error) { return Fprintf(w, "%v\n", text) }

func quotedAll(args []any) []any {
	list := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case nil:
		case string:
			list[i] = OneLine(a)
		case error:
			list[i] = OneLine(a.Error())
		case fmt.Stringer:
			list[i] = OneLine(a.String())
		case []string:
			list[i] = OneLine(fmt.Sprint(a))
		default:
			list[i] = a
		}
	}
	return list
}

// OneLine joins the lines of a text from data, shows its control characters instead of
// obeying them, withholds its secrets, and leaves out the middle of what is very long.
func OneLine(text string) string {
	text = strings.TrimRight(text, "\r\n")
	if strings.ContainsAny(text, "\r\n") {
		var parts []string
		for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				parts = append(parts, line)
			}
		}
		text = strings.Join(parts, "; ")
	}
	return visible(clipped(withheld(strings.ReplaceAll(text, "\t", " "))))
}

// withheld leaves passwords and tokens out of addresses, and tokens out of headers.
func withheld(text string) string {
	if strings.Contains(text, "://") {
		text = userInfo.ReplaceAllString(text, "$1***@")
		text = secretQuery.ReplaceAllString(text, "$1***")
	}
	return bearer.ReplaceAllString(text, "$1 ***")
}

var (
	// What stands before the last @, for passwords may hold all that ends an address.
	userInfo    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@]*:[^\s"'<>]*|[^\s/?#]*)@`)
	secretQuery = regexp.MustCompile(`(?i)([?&;](?:[a-z0-9_.-]*(?:token|secret|passw(?:or)?d|signature|credential|api[_-]?key|access[_-]?key)[a-z0-9_.-]*|key|sig|pwd|auth)=)[^\s&;#"']+`)
	bearer      = regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9+/=._~-]{8,}`)
)

// clipped leaves out the middle of a line that nobody would read: what it quotes is a file's,
// and may be as long as that.
func clipped(line string) string {
	if len(line) <= mostLine {
		return line
	}
	head, tail := line[:mostLine/4*3], line[len(line)-mostLine/8:]
	return strings.ToValidUTF8(head, "") + fmt.Sprintf(" … (%d bytes left out) … ", len(line)-len(head)-len(tail)) + strings.ToValidUTF8(tail, "")
}

const mostLine = 4096 // bytes

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
