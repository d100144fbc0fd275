package ref

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

// call is a node at work: its attributes and the arrays of its inputs, nil where one is omitted.
type call struct {
	*onnx.Node
	opset int64
	in    []*Array
}

// refusal is what kernels panic with and Eval turns into an error, so that formulas
// need no error paths. It never leaves the package.
type refusal struct{ err error }

func refuse(format string, args ...any) { panic(refusal{fmt.Errorf(format, args...)}) }

func need(ok bool, format string, args ...any) {
	if !ok {
		refuse(format, args...)
	}
}

// arg returns an input, nil when it is omitted.
func (c *call) arg(i int) *Array {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// has reports whether an input is there and not empty, which is how Resize omits some.
func (c *call) has(i int) bool {
	a := c.arg(i)
	return a != nil && len(a.Data) > 0
}

// ints reads an input as a list of integers.
func (c *call) ints(i int) []int64 {
	a := c.arg(i)
	need(a != nil, "input %d is missing", i)
	out := make([]int64, len(a.Data))
	for k, v := range a.Data {
		out[k] = toInt(v)
	}
	return out
}

// single reads an input of one element.
func (c *call) single(i int) float64 {
	a := c.arg(i)
	need(a != nil && len(a.Data) == 1, "input %d is not a single number", i)
	return a.Data[0]
}

// listArg reads a list that older opsets give as an attribute and newer ones as an
// input; nil when it is neither.
func (c *call) listArg(attr string, input int) []int64 {
	if v := c.Ints(attr, nil); v != nil {
		return v
	}
	if c.arg(input) == nil {
		return nil
	}
	return c.ints(input)
}

// axis returns the attribute "axis" counted from the front; last lets it be the rank itself.
func (c *call) axis(otherwise, rank int64) int64 {
	return wrap(c.Int("axis", otherwise), rank)
}

// wrap counts an axis from the front.
func wrap(axis, rank int64) int64 {
	need(axis >= -rank && axis < rank, "axis %d of an array of rank %d", axis, rank)
	if axis < 0 {
		return axis + rank
	}
	return axis
}

// wrapAll counts axes from the front and refuses repeated ones.
func wrapAll(axes []int64, rank int64) []int64 {
	out := make([]int64, 0, len(axes))
	for _, a := range axes {
		a = wrap(a, rank)
		need(!slices.Contains(out, a), "axis %d is given twice", a)
		out = append(out, a)
	}
	return out
}

// index counts an index of a dimension from the front.
func index(v float64, size int64) int64 {
	i := toInt(v)
	need(i >= -size && i < size, "index %d of a dimension of size %d", i, size)
	if i < 0 {
		return i + size
	}
	return i
}

// integers reports whether the node works on integers, as far as its values' types say.
func (c *call) integers() bool {
	for _, v := range slices.Concat(c.Outputs, c.Inputs) {
		if v == nil {
			continue
		}
		switch v.Type.DType {
		case onnx.Undefined:
			continue
		case onnx.Float, onnx.Double, onnx.Float16, onnx.BFloat16:
			return false
		}
		return true
	}
	return false
}
