package artifact

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"yolofreeze/onnx"
)

// flat reads a FlatBuffer (https://flatbuffers.dev/internals) that may be
// anything: every offset is held against the bounds, and vectors in it may take
// up no more than the file's size together. Tables are positions, 0 is none.
// The first error sticks.
type flat struct {
	data   []byte
	budget int // bytes that vectors may yet take
	err    error
}

func (f *flat) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf(format, args...)
	}
}

// within reports whether n bytes lie at a position.
func (f *flat) within(at, n int) bool {
	if f.err == nil && (at < 0 || n < 0 || at > len(f.data)-n) {
		f.fail("an offset points to byte %d of %d", at, len(f.data))
	}
	return f.err == nil
}

func (f *flat) uint16(at int) int {
	if !f.within(at, 2) {
		return 0
	}
	return int(binary.LittleEndian.Uint16(f.data[at:]))
}

func (f *flat) uint32(at int) int {
	if !f.within(at, 4) {
		return 0
	}
	return int(binary.LittleEndian.Uint32(f.data[at:]))
}

// indirect follows the offset at a position.
func (f *flat) indirect(at int) int { return at + f.uint32(at) }

// field finds a table's field by its number, 0 where the table has none.
func (f *flat) field(table, number int) int {
	vtable := table - int(int32(f.uint32(table)))
	if entry := 4 + 2*number; f.err == nil && entry+2 <= f.uint16(vtable) {
		if offset := f.uint16(vtable + entry); offset != 0 {
			return table + offset
		}
	}
	return 0
}

func (f *flat) int32(table, number int) int32 {
	at := f.field(table, number)
	if at == 0 {
		return 0
	}
	return int32(f.uint32(at))
}

func (f *flat) bool(table, number int) bool {
	at := f.field(table, number)
	return at != 0 && f.within(at, 1) && f.data[at] != 0
}

func (f *flat) table(table, number int) int {
	at := f.field(table, number)
	if at == 0 {
		return 0
	}
	return f.indirect(at)
}

// vector finds a vector's first element and their number.
func (f *flat) vector(table, number, size int) (at, n int) {
	if at = f.table(table, number); at == 0 {
		return 0, 0
	}
	n = f.uint32(at)
	if !f.within(at+4, 0) || n > (len(f.data)-at-4)/size {
		f.fail("a vector of %d elements at byte %d of %d", n, at, len(f.data))
		return 0, 0
	}
	if f.budget -= n * size; f.budget < 0 {
		f.fail("its vectors share their bytes")
		return 0, 0
	}
	return at + 4, n
}

func (f *flat) bytes(table, number int) []byte {
	at, n := f.vector(table, number, 1)
	if f.err != nil || at == 0 {
		return nil
	}
	return f.data[at : at+n : at+n]
}

func (f *flat) text(table, number int) string {
	text := f.bytes(table, number)
	if !utf8.Valid(text) {
		f.fail("the text %.100q is not UTF-8", text)
		return ""
	}
	return string(text)
}

func (f *flat) int64s(table, number int) []int64 {
	at, n := f.vector(table, number, 8)
	list := make([]int64, n)
	for i := range list {
		list[i] = int64(binary.LittleEndian.Uint64(f.data[at+8*i:]))
	}
	return list
}

// tables lists the positions of a vector of tables.
func (f *flat) tables(table, number int) []int {
	at, n := f.vector(table, number, 4)
	list := make([]int, n)
	for i := range list {
		list[i] = f.indirect(at + 4*i)
	}
	if f.err != nil {
		return nil
	}
	return list
}

// aligned returns the tensor, or a copy where its memory does not suit its elements.
func aligned(t *onnx.Tensor) *onnx.Tensor {
	if uintptr(unsafe.Pointer(unsafe.SliceData(t.Raw)))%uintptr(max(t.DType.Size(), 1)) == 0 {
		return t
	}
	return t.Clone()
}
