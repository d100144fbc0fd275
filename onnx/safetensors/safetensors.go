package safetensors

import (
	"fmt"

	"yolofreeze/onnx"
)

// Limits on what a file may declare. The first is the specification's; the
// others keep a hostile header from costing many times its size in memory.
const (
	maxHeader  = 100_000_000
	maxTensors = 1 << 18
	maxRank    = 32
)

// metadataKey is the header entry that holds text instead of a tensor.
const metadataKey = "__metadata__"

// File is the content of a .safetensors file.
type File struct {
	Metadata map[string]string
	Names    []string // in the header's order, which is the data's in files of other writers
	Tensors  map[string]*onnx.Tensor
}

// FormatError says why bytes are not a valid .safetensors file.
type FormatError struct {
	Path   string // "" when the bytes came from memory
	Reason string
}

func (e *FormatError) Error() string {
	if e.Path == "" {
		return "safetensors: " + e.Reason
	}
	return e.Path + ": " + e.Reason
}

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *FormatError) BadInput() bool { return true }

func badf(format string, args ...any) error {
	return &FormatError{Reason: fmt.Sprintf(format, args...)}
}

var dtypes = map[string]onnx.DType{
	"BOOL": onnx.Bool, "U8": onnx.Uint8, "I8": onnx.Int8, "U16": onnx.Uint16, "I16": onnx.Int16,
	"F16": onnx.Float16, "BF16": onnx.BFloat16, "U32": onnx.Uint32, "I32": onnx.Int32, "F32": onnx.Float,
	"U64": onnx.Uint64, "I64": onnx.Int64, "F64": onnx.Double,
}

var dtypeNames = func() map[onnx.DType]string {
	names := make(map[onnx.DType]string, len(dtypes))
	for name, d := range dtypes {
		names[d] = name
	}
	return names
}()

// byteLen returns the bytes of a tensor, false when the product does not fit an int64.
func byteLen(d onnx.DType, shape []int64) (int64, bool) {
	const most = int64(^uint64(0) >> 1)
	n := int64(d.Size())
	empty := false
	for _, s := range shape {
		if s == 0 {
			empty = true
			continue
		}
		if n > most/s {
			return 0, false
		}
		n *= s
	}
	if empty {
		return 0, true
	}
	return n, true
}
