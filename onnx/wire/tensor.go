package wire

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
)

// tensorProto is a TensorProto as it stands in the file.
type tensorProto struct {
	name    string
	dtype   onnx.DType
	dims    []int64
	raw     []byte // nil when absent
	ints    []int64
	floats  []float32
	doubles []float64
}

func decodeTensor(f field) (string, *onnx.Tensor, error) {
	var p tensorProto
	if err := f.message(p.field); err != nil {
		return p.name, nil, fmt.Errorf("tensor %q: %w", p.name, err)
	}
	t, err := p.tensor()
	if err != nil {
		return p.name, nil, fmt.Errorf("tensor %q: %w", p.name, err)
	}
	return p.name, t, nil
}

func (p *tensorProto) field(f field) (err error) {
	switch f.num {
	case tensorName:
		p.name, err = f.str()
	case tensorDType:
		var v int64
		v, err = f.int()
		p.dtype = onnx.DType(v)
	case tensorDims:
		p.dims, err = f.ints(p.dims)
	case tensorRawData:
		p.raw, err = f.bytes()
	case tensorFloatData:
		p.floats, err = f.floats(p.floats)
	case tensorInt32Data, tensorInt64Data, tensorUint64Data:
		p.ints, err = f.ints(p.ints)
	case tensorDoubleData:
		p.doubles, err = f.doubles(p.doubles)
	case tensorDataLocation:
		var v int64
		if v, err = f.int(); v != 0 {
			err = &externalError{}
		}
	case tensorExternalData:
		var e entry
		if e, err = decodeEntry(f); err == nil {
			err = &externalError{entry: fmt.Sprintf(" (%s %q)", e.key, e.value)}
		}
	case tensorStringData:
		err = fmt.Errorf("tensors of strings are not supported")
	case tensorSegment:
		err = fmt.Errorf("tensors in segments are not supported")
	}
	return err
}

// tensor holds the data against type and shape before it takes any memory for them.
func (p *tensorProto) tensor() (*onnx.Tensor, error) {
	size := int64(p.dtype.Size())
	if size == 0 {
		return nil, fmt.Errorf("element type %v is not supported", p.dtype)
	}
	want, err := countElements(p.dims)
	if err != nil {
		return nil, err
	}
	if p.raw != nil {
		return p.fromRaw(want, size)
	}
	have := max(len(p.ints), len(p.floats), len(p.doubles))
	if want != int64(have) {
		return nil, fmt.Errorf("shape %v takes %d elements, the data has %d", p.dims, want, have)
	}
	t := onnx.NewTensor(p.dtype, p.dims...)
	if want == 0 {
		return t, nil
	}
	return t, p.fill(t)
}

// countElements multiplies dimensions, up to what a file of 2 GiB could hold.
func countElements(dims []int64) (int64, error) {
	n, empty := int64(1), false
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", dims)
		}
		empty = empty || d == 0
	}
	if empty {
		return 0, nil
	}
	for _, d := range dims {
		if d > maxBytes/n {
			return 0, fmt.Errorf("shape %v is too large", dims)
		}
		n *= d
	}
	return n, nil
}

func (p *tensorProto) fromRaw(want, size int64) (*onnx.Tensor, error) {
	if len(p.ints)+len(p.floats)+len(p.doubles) > 0 {
		return nil, fmt.Errorf("its data is given twice, as raw_data and by type")
	}
	if int64(len(p.raw)) != want*size {
		return nil, fmt.Errorf("%v of shape %v takes %d bytes, raw_data has %d", p.dtype, p.dims, want*size, len(p.raw))
	}
	t := onnx.NewTensor(p.dtype, p.dims...)
	copy(t.Raw, p.raw)
	if t.DType == onnx.Bool {
		for i, v := range t.Raw {
			if v > 1 {
				return nil, fmt.Errorf("element %d is %d, not a bool", i, v)
			}
		}
	}
	return t, nil
}

// fill writes the typed data, which stands in the field that TensorProto gives the type.
func (p *tensorProto) fill(t *onnx.Tensor) error {
	switch {
	case p.dtype == onnx.Float && p.floats != nil:
		copy(onnx.Data[float32](t), p.floats)
		return nil
	case p.dtype == onnx.Double && p.doubles != nil:
		copy(onnx.Data[float64](t), p.doubles)
		return nil
	case p.dtype == onnx.Float || p.dtype == onnx.Double || p.ints == nil:
		return fmt.Errorf("the data of a tensor of %v stands in the wrong field", p.dtype)
	}
	size := p.dtype.Size()
	for i, v := range p.ints {
		if !fits(v, p.dtype) {
			return fmt.Errorf("element %d, %d, is not a %v", i, v, p.dtype)
		}
		for k := range size {
			t.Raw[i*size+k] = byte(v >> (8 * k))
		}
	}
	return nil
}

// fits reports whether an integer of int32_data or int64_data is one of the type;
// of the types with 16-bit floats it carries the bits.
func fits(v int64, d onnx.DType) bool {
	switch d {
	case onnx.Bool:
		return v == 0 || v == 1
	case onnx.Int8:
		return v >= math.MinInt8 && v <= math.MaxInt8
	case onnx.Uint8:
		return v >= 0 && v <= math.MaxUint8
	case onnx.Int16:
		return v >= math.MinInt16 && v <= math.MaxInt16
	case onnx.Uint16, onnx.Float16, onnx.BFloat16:
		return v >= 0 && v <= math.MaxUint16
	case onnx.Int32:
		return v >= math.MinInt32 && v <= math.MaxInt32
	case onnx.Uint32:
		return v >= 0 && v <= math.MaxUint32
	}
	return true
}
