package standin

import (
	"slices"
	"strconv"
	"strings"
)

// Call is one call of CUDA's libraries.
type Call struct {
	What     string // kernel, copy, set, reduce, execute, product, …: src writes them
	Fields   []string
	Captured bool // while a stream was being captured
}

// Trace are the calls of a process in their order.
type Trace []Call

func parse(text string) (t Trace) {
	for line := range strings.Lines(text) {
		rest, captured := strings.CutPrefix(strings.TrimSpace(line), "*")
		fields := strings.Fields(rest)
		if len(fields) > 0 {
			t = append(t, Call{fields[0], fields[1:], captured})
		}
	}
	return t
}

// Between returns the calls after one mark and before another.
func (t Trace) Between(from, to string) Trace {
	mark := func(t Trace, name string) int {
		return slices.IndexFunc(t, func(c Call) bool { return c.What == "mark" && c.Fields[0] == name })
	}
	start := mark(t, from)
	if start < 0 {
		return nil
	}
	rest := t[start+1:]
	end := mark(rest, to)
	if end < 0 {
		return nil
	}
	return rest[:end]
}

// Of returns the calls of a kind whose fields begin so after the first, which is the stream.
func (t Trace) Of(what string, fields ...string) (found Trace) {
	for _, c := range t {
		if c.What == what && (len(fields) == 0 || len(c.Fields) > len(fields) && slices.Equal(c.Fields[1:len(fields)+1], fields)) {
			found = append(found, c)
		}
	}
	return found
}

// launching are the kinds of calls that have the device do something.
var launching = []string{"kernel", "set", "reduce", "execute", "product", "transpose", "addtensor", "pool", "batchnorm", "lib", "graph"}

// Launches counts what the device is told to do one by one: kernels, the libraries'
// functions, copies within the device. Calls that are captured launch nothing yet.
func (t Trace) Launches() (n int) {
	for _, c := range t {
		if !c.Captured && slices.Contains(launching, c.What) {
			n++
		}
	}
	return n + len(t.Of("copy", "device", "device"))
}

// Copied counts copies between places (pageable, pinned, device) and their bytes.
func (t Trace) Copied(from, to string) (number int, bytes int64) {
	for _, c := range t.Of("copy", from, to) {
		number++
		n, _ := strconv.ParseInt(c.Fields[3], 10, 64)
		bytes += n
	}
	return number, bytes
}

// Streams lists the streams that kernels ran and copies were made on.
func (t Trace) Streams() (streams []string) {
	for _, c := range t {
		if (c.What == "kernel" || c.What == "copy") && !slices.Contains(streams, c.Fields[0]) {
			streams = append(streams, c.Fields[0])
		}
	}
	return streams
}
