package torch

import (
	"fmt"

	"yolofreeze/onnx"
)

// numpyTypes are the element types by numpy's letter and size; "?" and b1 are bool.
var numpyTypes = map[string]onnx.DType{
	"f2": onnx.Float16, "f4": onnx.Float, "f8": onnx.Double,
	"i1": onnx.Int8, "i2": onnx.Int16, "i4": onnx.Int32, "i8": onnx.Int64,
	"u1": onnx.Uint8, "u2": onnx.Uint16, "u4": onnx.Uint32, "u8": onnx.Uint64,
	"b1": onnx.Bool, "?": onnx.Bool,
}

// numpyDType is a numpy.dtype of a plain number; its state says the byte order.
type numpyDType struct {
	dtype     onnx.DType
	bigEndian bool
}

func newNumpyDType(m *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no argument")
	}
	name, _ := args[0].(string)
	d, ok := numpyTypes[name]
	if !ok {
		return nil, fmt.Errorf("unsupported element type %s", quote(name))
	}
	return &numpyDType{dtype: d}, nil
}

func (d *numpyDType) setState(state any) error {
	s, ok := state.(tuple)
	if !ok || len(s) < 2 {
		return fmt.Errorf("numpy.dtype state is %s", kind(state))
	}
	d.bigEndian = s[1] == any(">")
	return nil
}

// newNumpyScalar returns an int64, float64 or bool.
func newNumpyScalar(m *machine, args tuple) (any, error) {
	if len(args) != 2 {
		return nil, fmt.Errorf("%d arguments, not 2", len(args))
	}
	a := &numpyArray{}
	if err := a.setState(tuple{int64(1), tuple{}, args[0], false, args[1]}); err != nil {
		return nil, err
	}
	return a.scalar()
}

// numpyArray is a numpy.ndarray. It is made empty and filled by its state.
type numpyArray struct{ tensor *onnx.Tensor }

func newNumpyArray(m *machine, args tuple) (any, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("%d arguments, not 3", len(args))
	}
	if g, ok := args[0].(*global); !ok || g.String() != "numpy.ndarray" {
		return nil, fmt.Errorf("reconstructs %s, not a numpy.ndarray", kind(args[0]))
	}
	return &numpyArray{}, nil
}

// setState takes (version, shape, dtype, is_fortran, bytes).
func (a *numpyArray) setState(state any) error {
	s, _ := state.(tuple)
	if len(s) != 5 {
		return fmt.Errorf("numpy.ndarray state is not a tuple of 5")
	}
	shape, ok1 := integers(s[1], maxRank)
	d, ok2 := s[2].(*numpyDType)
	raw, ok3 := s[4].([]byte)
	switch {
	case !ok1 || !ok2 || !ok3:
		return fmt.Errorf("numpy.ndarray state is not shape, dtype and bytes")
	case d.bigEndian:
		return fmt.Errorf("numpy.ndarray is big-endian, which is not supported")
	case s[3] == any(true) && len(shape) > 1:
		return fmt.Errorf("numpy.ndarray is column-major, which is not supported")
	}
	n, ok := elements(shape)
	if !ok || n > int64(len(raw)) || n*int64(d.dtype.Size()) != int64(len(raw)) {
		return fmt.Errorf("numpy.ndarray of shape %v and %v has %d bytes", shape, d.dtype, len(raw))
	}
	if err := checkBools(d.dtype, raw); err != nil {
		return err
	}
	t := &onnx.Tensor{DType: d.dtype, Shape: shape, Raw: raw}
	a.tensor = t.Clone()
	return nil
}

func (a *numpyArray) scalar() (any, error) {
	switch a.tensor.DType {
	case onnx.Float, onnx.Double, onnx.Float16:
		return a.tensor.Float64s()[0], nil
	case onnx.Bool:
		return a.tensor.Raw[0] == 1, nil
	}
	return a.tensor.Int64s()[0], nil
}

func (a *numpyArray) plain() (any, error) {
	switch {
	case a.tensor == nil:
		return nil, fmt.Errorf("a numpy.ndarray without state")
	case len(a.tensor.Shape) == 0:
		return a.scalar()
	}
	return a.tensor, nil
}
