package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"yolofreeze/onnx"
)

// storageClasses are the classes of PyTorch's storages by element type.
var storageClasses = map[onnx.DType]string{
	onnx.Float: "FloatStorage", onnx.Double: "DoubleStorage", onnx.Float16: "HalfStorage", onnx.BFloat16: "BFloat16Storage",
	onnx.Int8: "CharStorage", onnx.Uint8: "ByteStorage", onnx.Int16: "ShortStorage", onnx.Int32: "IntStorage", onnx.Int64: "LongStorage",
	onnx.Bool: "BoolStorage",
}

// EncodeState writes a state dict, an OrderedDict of tensors, as torch.save
// does: a zip archive of a pickle and of one record for each tensor, at
// addresses that are multiples of 64. torch.load reads it with
// weights_only=True. Equal tensors give equal bytes.
func EncodeState(tensors []NamedTensor) ([]byte, error) {
	var p pickler
	p.raw(0x80, 2) // PROTO 2
	p.global("collections", "OrderedDict")
	p.raw(')', 'R', '(') // empty tuple, call, mark
	seen := map[string]bool{}
	for i, t := range tensors {
		class, ok := storageClasses[t.Tensor.DType]
		switch {
		case !ok:
			return nil, fmt.Errorf("state dict: tensor %s: PyTorch has no storage for %v", t.Name, t.Tensor.DType)
		case seen[t.Name] || t.Name == "":
			return nil, fmt.Errorf("state dict: tensor %q is there twice, or has no name", t.Name)
		}
		seen[t.Name] = true
		p.text(t.Name)
		p.tensor(fmt.Sprint(i), class, t.Tensor.Shape)
	}
	p.raw('u', '.') // set items, stop
	a := records{}
	a.zip = zip.NewWriter(&a.buffer)
	a.record("data.pkl", p.Bytes())
	a.record("byteorder", []byte("little"))
	for i, t := range tensors {
		a.record(fmt.Sprintf("data/%d", i), t.Tensor.Raw)
	}
	a.record("version", []byte("3\n"))
	if a.err == nil {
		a.err = a.zip.Close()
	}
	if a.err != nil {
		return nil, fmt.Errorf("state dict: %w", a.err)
	}
	return a.buffer.Bytes(), nil
}

// pickler writes the few opcodes of protocol 2 that a state dict needs
// (CPython's Lib/pickletools.py).
type pickler struct{ bytes.Buffer }

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
func (p *pickler) tensor(key, class string, shape []int64) {
	p.global("torch._utils", "_rebuild_tensor_v2")
	p.raw('(', '(')
	p.text("storage")
	p.global("torch", class)
	p.text(key)
	p.text("cpu")
	p.int(onnx.NumElements(shape))
	p.raw('t', 'Q') // the persistent id of the storage
	p.int(0)
	strides, step := make([]int64, len(shape)), int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= shape[i]
	}
	p.ints(shape)
	p.ints(strides)
	p.raw(0x89) // False
	p.global("collections", "OrderedDict")
	p.raw(')', 'R', 't', 'R')
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
