package term

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestResult(t *testing.T) {
	for _, c := range []struct {
		json bool
		want string
	}{{true, `{"names":["a<b"]}` + "\n"}, {false, "one\n"}} {
		var out bytes.Buffer
		term := New(nil, &out, io.Discard)
		term.JSON = c.json
		err := term.Result(map[string][]string{"names": {"a<b"}}, func(w io.Writer) error {
			_, err := io.WriteString(w, "one\n")
			return err
		})
		if err != nil || out.String() != c.want {
			t.Errorf("json %t: %q, %v", c.json, out.String(), err)
		}
		out.Reset()
		if err := term.Stream(1); err != nil || (out.String() == "1\n") != c.json {
			t.Errorf("json %t: streamed %q, %v", c.json, out.String(), err)
		}
	}
}

func TestPlainBar(t *testing.T) {
	var log bytes.Buffer
	b := New(nil, io.Discard, &log).Bar("epoch 0/2", 30)
	for range 40 {
		b.Describe(" box 0.1")
		b.Add(1)
	}
	b.Finish()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 10 || lines[0] != "epoch 0/2 box 0.1  10 % (3/30)" || lines[9] != "epoch 0/2 box 0.1 100 % (30/30)" {
		t.Errorf("%d lines:\n%s", len(lines), log.String())
	}
	log.Reset()
	b = New(nil, io.Discard, &log).Bar("nothing", 0)
	b.Add(1)
	b.Finish()
	if log.Len() != 0 {
		t.Errorf("a bar of nothing printed %q", log.String())
	}
}

func TestLiveBar(t *testing.T) {
	var log bytes.Buffer
	term := New(nil, io.Discard, &log)
	term.Live = true
	b := term.Bar("epoch", 3)
	for range 5 {
		b.Add(1)
	}
	b.Finish()
	if text := log.String(); !strings.Contains(text, "3/3") || !strings.HasSuffix(text, "\n") {
		t.Errorf("%q", text)
	}
}

// TestSpelt: options that packages name become flags, and nothing else does.
func TestSpelt(t *testing.T) {
	var log bytes.Buffer
	term := New(nil, io.Discard, &log)
	for _, name := range []string{"batch-size", "amp", "freeze", "bn", "cache-features", "config", "decode"} {
		term.Flags[name] = true
	}
	for text, want := range map[string]string{
		"`batch-size 4`; take `amp fp16` or `freeze 10` `bn eval`": "--batch-size 4; take --amp fp16 or --freeze 10 --bn eval",
		"`cache-features=2` fits; see `config`, `decode`":          "--cache-features=2 fits; see --config, --decode",
		"`no-such-option 3`, `else`, ``, `Freeze`, a ` b":          "`no-such-option 3`, `else`, ``, `Freeze`, a ` b",
		"%s": "%s",
	} {
		if got := term.Spelt(text); got != want {
			t.Errorf("%q is spelt %q, want %q", text, got, want)
		}
		log.Reset()
		term.Fail((&Error{error: errors.New(text)}).Hinted(text))
		if got := log.String(); got != "yolofreeze: "+want+"\nhint: "+want+"\n" {
			t.Errorf("%q is printed as %q", text, got)
		}
	}
}

// TestLongLines: what an error quotes does not fill the screen, and its beginning and end are there.
func TestLongLines(t *testing.T) {
	var log bytes.Buffer
	term := New(nil, io.Discard, &log)
	term.Fail(fmt.Errorf("data.yaml:3: %s: must be a number", strings.Repeat("å", 10<<20)))
	got := log.String()
	if len(got) > 2*mostLine || !strings.Contains(got, "data.yaml:3") || !strings.HasSuffix(got, "must be a number\n") || !utf8.ValidString(got) {
		t.Errorf("%d bytes: %.100q", len(got), got)
	}
}

// TestPrintable: what strangers' files name does not steer a terminal.
func TestPrintable(t *testing.T) {
	var b strings.Builder
	if _, err := (printable{&b}).Write([]byte("a\x1b[2Jb\r\u009bc\u202ed\te\nå犬\x7f")); err != nil {
		t.Fatal(err)
	}
	if want := `a\x1b[2Jb\r\u009bc\u202ed` + "\te\nå犬" + `\x7f`; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	var log bytes.Buffer
	term := New(nil, io.Discard, &log)
	term.Colour = true
	term.Logf("%s\t%s", "a\x1b[2Jb", "å")
	term.Warnf("%s", "c\x1b[2Jd")
	if want := `a\x1b[2Jb` + "\tå\n\x1b[33mwarning:\x1b[0m " + `c\x1b[2Jd` + "\n"; log.String() != want {
		t.Errorf("logged %q, want %q", log.String(), want)
	}
}

// TestData: what data say stays on its line, steers nothing and gives no secret away,
// while lines and columns of the program's own stay.
func TestData(t *testing.T) {
	for _, c := range []struct {
		format string
		args   []any
		want   string
	}{
		{"%s\t%d\n", []any{"a\nwarning: forged", 3}, "a; warning: forged\t3\n"},
		{"\n%11s|\n", []any{"     0/2"}, "\n        0/2|\n"},
		{"%v", []any{errors.New("x\r\ny\x1b]0;t\x07")}, `x; y\x1b]0;t\a`},
		{"%v %q", []any{[]string{"a\nb"}, "c\td"}, `[a; b] "c d"`},
		{"%s", []any{"abc\u202etxt.\u2067\u200f\u2028x"}, `abc\u202etxt.\u2067\u200f\u2028x`},
		{"%s", []any{"क्\u200dष 👩\u200d👧"}, "क्\u200dष 👩\u200d👧"},
		{"%s", []any{"GET https://me:pw@host/x?a=1&token=abc&b=2"}, "GET https://***@host/x?a=1&token=***&b=2"},
		{"%s", []any{`parse "http://me:p/w#@d@host:x": bad`}, `parse "http://***@host:x": bad`},
		{"%s", []any{"https://tok3n@host and http://host:80/a"}, "https://***@host and http://host:80/a"},
		{"%s", []any{"https://s3/x?X-Amz-Signature=00ff&X-Amz-Security-Token=a%2F"}, "https://s3/x?X-Amz-Signature=***&X-Amz-Security-Token=***"},
		{"%s", []any{"Authorization: Bearer abcdefgh12"}, "Authorization: Bearer ***"},
		{"%s", []any{"a@b.jpg 10% of x=1"}, "a@b.jpg 10% of x=1"},
	} {
		if got := Sprintf(c.format, c.args...); got != c.want {
			t.Errorf("%q of %q is %q, want %q", c.format, c.args, got, c.want)
		}
	}
}

// TestColumns: cells become narrower, then fewer, and never touch.
func TestColumns(t *testing.T) {
	cells := []string{"0/2", "0.6G", "box_loss", "Instances"}
	for room, want := range map[int]string{
		0:  "        0/2       0.6G   box_loss  Instances",
		44: "        0/2       0.6G   box_loss  Instances",
		43: "       0/2      0.6G  box_loss Instances",
		39: "       0/2  box_loss Instances",
		20: "       0/2  box_loss",
	} {
		if got := Columns(room, cells, 1, 3); got != want {
			t.Errorf("%d columns: %q, want %q", room, got, want)
		}
	}
}
