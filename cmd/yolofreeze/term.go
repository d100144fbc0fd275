package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unicode"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"yolofreeze/dataset"
)

// Exit codes of the command line's contract; exitCodes says what they mean.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitBadInput
	exitUnavailable
	exitNonFinite
	exitSignal = 128
)

var exitCodes = []struct {
	code  int
	means string
}{
	{exitOK, "done"},
	{exitFailure, "failed for another reason than these"},
	{exitUsage, "what was asked for cannot be read, or makes no sense"},
	{exitBadInput, "a model file, data, labels or a configuration is bad"},
	{exitUnavailable, "the runtime library or a device is missing or unfit"},
	{exitNonFinite, "the loss became infinite or no number"},
	{exitSignal + int(syscall.SIGINT), "interrupted (143: terminated); a run has saved its state"},
}

// answers are what an error may say of itself, and the code that follows.
var answers = []struct {
	code int
	says func(error) bool
}{
	{exitNonFinite, func(e error) bool { a, ok := e.(interface{ NonFinite() bool }); return ok && a.NonFinite() }},
	{exitUnavailable, func(e error) bool { a, ok := e.(interface{ Unavailable() bool }); return ok && a.Unavailable() }},
	{exitBadInput, func(e error) bool { a, ok := e.(interface{ BadInput() bool }); return ok && a.BadInput() }},
	{exitUsage, func(e error) bool { a, ok := e.(interface{ Usage() bool }); return ok && a.Usage() }},
}

// exitCode looks along the chain of an error for what it says of itself; the
// outermost answer holds.
func exitCode(err error) int {
	code := exitFailure
	visit(err, func(e error) bool {
		if c, ok := e.(interface{ ExitCode() int }); ok { // as package ort's errors have it
			code = c.ExitCode()
			return true
		}
		if s, ok := e.(interface{ Signal() os.Signal }); ok {
			if number, ok := s.Signal().(syscall.Signal); ok {
				code = exitSignal + int(number)
				return true
			}
		}
		for _, a := range answers {
			if a.says(e) {
				code = a.code
				return true
			}
		}
		return false
	})
	return code
}

// visit calls f for an error and all that it wraps, outermost first, until f is true.
func visit(err error, f func(error) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return visit(e.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if visit(inner, f) {
				return true
			}
		}
	}
	return false
}

// hintOf returns the outermost hint of an error, "" when there is none.
func hintOf(err error) (hint string) {
	visit(err, func(e error) bool {
		if h, ok := e.(interface{ Hint() string }); ok {
			hint = h.Hint()
		}
		return hint != ""
	})
	return hint
}

// cliError is an error that a command finds by itself.
type cliError struct {
	error
	hint  string
	usage bool
}

func (e *cliError) Unwrap() error  { return e.error }
func (e *cliError) Hint() string   { return e.hint }
func (e *cliError) Usage() bool    { return e.usage }
func (e *cliError) BadInput() bool { return !e.usage && !errors.As(e.error, new(*dataset.FaultError)) }

func usageErrorf(format string, args ...any) *cliError {
	return &cliError{error: fmt.Errorf(format, args...), usage: true}
}

func badInputf(format string, args ...any) *cliError {
	return &cliError{error: fmt.Errorf(format, args...)}
}

// badInput marks an error as caused by what the user gave, unless it says by itself
// what it is.
func badInput(err error) error {
	if err == nil || exitCode(err) != exitFailure {
		return err
	}
	return &cliError{error: err}
}

func (e *cliError) hinted(hint string) *cliError {
	e.hint = hint
	return e
}

// didYouMean hints at near matches, or says otherwise.
func (e *cliError) didYouMean(near []string, otherwise string) *cliError {
	if len(near) == 0 {
		return e.hinted(otherwise)
	}
	return e.hinted("did you mean " + strings.Join(near, ", ") + "?")
}

// interrupted is why a context ended when a signal ended it.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string     { return "interrupted by signal: " + i.signal.String() }
func (i interrupted) Signal() os.Signal { return i.signal }

// terminal is where a command reads and writes: results to out, all else to err.
type terminal struct {
	in       io.Reader
	out      io.Writer
	err      io.Writer
	json     bool            // results are JSON
	flags    map[string]bool // names of all commands' flags
	live     bool            // err is a terminal: bars move
	colour   bool            // err may be coloured
	graceful atomic.Value    // a string: what the command does when it is asked to stop; unset: nothing
}

func newTerminal(in io.Reader, out, err io.Writer) *terminal {
	t := &terminal{flags: map[string]bool{}, in: in, out: &sink{w: out}, err: &sink{w: err}}
	t.live = isTerminal(err) && os.Getenv("TERM") != "dumb"
	t.colour = t.live && os.Getenv("NO_COLOR") == ""
	return t
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// termOf returns the terminal of a command's context.
func termOf(c *cli.Context) *terminal { return c.App.Metadata[terminalKey].(*terminal) }

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

// close reports output that could not be written; a reader that has gone, such
// as head, is no failure.
func (t *terminal) close(code int) int {
	if s, ok := t.out.(*sink); ok && s.err != nil && !errors.Is(s.err, syscall.EPIPE) && code == exitOK {
		return t.fail(fmt.Errorf("writing standard output: %w", s.err))
	}
	return code
}

// fail prints an error as one line, and its hint, and returns the exit code.
func (t *terminal) fail(err error) int {
	t.say(t.paint(red, "yolofreeze:")+" ", oneLine(err.Error()))
	if hint := hintOf(err); hint != "" {
		t.hint(hint)
	}
	return exitCode(err)
}

// logf prints a line to standard error.
func (t *terminal) logf(format string, args ...any) { t.say("", fmt.Sprintf(format, args...)) }

// say prints a line behind a label, the only part of it that may be coloured.
func (t *terminal) say(label, text string) { fmt.Fprintln(t.err, label+t.spelt(visible(text))) }

// warnf prints a warning of one line.
func (t *terminal) warnf(format string, args ...any) {
	t.say(t.paint(yellow, "warning:")+" ", oneLine(fmt.Sprintf(format, args...)))
}

// hint prints what the user may do.
func (t *terminal) hint(text string) { t.say(t.paint(cyan, "hint:")+" ", oneLine(text)) }

const (
	red    = "31"
	yellow = "33"
	cyan   = "36"
)

func (t *terminal) paint(colour, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// oneLine joins the lines of a message and drops control characters, which may
// come from a file's name or contents.
func oneLine(text string) string {
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

// result prints what a command found: v as one JSON object with --json, else
// what text writes.
func (t *terminal) result(v any, text func(io.Writer) error) error {
	if t.json {
		return t.writeJSON(v)
	}
	return text(printable{t.out})
}

// stream prints one object of many as a line, with --json only.
func (t *terminal) stream(v any) error {
	if !t.json {
		return nil
	}
	return t.writeJSON(v)
}

func (t *terminal) writeJSON(v any) error {
	e := json.NewEncoder(t.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result as JSON: %w", err)
	}
	return nil
}

// stopGracefully says that the command heeds its context: the first signal then
// only ends the context, and the command does how, such as saving its state.
func (t *terminal) stopGracefully(how string) { t.graceful.Store(how) }

// saving is what training does when it is asked to stop.
const saving = "finishing the step and saving"

// watchSignals ends the context at an interrupt, or the process when the command
// does not stop gracefully or is asked again.
func (t *terminal) watchSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		for {
			select {
			case s := <-signals:
				reason := interrupted{s}
				how := t.graceful.Load()
				if how == nil || ctx.Err() != nil {
					os.Exit(t.fail(reason))
				}
				t.warnf("%v: %s; once more leaves at once", reason, how)
				cancel(reason)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
