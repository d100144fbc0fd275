// Package term is where a command meets its user: results and messages, colours, bars,
// the spelling of options, exit codes, signals. Whatever comes from data, such as names,
// paths and the texts of errors, is quoted here, and nowhere else (quote.go).
package term

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// Terminal is where a command reads and writes: results to Out, all else to Err.
type Terminal struct {
	In       io.Reader
	Out      io.Writer
	Err      io.Writer
	JSON     bool            // results are JSON
	Quiet    bool            // no more than results, warnings and errors (see Hush)
	Flags    map[string]bool // names of all commands' flags
	Live     bool            // Err is a terminal: bars move
	Colour   bool            // Err may be coloured
	graceful atomic.Value    // a string: what the command does when it is asked to stop; unset: nothing
}

// New has bars and colours where standard error is a terminal.
func New(in io.Reader, out, err io.Writer) *Terminal {
	t := &Terminal{Flags: map[string]bool{}, In: in, Out: &sink{w: out}, Err: &sink{w: err}}
	t.Live = isTerminal(err) && os.Getenv("TERM") != "dumb"
	t.Colour = t.Live && os.Getenv("NO_COLOR") == ""
	return t
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Key is where a program's metadata hold its terminal.
const Key = "terminal"

// Of returns the terminal of a command's context.
func Of(c *cli.Context) *Terminal { return c.App.Metadata[Key].(*Terminal) }

// sink keeps the first error of a writer and takes everything after it, so that
// a closed pipe never stops training.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), nil
}

// RawErr is standard error itself, which a child process may take for a terminal.
func (t *Terminal) RawErr() io.Writer {
	if s, ok := t.Err.(*sink); ok {
		return s.w
	}
	return t.Err
}

// RawOut is standard output itself.
func (t *Terminal) RawOut() io.Writer {
	if s, ok := t.Out.(*sink); ok {
		return s.w
	}
	return t.Out
}

// Close reports output that could not be written; a reader that has gone, such
// as head, is no failure.
func (t *Terminal) Close(code int) int {
	if s, ok := t.Out.(*sink); ok && s.err != nil && !errors.Is(s.err, syscall.EPIPE) && code == ExitOK {
		return t.Fail(fmt.Errorf("writing standard output: %w", s.err))
	}
	return code
}

// Fail prints an error as one line, and its hint, and returns the exit code.
func (t *Terminal) Fail(err error) int {
	t.say(t.paint(red, "yolofreeze:")+" ", OneLine(err.Error()))
	if hint := hintOf(err); hint != "" {
		t.hint(hint)
	}
	return ExitCode(err)
}

// Hush has nothing said but results, warnings and errors.
func (t *Terminal) Hush() { t.Quiet, t.Live = true, false }

// Width is how many columns standard error has now, 0 where it is no terminal.
func (t *Terminal) Width() int {
	if f, ok := t.RawErr().(*os.File); ok && t.Live {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// Logf prints a line to standard error.
func (t *Terminal) Logf(format string, args ...any) {
	if !t.Quiet {
		t.say("", Sprintf(format, args...))
	}
}

// Stage prints a line behind a coloured label.
func (t *Terminal) Stage(label, format string, args ...any) {
	if t.Quiet {
		return
	}
	t.say(t.paint(cyan, label)+" ", Sprintf(format, args...))
}

// say prints a line behind a label, the only part of it that may be coloured.
func (t *Terminal) say(label, text string) {
	fmt.Fprintln(t.Err, label+t.Spelt(visible(clipped(withheld(text)))))
}

// Warnf prints a warning of one line.
func (t *Terminal) Warnf(format string, args ...any) {
	t.say(t.paint(yellow, "warning:")+" ", OneLine(fmt.Sprintf(format, args...)))
}

// hint prints what the user may do.
func (t *Terminal) hint(text string) { t.say(t.paint(cyan, "hint:")+" ", OneLine(text)) }

const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
)

func (t *Terminal) paint(colour, text string) string {
	if !t.Colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Result prints what a command found: v as one JSON object with --json, else
// what text writes.
func (t *Terminal) Result(v any, text func(io.Writer) error) error {
	if t.JSON {
		return t.writeJSON(v)
	}
	return text(t.Text())
}

// Text is standard output for people: what is written there is quoted.
func (t *Terminal) Text() io.Writer { return printable{t.Out} }

// Stream prints one object of many as a line, with --json only.
func (t *Terminal) Stream(v any) error {
	if !t.JSON {
		return nil
	}
	return t.writeJSON(v)
}

func (t *Terminal) writeJSON(v any) error {
	e := json.NewEncoder(t.Out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result as JSON: %w", err)
	}
	return nil
}
