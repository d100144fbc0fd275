package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	"yolofreeze/onnx"
)

// storageClasses are the classes of PyTorch's storages by element type.
var storageClasses = map[onnx.DType]string{
	onnx.Float: "FloatStorage", onnx.Double: "DoubleStorage", onnx.Float16: "HalfStorage", onnx.BFloat16: "BFloat16Storage",
	onnx.Int8: "CharStorage", onnx.Uint8: "ByteStorage", onnx.Int16: "ShortStorage", onnx.Int32: "IntStorage", onnx.Int64: "LongStorage",
	onnx.Bool: "BoolStorage",
}

// What Encode writes beside nil, bool, int, int64, float64, string and *onnx.Tensor.
type (
	List  []any
	Tuple []any
	// Dict is a dict, in the order of its items.
	Dict []Item
	// Ordered is a collections.OrderedDict.
	Ordered []Item
	// Item is one of a Dict.
	Item struct {
		Key   string
		Value any
	}
	// Instance is one of a Python class, which is not called: State becomes its attributes.
	Instance struct {
		Module, Class string
		State         Dict
	}
	// Parameter is a torch.nn.Parameter.
	Parameter struct{ *onnx.Tensor }
	// NoItems is an empty set.
	NoItems struct{}
)

// EncodeState writes a state dict, an OrderedDict of tensors. torch.load reads it with
// weights_only=True. Equal tensors give equal bytes.
func EncodeState(tensors []NamedTensor) ([]byte, error) {
	all := make(Ordered, len(tensors))
	seen := map[string]bool{}
	for i, t := range tensors {
		if seen[t.Name] || t.Name == "" {
			return nil, fmt.Errorf("state dict: tensor %q is there twice, or has no name", t.Name)
		}
		seen[t.Name] = true
		all[i] = Item{t.Name, t.Tensor}
	}
	data, err := Encode(all)
	if err != nil {
		return nil, fmt.Errorf("state dict: %w", err)
	}
	return data, nil
}

// Encode writes a value as torch.save does: a zip archive of a pickle and of one record for
// each tensor, at addresses that are multiples of 64. Equal values give equal bytes.
func Encode(value any) ([]byte, error) {
	var p pickler
	p.raw(0x80, 2) // PROTO 2
	p.value("", value)
	p.raw('.') // stop
	if p.err != nil {
		return nil, p.err
	}
	a := records{}
	a.zip = zip.NewWriter(&a.buffer)
	a.record("data.pkl", p.Bytes())
	a.record("byteorder", []byte("little"))
	for i, t := range p.tensors {
		a.record(fmt.Sprintf("data/%d", i), t.Raw)
	}
	a.record("version", []byte("3\n"))
	if a.err == nil {
		a.err = a.zip.Close()
	}
	return a.buffer.Bytes(), a.err
}

// pickler writes the few opcodes of protocol 2 that these values need
// (CPython's Lib/pickletools.py).
type pickler struct {
	bytes.Buffer
	tensors []*onnx.Tensor // by the keys of their storages
	err     error
}

// value writes one; at names it in errors.
func (p *pickler) value(at string, v any) {
	switch v := v.(type) {
	case nil:
		p.raw('N')
	case bool:
		p.bool(v)
	case int:
		p.int(int64(v))
	case int64:
		p.int(v)
	case float64:
		p.raw('G')
		p.Write(binary.BigEndian.AppendUint64(nil, math.Float64bits(v)))
	case string:
		p.text(v)
	case List:
		p.raw(']')
		p.all(at, v, 'e')
	case []any:
		p.value(at, List(v))
	case Tuple:
		p.all(at, v, 't')
	case Dict:
		p.raw('}')
		p.items(at, v)
	case Ordered:
		p.ordered()
		p.items(at, v)
	case NoItems:
		p.global("__builtin__", "set") // as protocol 2 has it for either Python
		p.raw(']', 0x85, 'R')          // an empty list, the tuple of it, call
	case Instance:
		p.global(v.Module, v.Class)
		p.raw(')', 0x81) // empty tuple, new object
		p.value(at, v.State)
		p.raw('b') // build
	case *onnx.Tensor:
		p.tensor(at, v)
	case Parameter:
		p.global("torch._utils", "_rebuild_parameter")
		p.raw('(')
		p.tensor(at, v.Tensor)
		p.bool(false) // requires_grad, which YOLOv5 takes off what it has trained
		p.ordered()
		p.raw('t', 'R')
	default:
		p.fail("%s: a value of type %T has no form in a pickle", at, v)
	}
}

func (p *pickler) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// all writes a mark, values, and what takes them together.
func (p *pickler) all(at string, values []any, code byte) {
	p.raw('(')
	for _, v := range values {
		p.value(at, v)
	}
	p.raw(code)
}

func (p *pickler) items(at string, items []Item) {
	p.raw('(')
	for _, i := range items {
		p.text(i.Key)
		p.value(strings.TrimPrefix(at+"."+i.Key, "."), i.Value)
	}
	p.raw('u')
}

// ordered calls OrderedDict with nothing.
func (p *pickler) ordered() {
	p.global("collections", "OrderedDict")
	p.raw(')', 'R')
}

func (p *pickler) bool(v bool) {
	if v {
		p.raw(0x88)
	} else {
		p.raw(0x89)
	}
}

func (p *pickler) raw(code ...byte) { p.Write(code) }

func (p *pickler) global(module, name string) { fmt.Fprintf(p, "c%s\n%s\n", module, name) }

func (p *pickler) text(s string) {
	p.raw('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
}

func (p *pickler) int(n int64) {
	switch {
	case n >= 0 && n < 1<<8:
		p.raw('K', byte(n))
	case n >= 0 && n < 1<<31:
		p.raw('J')
		p.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	default:
		p.raw(0x8a, 8)
		p.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
}

func (p *pickler) ints(list []int64) {
	p.raw('(')
	for _, n := range list {
		p.int(n)
	}
	p.raw('t')
}

// tensor calls torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks).
func (p *pickler) tensor(at string, t *onnx.Tensor) {
	class, ok := storageClasses[t.DType]
	if !ok {
		p.fail("tensor %s: PyTorch has no storage for %v", at, t.DType)
	}
	p.global("torch._utils", "_rebuild_tensor_v2")
	p.raw('(', '(')
	p.text("storage")
	p.global("torch", class)
	p.text(fmt.Sprint(len(p.tensors)))
	p.tensors = append(p.tensors, t)
	p.text("cpu")
	p.int(onnx.NumElements(t.Shape))
	p.raw('t', 'Q') // the persistent id of the storage
	p.int(0)
	strides, step := make([]int64, len(t.Shape)), int64(1)
	for i := len(t.Shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= t.Shape[i]
	}
	p.ints(t.Shape)
	p.ints(strides)
	p.bool(false)
	p.ordered()
	p.raw('t', 'R')
}

// records is a zip file of uncompressed records in the making.
type records struct {
	buffer bytes.Buffer
	zip    *zip.Writer
	err    error
}

// record appends one at a multiple of 64 bytes, padded as PyTorch pads: by an
// extra field called FB.
func (a *records) record(name string, data []byte) {
	if a.err != nil {
		return
	}
	if a.err = a.zip.Flush(); a.err != nil {
		return
	}
	h := &zip.FileHeader{Name: "archive/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))}
	const local, field = 30, 4
	pad := -(a.buffer.Len() + local + len(h.Name) + field) & 63
	h.Extra = append([]byte{'F', 'B', byte(pad), 0}, bytes.Repeat([]byte{'Z'}, pad)...)
	w, err := a.zip.CreateRaw(h)
	if err == nil {
		_, err = w.Write(data)
	}
	a.err = err
}
