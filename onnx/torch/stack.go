package torch

// stack holds the values that opcodes leave to later ones: on top of each other, or
// in the memo by number.
type stack struct {
	input
	values []any
	marks  []int // heights, one for each open MARK
	memo   map[uint32]any
}

func (s *stack) push(v any) {
	if s.err != nil {
		return
	}
	if len(s.values) >= maxStack {
		s.limit("values on the stack", maxStack)
		return
	}
	s.values = append(s.values, v)
}

// floor is the height below which an opcode may not reach: that of the last MARK.
func (s *stack) floor() int {
	if len(s.marks) == 0 {
		return 0
	}
	return s.marks[len(s.marks)-1]
}

func (s *stack) pop() any {
	v := s.top()
	if s.err == nil {
		s.values = s.values[:len(s.values)-1]
	}
	return v
}

func (s *stack) top() any {
	if len(s.values) <= s.floor() {
		s.corrupt("stack underflow")
	}
	if s.err != nil {
		return nil
	}
	return s.values[len(s.values)-1]
}

// popMark removes the values above the last MARK. They stay valid until the next push.
func (s *stack) popMark() []any {
	if len(s.marks) == 0 {
		s.corrupt("no MARK")
		return nil
	}
	height := s.floor()
	items := s.values[height:]
	s.values, s.marks = s.values[:height], s.marks[:len(s.marks)-1]
	return items
}

func (s *stack) mark() {
	if len(s.marks) >= maxMarks {
		s.limit("open MARKs", maxMarks)
		return
	}
	s.marks = append(s.marks, len(s.values))
}

// discard is POP, which also takes back a MARK that nothing follows.
func (s *stack) discard() {
	if len(s.marks) > 0 && len(s.values) == s.floor() {
		s.marks = s.marks[:len(s.marks)-1]
		return
	}
	s.pop()
}

func (s *stack) put(id uint64) {
	v := s.top()
	if s.err != nil {
		return
	}
	if len(s.memo) >= maxMemo {
		s.limit("memo entries", maxMemo)
		return
	}
	s.memo[uint32(id)] = v
}

func (s *stack) get(id uint64) {
	v, ok := s.memo[uint32(id)]
	if !ok {
		s.corrupt("memo %d is empty", id)
		return
	}
	s.push(v)
}
