package model

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// checked is the end of all ways to a model: whatever file it came from, its
// weights are finite and its names can be printed.
func checked(m *Model, err error) (*Model, error) {
	if err == nil {
		err = cmp.Or(CheckFinite(m.Path, m.State), CheckText(m.Path, m.Names))
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// CheckText refuses names of classes that would steer the terminal, or forge lines, when they are printed.
func CheckText(path string, names []string) error {
	for i, name := range names {
		if strings.ContainsFunc(name, unicode.IsControl) {
			return &disk.InputError{Path: path, Err: fmt.Errorf("class %d: %.60q is not a name: it holds control characters", i, name)}
		}
	}
	return nil
}

// CheckFinite names the first tensors that hold NaN or an infinity.
func CheckFinite(path string, named map[string]*onnx.Tensor) error {
	bad := ""
	count := 0
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if i := notFinite(named[name]); i >= 0 {
			if count++; count == 1 {
				bad = fmt.Sprintf("NaN or infinity in %s, element %d", name, i)
			}
		}
	}
	switch {
	case count == 0:
		return nil
	case count > 1:
		bad += fmt.Sprintf(", and in %d other tensors", count-1)
	}
	return &disk.InputError{Path: path, Err: fmt.Errorf("%s: such a model finds nothing and cannot train", bad)}
}

// notFinite is the index of the first element that is NaN or infinite, -1 where all are finite.
func notFinite(t *onnx.Tensor) int {
	switch t.DType {
	case onnx.Float:
		return slices.IndexFunc(onnx.Data[float32](t), func(v float32) bool { return v-v != 0 })
	case onnx.Double, onnx.Float16, onnx.BFloat16:
		return slices.IndexFunc(t.Float64s(), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	}
	return -1
}
