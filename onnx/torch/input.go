package torch

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// input is a pickle's bytes, read from the front, and the first error, with the
// opcode that it came of.
type input struct {
	data  []byte
	at    int    // the next byte
	start int    // the current opcode
	name  string // the current opcode
	err   error
}

func (i *input) failf(format string, args ...any) {
	if i.err == nil {
		i.err = fmt.Errorf(format, args...)
	}
}

func (i *input) corrupt(format string, args ...any) {
	i.failf("corrupt pickle at byte %d: %s: %s", i.start, i.name, fmt.Sprintf(format, args...))
}

func (i *input) refuse(format string, args ...any) {
	i.failf("refused: %s at byte %d", fmt.Sprintf(format, args...), i.start)
}

func (i *input) limit(what string, n int) {
	i.failf("pickle at byte %d: more than %d %s", i.start, n, what)
}

// take returns the next n bytes, nil after an error.
func (i *input) take(n uint64) []byte {
	if i.err != nil {
		return nil
	}
	if left := uint64(len(i.data) - i.at); n > left {
		i.corrupt("needs %d bytes, %d are left", n, left)
		return nil
	}
	b := i.data[i.at : i.at+int(n)]
	i.at += int(n)
	return b
}

// uint reads a little-endian unsigned number of the given width.
func (i *input) uint(width int) uint64 {
	var wide [8]byte
	copy(wide[:], i.take(uint64(width)))
	return binary.LittleEndian.Uint64(wide[:])
}

// line reads up to the next newline, as the text opcodes do.
func (i *input) line() string {
	rest := i.data[i.at:min(len(i.data), i.at+maxLine)]
	end := slices.Index(rest, '\n')
	if end < 0 {
		i.corrupt("no end of line within %d bytes", len(rest))
		return ""
	}
	i.at += end + 1
	return string(rest[:end])
}
