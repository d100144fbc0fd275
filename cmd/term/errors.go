package term

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"yolofreeze/onnx/disk"
)

// Exit codes of the command line's contract; ExitCodes says what they mean.
const (
	ExitOK = iota
	ExitFailure
	ExitUsage
	ExitBadInput
	ExitUnavailable
	ExitNonFinite
	ExitSignal = 128
)

// ExitCodes are all that a command may end with.
var ExitCodes = []struct {
	Code  int
	Means string
}{
	{ExitOK, "done"},
	{ExitFailure, "failed for another reason than these"},
	{ExitUsage, "what was asked for cannot be read, or makes no sense"},
	{ExitBadInput, "a model file, data, labels or a configuration is bad"},
	{ExitUnavailable, "the runtime library or a device is missing or unfit"},
	{ExitNonFinite, "the loss became infinite or no number"},
	{ExitSignal + int(syscall.SIGINT), "interrupted (143: terminated); a run has saved its state"},
}

// ExitCode is the one place that says which error ends the process with which code. What
// happened goes before whom it is blamed on, wherever in the chain either stands: a
// signal, a device or numbers; then a fault of the system; then what the outermost error
// that knows says of itself; then what a command says of one that does not (BadInput).
func ExitCode(err error) int {
	code, denied, marked := ExitFailure, false, false
	if visit(err, func(e error) bool { return happened(e, &code) }) || disk.Fault(err) {
		return code
	}
	if visit(err, func(e error) bool {
		if _, ok := e.(*unsure); ok {
			marked = true
			return false
		}
		if u, ok := e.(interface{ Usage() bool }); ok && u.Usage() {
			code = ExitUsage
			return true
		}
		b, ok := e.(interface{ BadInput() bool })
		if ok && b.BadInput() {
			code = ExitBadInput
		}
		denied = denied || ok && !b.BadInput()
		return code == ExitBadInput
	}) {
		return code
	}
	if marked && !denied {
		return ExitBadInput
	}
	return ExitFailure
}

// happened reads what an error says of the machine and the numbers.
func happened(e error, code *int) bool {
	if c, ok := e.(interface{ ExitCode() int }); ok { // as package ort's errors have it
		*code = c.ExitCode()
		return true
	}
	if s, ok := e.(interface{ Signal() os.Signal }); ok {
		if number, ok := s.Signal().(syscall.Signal); ok {
			*code = ExitSignal + int(number)
			return true
		}
	}
	if a, ok := e.(interface{ NonFinite() bool }); ok && a.NonFinite() {
		*code = ExitNonFinite
		return true
	}
	if a, ok := e.(interface{ Unavailable() bool }); ok && a.Unavailable() {
		*code = ExitUnavailable
		return true
	}
	return false
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

// Error is an error that a command finds by itself.
type Error struct {
	error
	hint  string
	usage bool
}

func (e *Error) Unwrap() error  { return e.error }
func (e *Error) Hint() string   { return e.hint }
func (e *Error) Usage() bool    { return e.usage }
func (e *Error) BadInput() bool { return !e.usage }

// Usagef is an error of what was asked for.
func Usagef(format string, args ...any) *Error {
	return &Error{error: fmt.Errorf(format, args...), usage: true}
}

// BadInputf is an error of what was given.
func BadInputf(format string, args ...any) *Error {
	return &Error{error: fmt.Errorf(format, args...)}
}

// unsure marks an error that is bad input unless it says otherwise.
type unsure struct{ error }

func (e *unsure) Unwrap() error { return e.error }

// BadInput marks an error as caused by what the user gave, unless it says by itself
// what it is (see ExitCode).
func BadInput(err error) error {
	if err == nil {
		return nil
	}
	return &unsure{err}
}

// Hinted adds what the user may do.
func (e *Error) Hinted(hint string) *Error {
	e.hint = hint
	return e
}

// DidYouMean hints at near matches, or says otherwise.
func (e *Error) DidYouMean(near []string, otherwise string) *Error {
	if len(near) == 0 {
		return e.Hinted(otherwise)
	}
	return e.Hinted("did you mean " + strings.Join(near, ", ") + "?")
}
