package torch

import (
	"encoding/binary"
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

// machine runs a pickle: what its opcodes make of input and stack. Its methods do
// nothing after an error, so that an opcode stays a line or two.
type machine struct {
	stack
	count  int
	memory int64
	store  *store // where persistent ids lead; nil where none may occur
}

func newMachine(data []byte, s *store) *machine {
	return &machine{stack: stack{input: input{data: data}}, store: s}
}

// run executes data[at:] up to STOP and returns the pickled value; m.at is then
// the byte after STOP.
func (m *machine) run() (any, error) {
	m.memo, m.values, m.marks = map[uint32]any{}, nil, nil
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
			if m.err == nil && len(m.values)+len(m.marks) > 0 {
				m.corrupt("%d values left on the stack", len(m.values)+len(m.marks))
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

// charge counts memory that the pickle makes the machine hold.
func (m *machine) charge(bytes int) {
	if m.memory += int64(bytes); m.memory > maxMemory {
		m.limit("bytes of values", maxMemory)
	}
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
	if len(m.values)-n < m.floor() {
		m.corrupt("stack underflow")
		return
	}
	items := slices.Clone(m.values[len(m.values)-n:])
	m.values = m.values[:len(m.values)-n]
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
