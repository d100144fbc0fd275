package torch

import "fmt"

// opcode is one instruction; those without run are known and refused by name.
type opcode struct {
	name string
	run  func(m *machine)
}

// opcodes holds protocols 2 to 4 and those parts of 5 that need no second stream,
// named as CPython's pickletools names them. Text forms of protocol 0 and 1 that
// PyTorch never writes are refused, and so is every way to an object other than
// GLOBAL and STACK_GLOBAL.
var opcodes = [256]opcode{
	0x80: {"PROTO", (*machine).protocol},
	0x95: {"FRAME", func(m *machine) {
		if n := m.uint(8); n > uint64(len(m.data)-m.at) {
			m.corrupt("frame of %d bytes, %d are left", n, len(m.data)-m.at)
		}
	}},
	'.': {"STOP", nil},

	'N':  {"NONE", func(m *machine) { m.push(nil) }},
	0x88: {"NEWTRUE", func(m *machine) { m.push(true) }},
	0x89: {"NEWFALSE", func(m *machine) { m.push(false) }},
	'J':  {"BININT", func(m *machine) { m.push(int64(int32(m.uint(4)))) }},
	'K':  {"BININT1", func(m *machine) { m.push(int64(m.uint(1))) }},
	'M':  {"BININT2", func(m *machine) { m.push(int64(m.uint(2))) }},
	0x8a: {"LONG1", func(m *machine) { m.long(m.uint(1)) }},
	0x8b: {"LONG4", func(m *machine) { m.long(m.uint(4)) }},
	'G':  {"BINFLOAT", (*machine).float},

	'X':  {"BINUNICODE", func(m *machine) { m.text(m.uint(4)) }},
	0x8c: {"SHORT_BINUNICODE", func(m *machine) { m.text(m.uint(1)) }},
	0x8d: {"BINUNICODE8", func(m *machine) { m.text(m.uint(8)) }},
	'T':  {"BINSTRING", func(m *machine) { m.text(m.uint(4)) }},
	'U':  {"SHORT_BINSTRING", func(m *machine) { m.text(m.uint(1)) }},
	'B':  {"BINBYTES", func(m *machine) { m.bytes(m.uint(4)) }},
	'C':  {"SHORT_BINBYTES", func(m *machine) { m.bytes(m.uint(1)) }},
	0x8e: {"BINBYTES8", func(m *machine) { m.bytes(m.uint(8)) }},

	')':  {"EMPTY_TUPLE", func(m *machine) { m.push(tuple{}) }},
	0x85: {"TUPLE1", func(m *machine) { m.tupleOf(1) }},
	0x86: {"TUPLE2", func(m *machine) { m.tupleOf(2) }},
	0x87: {"TUPLE3", func(m *machine) { m.tupleOf(3) }},
	't':  {"TUPLE", (*machine).tupleFromMark},
	']':  {"EMPTY_LIST", func(m *machine) { m.charge(40); m.push(&list{}) }},
	'a':  {"APPEND", func(m *machine) { v := m.pop(); m.extend(v) }},
	'e':  {"APPENDS", func(m *machine) { items := m.popMark(); m.extend(items...) }},
	'}':  {"EMPTY_DICT", func(m *machine) { m.charge(80); m.push(&dict{}) }},
	's':  {"SETITEM", func(m *machine) { v := m.pop(); k := m.pop(); m.setItems(k, v) }},
	'u':  {"SETITEMS", func(m *machine) { items := m.popMark(); m.setItems(items...) }},
	0x8f: {"EMPTY_SET", func(m *machine) { m.charge(40); m.push(&set{}) }},
	0x90: {"ADDITEMS", func(m *machine) { items := m.popMark(); m.addItems(items) }},
	0x91: {"FROZENSET", func(m *machine) {
		items := m.popMark()
		m.charge(40 + 16*len(items))
		m.push(&set{append([]any{}, items...)})
	}},

	'(':  {"MARK", (*machine).mark},
	'0':  {"POP", (*machine).discard},
	'1':  {"POP_MARK", func(m *machine) { m.popMark() }},
	'2':  {"DUP", func(m *machine) { m.push(m.top()) }},
	'h':  {"BINGET", func(m *machine) { m.get(m.uint(1)) }},
	'j':  {"LONG_BINGET", func(m *machine) { m.get(m.uint(4)) }},
	'q':  {"BINPUT", func(m *machine) { m.put(m.uint(1)) }},
	'r':  {"LONG_BINPUT", func(m *machine) { m.put(m.uint(4)) }},
	0x94: {"MEMOIZE", func(m *machine) { m.put(uint64(len(m.memo))) }},

	'c':  {"GLOBAL", func(m *machine) { module := m.line(); m.global(module, m.line()) }},
	0x93: {"STACK_GLOBAL", (*machine).stackGlobal},
	'R':  {"REDUCE", (*machine).reduce},
	0x81: {"NEWOBJ", (*machine).newObject},
	'b':  {"BUILD", (*machine).build},
	'Q':  {"BINPERSID", (*machine).persistent},

	'i':  {"INST", func(m *machine) { module := m.line(); m.refuse("INST of %s", globalName(module, m.line())) }},
	'o':  {"OBJ", nil},
	0x92: {"NEWOBJ_EX", nil},
	0x82: {"EXT1", nil},
	0x83: {"EXT2", nil},
	0x84: {"EXT4", nil},
	'P':  {"PERSID", nil},
	0x96: {"BYTEARRAY8", nil},
	0x97: {"NEXT_BUFFER", nil},
	0x98: {"READONLY_BUFFER", nil},
	'I':  {"INT", nil},
	'L':  {"LONG", nil},
	'F':  {"FLOAT", nil},
	'S':  {"STRING", nil},
	'V':  {"UNICODE", nil},
	'l':  {"LIST", nil},
	'd':  {"DICT", nil},
	'g':  {"GET", nil},
	'p':  {"PUT", nil},
}

func (m *machine) protocol() {
	if v := m.uint(1); v > 5 {
		m.corrupt("unknown protocol %d", v)
	}
}

func (m *machine) stackGlobal() {
	name, ok1 := m.pop().(string)
	module, ok2 := m.pop().(string)
	if !ok1 || !ok2 {
		m.corrupt("module and name are not both str")
		return
	}
	m.global(module, name)
}

// global pushes a name of the allow-list.
func (m *machine) global(module, name string) {
	if m.err != nil {
		return
	}
	g := findGlobal(module, name)
	if g == nil {
		m.refuse("global %s%s", globalName(module, name), foreign(module))
		return
	}
	m.charge(160)
	m.push(g)
}

func (m *machine) reduce() {
	args, isTuple := m.pop().(tuple)
	f := m.pop()
	g, ok := f.(*global)
	switch {
	case m.err != nil:
	case !ok:
		m.corrupt("call of %s", kind(f))
	case !isTuple:
		m.corrupt("arguments of %v are not a tuple", g)
	case g.call == nil:
		m.refuse("call of %v", g)
	default:
		m.charge(64)
		v, err := g.call(m, args)
		if err != nil {
			m.corrupt("%v: %v", g, err)
			return
		}
		m.push(v)
	}
}

func (m *machine) newObject() {
	args, isTuple := m.pop().(tuple)
	c := m.pop()
	g, ok := c.(*global)
	switch {
	case m.err != nil:
	case !ok:
		m.corrupt("instance of %s", kind(c))
	case g.make == nil:
		m.refuse("instance of %v", g)
	case !isTuple || len(args) > 0:
		m.corrupt("instance of %v with arguments", g)
	default:
		m.charge(128)
		m.push(g.make())
	}
}

// build gives the value on top of the stack its state. Only inert objects take
// arbitrary attributes.
func (m *machine) build() {
	state := m.pop()
	target := m.top()
	if m.err != nil {
		return
	}
	var err error
	switch v := target.(type) {
	case *Object:
		err = v.setState(m, state)
	case *dict: // OrderedDict attributes, such as a state dict's _metadata: not needed
		if _, ok := state.(*dict); !ok {
			err = fmt.Errorf("state is %s", kind(state))
		}
	case *numpyDType:
		err = v.setState(state)
	case *numpyArray:
		err = v.setState(state)
	default:
		err = fmt.Errorf("%s takes no state", kind(target))
	}
	if err != nil {
		m.corrupt("%v", err)
	}
}

func (m *machine) persistent() {
	id, ok := m.pop().(tuple)
	switch {
	case m.err != nil:
	case !ok || m.store == nil:
		m.corrupt("unexpected persistent id")
	default:
		v, err := m.store.persistent(id)
		if err != nil {
			m.corrupt("%v", err)
			return
		}
		m.charge(128)
		m.push(v)
	}
}
