package artifact

import (
	"fmt"
	"maps"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"

	"yolofreeze/onnx"
)

// TrainingState is a checkpoint of ONNX Runtime's on-device training: a
// FlatBuffer of the schema
// onnxruntime/core/flatbuffers/schema/ort_training_checkpoint.fbs. The state of
// an optimizer in it is not read.
type TrainingState struct {
	Trainable, Frozen []NamedTensor
	Properties        map[string]string // strings of its property bag
}

// NamedTensor is a parameter.
type NamedTensor struct {
	Name   string
	Tensor *onnx.Tensor
}

const (
	odtcIdentifier = "ODTC"
	odtcVersion    = 2 // of ONNX Runtime 1.19
)

// IsTrainingState reports whether data begins as a checkpoint of on-device training does.
func IsTrainingState(data []byte) bool {
	return len(data) >= 8 && string(data[4:8]) == odtcIdentifier
}

// EncodeTrainingState returns a checkpoint's bytes, the same for the same content.
func EncodeTrainingState(s *TrainingState) ([]byte, error) {
	size := 1 << 12
	for _, t := range slices.Concat(s.Trainable, s.Frozen) {
		if t.Tensor.DType.Size() == 0 {
			return nil, fmt.Errorf("training state: tensor %s: no checkpoint holds %v", t.Name, t.Tensor.DType)
		}
		size += len(t.Tensor.Raw) + len(t.Name) + 128
	}
	if size >= 1<<31 { // offsets are of 31 bits
		return nil, fmt.Errorf("training state: %d bytes, a checkpoint holds less than 2 GiB", size)
	}
	w := odtcWriter{flatbuffers.NewBuilder(size)}
	trainable, frozen := w.tensors(s.Trainable), w.tensors(s.Frozen)
	module := w.table(4, func() {
		w.PrependUOffsetTSlot(0, trainable, 0)
		w.PrependUOffsetTSlot(1, frozen, 0)
		w.PrependBoolSlot(2, false, false)
	})
	var strings []flatbuffers.UOffsetT
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		key, value := w.CreateString(name), w.CreateString(s.Properties[name])
		strings = append(strings, w.table(2, func() {
			w.PrependUOffsetTSlot(0, key, 0)
			w.PrependUOffsetTSlot(1, value, 0)
		}))
	}
	list := w.vector(strings)
	bag := w.table(3, func() { w.PrependUOffsetTSlot(2, list, 0) })
	root := w.table(4, func() {
		w.PrependInt32Slot(0, odtcVersion, 0)
		w.PrependUOffsetTSlot(1, module, 0)
		w.PrependUOffsetTSlot(3, bag, 0)
	})
	w.FinishWithFileIdentifier(root, []byte(odtcIdentifier))
	return w.FinishedBytes(), nil
}

type odtcWriter struct{ *flatbuffers.Builder }

func (w odtcWriter) table(fields int, fill func()) flatbuffers.UOffsetT {
	w.StartObject(fields)
	fill()
	return w.EndObject()
}

func (w odtcWriter) vector(items []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	w.StartVector(4, len(items), 4)
	for _, item := range slices.Backward(items) {
		w.PrependUOffsetT(item)
	}
	return w.EndVector(len(items))
}

// tensors writes a vector of the schema's Tensor: name, doc_string, dims, data_type, raw_data, string_data.
func (w odtcWriter) tensors(list []NamedTensor) flatbuffers.UOffsetT {
	var items []flatbuffers.UOffsetT
	for _, t := range list {
		raw := w.CreateByteVector(t.Tensor.Raw)
		w.StartVector(8, len(t.Tensor.Shape), 8)
		for _, d := range slices.Backward(t.Tensor.Shape) {
			w.PrependInt64(d)
		}
		dims := w.EndVector(len(t.Tensor.Shape))
		name := w.CreateString(t.Name)
		items = append(items, w.table(6, func() {
			w.PrependUOffsetTSlot(0, name, 0)
			w.PrependUOffsetTSlot(2, dims, 0)
			w.PrependInt32Slot(3, int32(t.Tensor.DType), 0)
			w.PrependUOffsetTSlot(4, raw, 0)
		}))
	}
	return w.vector(items)
}

// DecodeTrainingState reads a checkpoint. Tensors share data's memory where its
// alignment allows.
func DecodeTrainingState(data []byte) (*TrainingState, error) {
	if !IsTrainingState(data) {
		return nil, fmt.Errorf("not a checkpoint of on-device training: no %s at byte 4", odtcIdentifier)
	}
	f := &flat{data: data, budget: len(data)}
	root := f.indirect(0)
	s := &TrainingState{Properties: map[string]string{}}
	if version := f.int32(root, 0); f.err == nil && version != odtcVersion && version != 1 {
		return nil, fmt.Errorf("version %d of the checkpoint is not known, %d is", version, odtcVersion)
	}
	module := f.table(root, 1)
	if f.err == nil && module == 0 {
		return nil, fmt.Errorf("the checkpoint has no module state")
	}
	if f.bool(module, 2) {
		return nil, fmt.Errorf("a nominal checkpoint: it has names without data")
	}
	if f.bool(module, 3) {
		return nil, fmt.Errorf("the checkpoint keeps its data in another file, which is not supported")
	}
	seen := map[string]bool{}
	s.Trainable = f.tensors(module, 0, seen)
	s.Frozen = f.tensors(module, 1, seen)
	if bag := f.table(root, 3); bag != 0 {
		for _, entry := range f.tables(bag, 2) {
			s.Properties[f.text(entry, 0)] = f.text(entry, 1)
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	return s, nil
}

// tensors reads a vector of tensors.
func (f *flat) tensors(table, field int, seen map[string]bool) (list []NamedTensor) {
	for _, at := range f.tables(table, field) {
		name, dtype := f.text(at, 0), onnx.DType(f.int32(at, 3))
		raw, dims := f.bytes(at, 4), f.int64s(at, 2)
		if f.err != nil {
			return nil
		}
		elements := int64(1)
		for _, d := range dims {
			if d < 0 || d > 0 && elements > int64(len(f.data))/d {
				f.fail("tensor %.100q has the shape %.100v", name, dims)
				return nil
			}
			elements *= d
		}
		switch size := int64(dtype.Size()); {
		case seen[name] || name == "":
			f.fail("tensor %.100q is there twice, or has no name", name)
		case size == 0:
			f.fail("tensor %.100q has elements of type %v", name, dtype)
		case elements*size != int64(len(raw)):
			f.fail("tensor %.100q: %d bytes for %v of %v", name, len(raw), dims, dtype)
		}
		seen[name] = true
		t := &onnx.Tensor{DType: dtype, Shape: dims, Raw: raw}
		list = append(list, NamedTensor{name, aligned(t)})
	}
	return list
}
