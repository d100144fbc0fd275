package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// maxFile is far above yolov5x6 with the state of Adam and averages (about 2.3 GB).
const maxFile = 4 << 30

// Read reads a file whole. A file that breaks the format gives a *FormatError, what
// is no plain file a *disk.Error, one that cannot be opened or read the system's error.
func Read(path string) (*File, error) {
	data, err := disk.ReadJudged(path, maxFile, judge)
	bad := (*FormatError)(nil)
	if err != nil && !errors.As(err, &bad) {
		return nil, fmt.Errorf("read safetensors: %w", err)
	}
	var f *File
	if err == nil {
		f, err = Decode(data)
	}
	if errors.As(err, &bad) {
		bad.Path = path
	}
	return f, err
}

// judge checks all of a file but its tensors' bytes.
func judge(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 8))
	if _, err := r.ReadAt(head, 0); err != nil {
		return err
	}
	n, err := headerLength(head, size)
	if err != nil {
		return err
	}
	if n > 0 { // a header of 100 MB might be a hole
		if _, err := r.ReadAt(head[:1], 8); err != nil {
			return err
		}
		if head[0] != '{' {
			return noObject()
		}
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return err
	}
	h, err := parseHeader(text)
	if err != nil {
		return err
	}
	return checkCover(h.entries, size-8-n)
}

// headerLength reads the length that a file of size bytes begins with.
func headerLength(head []byte, size int64) (int64, error) {
	if len(head) < 8 {
		return 0, badf("%d bytes: too short for the 8-byte header length", len(head))
	}
	n := binary.LittleEndian.Uint64(head)
	if n > maxHeader {
		return 0, badf("header length %d exceeds the format's limit of %d", n, maxHeader)
	}
	if n > uint64(size-8) {
		return 0, badf("header length %d exceeds the %d bytes that follow it: the file is incomplete", n, size-8)
	}
	return int64(n), nil
}

// Decode reads a file's bytes. The tensors share data's memory where it is
// aligned for their elements. Errors are of type *FormatError.
func Decode(data []byte) (*File, error) {
	n, err := headerLength(data, int64(len(data)))
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(data[8 : 8+n])
	if err != nil {
		return nil, err
	}
	body := data[8+n:]
	if err := checkCover(h.entries, int64(len(body))); err != nil {
		return nil, err
	}
	f := &File{Metadata: h.metadata, Tensors: make(map[string]*onnx.Tensor, len(h.entries))}
	for i := range h.entries {
		e := &h.entries[i]
		raw := body[e.begin:e.end:e.end]
		if e.dtype == onnx.Bool {
			if at := slices.IndexFunc(raw, func(b byte) bool { return b > 1 }); at >= 0 {
				return nil, badf("tensor %q: bool element %d is %d, not 0 or 1", clip(e.name), at, raw[at])
			}
		}
		f.Names = append(f.Names, e.name)
		f.Tensors[e.name] = &onnx.Tensor{DType: e.dtype, Shape: e.shape, Raw: aligned(raw, e.dtype.Size())}
	}
	return f, nil
}

// checkCover refuses holes, overlaps and a body longer or shorter than its tensors.
func checkCover(entries []entry, body int64) error {
	order := make([]*entry, len(entries))
	for i := range entries {
		order[i] = &entries[i]
	}
	slices.SortStableFunc(order, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at := int64(0)
	for _, e := range order {
		switch want, ok := byteLen(e.dtype, e.shape); {
		case !ok:
			return badf("tensor %q: shape %v overflows", clip(e.name), e.shape)
		case e.end < e.begin:
			return badf("tensor %q: data_offsets [%d,%d] run backwards", clip(e.name), e.begin, e.end)
		case e.end-e.begin != want:
			return badf("tensor %q: data_offsets [%d,%d] hold %d bytes, %v of shape %v needs %d",
				clip(e.name), e.begin, e.end, e.end-e.begin, e.dtype, e.shape, want)
		case e.begin > at:
			return badf("tensor %q: hole of %d bytes before its data at offset %d", clip(e.name), e.begin-at, e.begin)
		case e.begin < at:
			return badf("tensor %q: data at offset %d overlaps the tensor before it, which ends at %d", clip(e.name), e.begin, at)
		case e.end > body:
			return badf("tensor %q: data ends at offset %d of %d: the file is incomplete", clip(e.name), e.end, body)
		}
		at = e.end
	}
	if at != body {
		return badf("%d bytes after the last tensor", body-at)
	}
	return nil
}

// aligned returns raw, or a copy of it when its address does not suit elements of the given size.
func aligned(raw []byte, size int) []byte {
	if uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%uintptr(size) == 0 {
		return raw
	}
	return slices.Clone(raw)
}
