package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// Encode returns the file's bytes, the same for the same content.
//
// The header lists the tensors in the order of f.Names, or by name where Names
// is nil; the data lies by falling element size, so that every tensor is
// aligned, and in the header's order within one size.
func Encode(f *File) ([]byte, error) {
	l, err := layOut(f)
	if err != nil {
		return nil, fmt.Errorf("encode safetensors: %w", err)
	}
	var b bytes.Buffer
	b.Grow(int(l.size))
	err = l.writeTo(&b)
	return b.Bytes(), err
}

// Write replaces the file at path whole or, after an error, not at all.
func Write(path string, f *File) error {
	l, err := layOut(f)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := disk.Replace(path, l.writeTo); err != nil {
		return fmt.Errorf("write %s (%d bytes): %w", path, l.size, err)
	}
	return nil
}

// layout is a file ready to be written.
type layout struct {
	header []byte // with its length before it and padding after it
	data   []*onnx.Tensor
	size   int64
}

func (l *layout) writeTo(w io.Writer) error {
	if _, err := w.Write(l.header); err != nil {
		return err
	}
	for _, t := range l.data {
		if _, err := w.Write(t.Raw); err != nil {
			return err
		}
	}
	return nil
}

func layOut(f *File) (*layout, error) {
	names, err := checkedNames(f)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(names)
	slices.SortStableFunc(order, func(a, b string) int {
		return f.Tensors[b].DType.Size() - f.Tensors[a].DType.Size()
	})
	l := &layout{data: make([]*onnx.Tensor, len(order))}
	begin := make(map[string]int64, len(order))
	for i, name := range order {
		l.data[i], begin[name] = f.Tensors[name], l.size
		l.size += int64(len(f.Tensors[name].Raw))
	}
	if l.header, err = headerBytes(f, names, begin); err != nil {
		return nil, err
	}
	l.size += int64(len(l.header))
	return l, nil
}

// checkedNames returns the tensors' names in their order once each tensor is known to be writable.
func checkedNames(f *File) ([]string, error) {
	names := f.Names
	if names == nil {
		names = slices.Sorted(maps.Keys(f.Tensors))
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		t := f.Tensors[name]
		switch {
		case t == nil:
			return nil, fmt.Errorf("tensor %q is named but not given", name)
		case seen[name]:
			return nil, fmt.Errorf("tensor %q is named twice", name)
		case name == metadataKey || !utf8.ValidString(name):
			return nil, fmt.Errorf("tensor %q: not a name that the format can hold", name)
		case dtypeNames[t.DType] == "":
			return nil, fmt.Errorf("tensor %q: the format has no dtype for %v", name, t.DType)
		case len(t.Shape) > maxRank || slices.ContainsFunc(t.Shape, func(d int64) bool { return d < 0 }):
			return nil, fmt.Errorf("tensor %q: bad shape %v", name, t.Shape)
		}
		if n, ok := byteLen(t.DType, t.Shape); !ok || n != int64(len(t.Raw)) {
			return nil, fmt.Errorf("tensor %q: %v of shape %v does not hold %d bytes", name, t.DType, t.Shape, len(t.Raw))
		}
		seen[name] = true
	}
	if len(seen) != len(f.Tensors) {
		return nil, fmt.Errorf("%d tensors given, %d named", len(f.Tensors), len(seen))
	}
	return names, nil
}

func headerBytes(f *File, names []string, begin map[string]int64) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8))
	b.WriteByte('{')
	if len(f.Metadata) > 0 {
		writeString(b, metadataKey)
		b.WriteByte(':')
		for i, key := range slices.Sorted(maps.Keys(f.Metadata)) {
			value := f.Metadata[key]
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("metadata %q: not valid UTF-8", key)
			}
			b.WriteByte("{,"[min(i, 1)])
			writeString(b, key)
			b.WriteByte(':')
			writeString(b, value)
		}
		b.WriteByte('}')
	}
	for _, name := range names {
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		t := f.Tensors[name]
		writeString(b, name)
		shape, _ := json.Marshal(append([]int64{}, t.Shape...)) // a scalar's shape is [], never null
		fmt.Fprintf(b, `:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`,
			dtypeNames[t.DType], shape, begin[name], begin[name]+int64(len(t.Raw)))
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	n := b.Len() - 8
	if n > maxHeader || len(names) > maxTensors {
		return nil, fmt.Errorf("%d tensors with a header of %d bytes exceed the format's limits", len(names), n)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(n))
	return b.Bytes(), nil
}

// writeString appends a JSON string; <, > and & stay readable.
func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(s)             // a string in memory cannot fail
	b.Truncate(b.Len() - 1) // the encoder's newline
}
