package torch

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"yolofreeze/onnx"
)

// maxRank is PyTorch's own limit on dimensions.
const maxRank = 64

// store hands out the storages that a pickle speaks of, and remembers every
// tensor made, so that none escapes the checks.
type store struct {
	// record returns a storage's bytes; nil where they are read after the pickle.
	record   func(key string) ([]byte, error)
	storages map[string]*storage
	order    []*storage // as the pickle names them
	tensors  []*tensor
	copies   int64 // bytes that tensors may yet take beside the records
	views    int64 // bytes of the records that tensors may yet show: each name makes work of them
}

// storage is a run of elements of one type.
type storage struct {
	key     string
	dtype   onnx.DType
	count   int64
	data    []byte
	problem error // why data cannot be used
}

// persistent resolves a persistent id: ("storage", class, key, location, count),
// in files before torch 1.6 with a view after it, or ("module", class, …) there.
func (s *store) persistent(id tuple) (any, error) {
	if len(id) > 1 && id[0] == any("module") {
		return id[1], nil
	}
	if len(id) < 5 || len(id) > 6 || id[0] != any("storage") {
		return nil, fmt.Errorf("persistent id is not that of a storage")
	}
	class, ok1 := id[1].(*global)
	key, ok2 := id[2].(string)
	count, ok3 := id[4].(int64)
	switch {
	case !ok1 || !class.storage || !ok2 || !ok3:
		return nil, fmt.Errorf("persistent id is not a storage class, key, location and count")
	case len(id) == 6 && id[5] != nil:
		return nil, fmt.Errorf("storage %s is a view of another, which is not supported", shown(key))
	case count < 0 || count > math.MaxInt64/8:
		return nil, fmt.Errorf("storage %s: impossible count %d", shown(key), count)
	}
	if old := s.storages[key]; old != nil {
		if old.dtype != class.dtype || old.count != count {
			return nil, fmt.Errorf("storage %s is %d %v here and %d %v before",
				shown(key), count, class.dtype, old.count, old.dtype)
		}
		return old, nil
	}
	st := &storage{key: key, dtype: class.dtype, count: count}
	if s.record != nil {
		data, err := s.record(key)
		st.fill(data, err)
	}
	s.storages[key], s.order = st, append(s.order, st)
	return st, nil
}

// fill checks the bytes against the declared size.
func (s *storage) fill(data []byte, err error) {
	want := s.count * int64(s.dtype.Size())
	switch {
	case err != nil:
		s.problem = err
	case int64(len(data)) != want:
		s.problem = fmt.Errorf("storage %s declares %d %v elements, %d bytes; its record has %d bytes",
			shown(s.key), s.count, s.dtype, want, len(data))
	default:
		s.data = data
	}
}

// tensor is a strided view of a storage; offset and stride count elements.
type tensor struct {
	store         *store
	storage       *storage
	dtype         onnx.DType
	offset        int64
	shape, stride []int64
	parameter     bool

	made    *onnx.Tensor
	problem error
}

// show counts a tensor's bytes once more: many tensors may share one storage, and many
// names one tensor, and whoever reads the state works on each.
func (t *tensor) show() error {
	n, _ := elements(t.shape)
	if t.store.views -= n * int64(t.dtype.Size()); t.store.views < 0 {
		return fmt.Errorf("tensors share storages so often that they are far larger than the file")
	}
	return nil
}

// rebuildTensor takes (storage, offset, size, stride, …).
func rebuildTensor(m *machine, args tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	st, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := integers(args[2], maxRank)
	stride, ok4 := integers(args[3], maxRank)
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) {
		return nil, fmt.Errorf("arguments are not a storage, an offset, a size and a stride")
	}
	t := &tensor{store: m.store, storage: st, dtype: st.dtype, offset: offset, shape: shape, stride: stride}
	return m.newTensor(t), nil
}

// rebuildTensorV3 takes (storage, offset, size, stride, requires_grad, hooks, dtype, …);
// the offset counts elements of dtype, the storage bytes.
func rebuildTensorV3(m *machine, args tuple) (any, error) {
	if len(args) < 7 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	g, ok := args[6].(*global)
	if !ok || g.dtype == onnx.Undefined || g.storage {
		return nil, fmt.Errorf("element type is %s", kind(args[6]))
	}
	v, err := rebuildTensor(m, args)
	if err != nil {
		return nil, err
	}
	t := v.(*tensor)
	t.dtype = g.dtype
	t.problem = t.check()
	return t, nil
}

// rebuildParameter takes (tensor, requires_grad, …).
func rebuildParameter(m *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("no argument")
	}
	t, ok := args[0].(*tensor)
	if !ok {
		return nil, fmt.Errorf("argument is %s, not a tensor", kind(args[0]))
	}
	t.parameter = true
	return t, nil
}

// rebuildFromType takes (function, class, arguments, attributes): a tensor that had
// attributes of its own, which are dropped.
func rebuildFromType(m *machine, args tuple) (any, error) {
	if len(args) != 4 {
		return nil, fmt.Errorf("%d arguments, not 4", len(args))
	}
	g, ok1 := args[0].(*global)
	inner, ok2 := args[2].(tuple)
	if !ok1 || !ok2 || g.module != "torch._utils" {
		return nil, fmt.Errorf("rebuilds by %s", kind(args[0]))
	}
	return g.call(m, inner)
}

func (m *machine) newTensor(t *tensor) *tensor {
	m.charge(128 + 16*len(t.shape))
	t.problem = t.check()
	if m.store != nil {
		m.store.tensors = append(m.store.tensors, t)
	}
	return t
}

// check compares size, stride and offset with the storage's declared size.
func (t *tensor) check() error {
	size := uint64(t.dtype.Size())
	have := uint64(t.storage.count) * uint64(t.storage.dtype.Size()) / size
	n, ok := elements(t.shape)
	if !ok || n > math.MaxInt64/8 {
		return fmt.Errorf("impossible size %v", t.shape)
	}
	if t.offset < 0 || slices.ContainsFunc(t.stride, func(s int64) bool { return s < 0 }) {
		return fmt.Errorf("negative offset or stride: offset %d, stride %v", t.offset, t.stride)
	}
	if n == 0 {
		return nil
	}
	last := uint64(t.offset)
	for i, d := range t.shape {
		high, step := bits.Mul64(uint64(d-1), uint64(t.stride[i]))
		sum, carry := bits.Add64(last, step, 0)
		if high+carry > 0 {
			return fmt.Errorf("size %v with stride %v at offset %d overflows", t.shape, t.stride, t.offset)
		}
		last = sum
	}
	if last >= have {
		return fmt.Errorf("size %v with stride %v at offset %d needs %d elements, storage %s declares %d",
			t.shape, t.stride, t.offset, last+1, shown(t.storage.key), have)
	}
	return nil
}

// get returns the tensor, row-major; it shares the record's memory where it lies
// there in that order and aligned.
func (t *tensor) get() (*onnx.Tensor, error) {
	switch {
	case t.made != nil:
		return t.made, nil
	case t.problem != nil:
		return nil, t.problem
	case t.storage.problem != nil:
		return nil, t.storage.problem
	}
	raw, err := t.raw()
	if err == nil {
		err = t.show()
	}
	if err == nil {
		err = checkBools(t.dtype, raw)
	}
	if err != nil {
		t.problem = err
		return nil, err
	}
	t.made = &onnx.Tensor{DType: t.dtype, Shape: t.shape, Raw: raw}
	return t.made, nil
}

func (t *tensor) raw() ([]byte, error) {
	size := int64(t.dtype.Size())
	n, _ := elements(t.shape)
	if n == 0 {
		return []byte{}, nil
	}
	if t.rowMajor() {
		raw := t.storage.data[t.offset*size : (t.offset+n)*size : (t.offset+n)*size]
		if uintptr(unsafe.Pointer(unsafe.SliceData(raw)))%uintptr(size) == 0 {
			return raw, nil
		}
	}
	if t.store.copies -= n * size; t.store.copies < 0 {
		return nil, fmt.Errorf("size %v takes %d bytes, too many for a file of this length", t.shape, n*size)
	}
	out := make([]byte, 0, n*size)
	return t.gather(out, t.offset, 0), nil
}

// rowMajor reports whether the elements lie in the order of a dense array.
func (t *tensor) rowMajor() bool {
	dense := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != dense {
			return false
		}
		dense *= t.shape[i]
	}
	return true
}

// gather appends the elements of the dimensions from dim on, which begin at offset.
func (t *tensor) gather(out []byte, offset int64, dim int) []byte {
	if dim == len(t.shape) {
		size := int64(t.dtype.Size())
		return append(out, t.storage.data[offset*size:(offset+1)*size]...)
	}
	for i := range t.shape[dim] {
		out = t.gather(out, offset+i*t.stride[dim], dim+1)
	}
	return out
}

// finish makes every tensor, also those that no module holds, so that a file is
// refused for any of them.
func (s *store) finish() error {
	for _, st := range s.order {
		if st.problem != nil {
			return st.problem
		}
	}
	for _, t := range s.tensors {
		if _, err := t.get(); err != nil {
			return fmt.Errorf("tensor in storage %s: %w", shown(t.storage.key), err)
		}
	}
	return nil
}

// elements returns the product of the dimensions, false where one is negative or
// the product of those above zero does not fit an int64.
func elements(shape []int64) (int64, bool) {
	n, empty := int64(1), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, false
		case d == 0:
			empty = true
		case n > math.MaxInt64/d:
			return 0, false
		default:
			n *= d
		}
	}
	if empty {
		n = 0
	}
	return n, true
}

// checkBools refuses bytes that are no bool: Go's bool has only two of them.
func checkBools(d onnx.DType, raw []byte) error {
	if d != onnx.Bool {
		return nil
	}
	if at := slices.IndexFunc(raw, func(b byte) bool { return b > 1 }); at >= 0 {
		return fmt.Errorf("bool element %d is %d", at, raw[at])
	}
	return nil
}
