package torch

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
)

// Limits of one pickle. yolov5n with its EMA and its optimizer's state takes 90,000
// opcodes, 18,000 memo entries and 5 MB; the largest model about three times that.
const (
	maxOpcodes = 3_000_000
	maxStack   = 100_000
	maxMarks   = 1_000
	maxMemo    = 300_000
	maxMemory  = 40 << 20 // bytes of the values made, as charge estimates them
	maxLine    = 256
	maxLong    = 64
)

// machine runs a pickle. Its methods note the first error and then do nothing
// more, so that an opcode stays a line or two.
type machine struct {
	data  []byte
	at    int    // the next byte
	start int    // the current opcode
	name  string // the current opcode

	stack  []any
	marks  []int // heights of the stack, one for each open MARK
	memo   map[uint32]any
	count  int
	memory int64
	store  *store // where persistent ids lead; nil where none may occur
	err    error
}

// run executes data[at:] up to STOP and returns the pickled value; m.at is then
// the byte after STOP.
func (m *machine) run() (any, error) {
	m.memo, m.stack, m.marks = map[uint32]any{}, nil, nil
	for m.err == nil {
		m.start, m.name = m.at, "end of data"
		if m.at >= len(m.data) {
			m.corrupt("no STOP")
			break
		}
		if m.count++; m.count > maxOpcodes {
			m.limit("opcodes", maxOpcodes)
			break
		}
		code := m.data[m.at]
		m.at++
		m.name = opcodes[code].name
		if code == '.' {
			v := m.pop()
			if m.err == nil && len(m.stack)+len(m.marks) > 0 {
				m.corrupt("%d values left on the stack", len(m.stack)+len(m.marks))
			}
			return v, m.err
		}
		switch run := opcodes[code].run; {
		case run != nil:
			run(m)
		case m.name == "":
			m.failf("corrupt pickle at byte %d: unknown opcode 0x%02x", m.start, code)
		default:
			m.refuse("opcode %s", m.name)
		}
	}
	return nil, m.err
}

func (m *machine) failf(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}

func (m *machine) corrupt(format string, args ...any) {
	m.failf("corrupt pickle at byte %d: %s: %s", m.start, m.name, fmt.Sprintf(format, args...))
}

func (m *machine) refuse(format string, args ...any) {
	m.failf("refused: %s at byte %d", fmt.Sprintf(format, args...), m.start)
}

func (m *machine) limit(what string, n int) {
	m.failf("pickle at byte %d: more than %d %s", m.start, n, what)
}

// charge counts memory that the pickle makes the machine hold.
func (m *machine) charge(bytes int) {
	if m.memory += int64(bytes); m.memory > maxMemory {
		m.limit("bytes of values", maxMemory)
	}
}

// take returns the next n bytes, nil after an error.
func (m *machine) take(n uint64) []byte {
	if m.err != nil {
		return nil
	}
	if left := uint64(len(m.data) - m.at); n > left {
		m.corrupt("needs %d bytes, %d are left", n, left)
		return nil
	}
	b := m.data[m.at : m.at+int(n)]
	m.at += int(n)
	return b
}

// uint reads a little-endian unsigned number of the given width.
func (m *machine) uint(width int) uint64 {
	var wide [8]byte
	copy(wide[:], m.take(uint64(width)))
	return binary.LittleEndian.Uint64(wide[:])
}

// line reads up to the next newline, as the text opcodes do.
func (m *machine) line() string {
	rest := m.data[m.at:min(len(m.data), m.at+maxLine)]
	end := slices.Index(rest, '\n')
	if end < 0 {
		m.corrupt("no end of line within %d bytes", len(rest))
		return ""
	}
	m.at += end + 1
	return string(rest[:end])
}

func (m *machine) push(v any) {
	if m.err != nil {
		return
	}
	if len(m.stack) >= maxStack {
		m.limit("values on the stack", maxStack)
		return
	}
	m.stack = append(m.stack, v)
}

// floor is the height below which an opcode may not reach: that of the last MARK.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() any {
	v := m.top()
	if m.err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v
}

func (m *machine) top() any {
	if len(m.stack) <= m.floor() {
		m.corrupt("stack underflow")
	}
	if m.err != nil {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// popMark removes the values above the last MARK. They stay valid until the next push.
func (m *machine) popMark() []any {
	if len(m.marks) == 0 {
		m.corrupt("no MARK")
		return nil
	}
	height := m.floor()
	items := m.stack[height:]
	m.stack, m.marks = m.stack[:height], m.marks[:len(m.marks)-1]
	return items
}

func (m *machine) mark() {
	if len(m.marks) >= maxMarks {
		m.limit("open MARKs", maxMarks)
		return
	}
	m.marks = append(m.marks, len(m.stack))
}

// discard is POP, which also takes back a MARK that nothing follows.
func (m *machine) discard() {
	if len(m.marks) > 0 && len(m.stack) == m.floor() {
		m.marks = m.marks[:len(m.marks)-1]
		return
	}
	m.pop()
}

func (m *machine) put(id uint64) {
	v := m.top()
	if m.err != nil {
		return
	}
	if len(m.memo) >= maxMemo {
		m.limit("memo entries", maxMemo)
		return
	}
	m.memo[uint32(id)] = v
}

func (m *machine) get(id uint64) {
	v, ok := m.memo[uint32(id)]
	if !ok {
		m.corrupt("memo %d is empty", id)
		return
	}
	m.push(v)
}

// text pushes a string of n bytes. Python may have escaped a file name's stray
// bytes as lone surrogates, which UTF-8 does not know: those become U+FFFD.
func (m *machine) text(n uint64) {
	b := m.take(n)
	m.charge(len(b) + 16)
	if m.err == nil {
		m.push(strings.ToValidUTF8(string(b), "\uFFFD"))
	}
}

func (m *machine) bytes(n uint64) {
	b := m.take(n)
	m.charge(len(b) + 24)
	if m.err == nil {
		m.push(slices.Clone(b))
	}
}

// long pushes a little-endian two's complement number of n bytes.
func (m *machine) long(n uint64) {
	if n > maxLong {
		m.limit("bytes in an int", maxLong)
		return
	}
	b := slices.Clone(m.take(n))
	if m.err != nil {
		return
	}
	slices.Reverse(b)
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), 8*uint(len(b))))
	}
	if v.IsInt64() {
		m.push(v.Int64())
		return
	}
	m.charge(len(b) + 32)
	m.push(v)
}

func (m *machine) float() {
	b := m.take(8)
	if m.err == nil {
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
}

// tupleOf pushes a tuple of the top n values.
func (m *machine) tupleOf(n int) {
	if len(m.stack)-n < m.floor() {
		m.corrupt("stack underflow")
		return
	}
	items := slices.Clone(m.stack[len(m.stack)-n:])
	m.stack = m.stack[:len(m.stack)-n]
	m.charge(24 + 16*n)
	m.push(tuple(items))
}

func (m *machine) tupleFromMark() {
	items := m.popMark()
	m.charge(24 + 16*len(items))
	if m.err == nil {
		m.push(append(tuple{}, items...))
	}
}

// extend appends to the list on top of the stack.
func (m *machine) extend(items ...any) {
	l, ok := m.top().(*list)
	if !ok {
		m.corrupt("on %s, not a list", kind(m.top()))
		return
	}
	m.charge(16 * len(items))
	if m.err == nil {
		l.items = append(l.items, items...)
	}
}

// setItems stores keys and values, one after the other, in the dict on top of the stack.
func (m *machine) setItems(items ...any) {
	d, ok := m.top().(*dict)
	switch {
	case !ok:
		m.corrupt("on %s, not a dict", kind(m.top()))
		return
	case len(items)%2 != 0:
		m.corrupt("a key without a value")
		return
	}
	for i := 0; i < len(items) && m.err == nil; i += 2 {
		if !hashable(items[i]) {
			m.corrupt("%s cannot be a key", kind(items[i]))
			return
		}
		m.charge(96)
		d.set(items[i], items[i+1])
	}
}

func (m *machine) addItems(items []any) {
	s, ok := m.top().(*set)
	if !ok {
		m.corrupt("on %s, not a set", kind(m.top()))
		return
	}
	m.charge(16 * len(items))
	if m.err == nil {
		s.items = append(s.items, items...)
	}
}
