package finetune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
)

// Files of a feature cache's folder. The index is written last: a folder
// without it is not finished.
const (
	featureData  = "features.bin"
	featureIndex = "index.safetensors"
)

// featureLayout says how records lie in the data: one for each view of each
// picture, the views one after the other; a record holds the layers' outputs in order.
type featureLayout struct {
	Layers  []int   `json:"layers"`
	Bytes   []int64 `json:"bytes"` // of each layer's output
	Views   int     `json:"views"`
	Images  int     `json:"images"`
	Classes int     `json:"classes"`
}

func (l featureLayout) record() (bytes int64) {
	for _, n := range l.Bytes {
		bytes += n
	}
	return bytes
}

func (l featureLayout) records() int { return l.Views * l.Images }
func (l featureLayout) total() int64 { return l.record() * int64(l.records()) }

// featureWriter fills a folder that takes its place when all is there.
type featureWriter struct {
	featureLayout
	dir, temp string
	file      *os.File
	done      func()
	there     []uint8 // 0 of pictures that could not be read
	sums      []int64
	targets   [][]loader.Target
}

func newFeatureWriter(dir string, l featureLayout) (*featureWriter, error) {
	if err := disk.Private(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	temp, done, err := disk.Stage(filepath.Join(filepath.Dir(dir), featureStage), 0o700)
	if err != nil {
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	n := l.records()
	w := &featureWriter{featureLayout: l, dir: dir, temp: temp, done: done, there: make([]uint8, n), sums: make([]int64, n), targets: make([][]loader.Target, n)}
	if w.file, err = os.Create(filepath.Join(temp, featureData)); err == nil {
		err = w.file.Truncate(l.total())
	}
	if err != nil {
		w.abandon()
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	return w, nil
}

// featureStage is what the names of folders that are being filled begin with.
const featureStage = "writing-"

// sweepFeatures removes what killed runs left half written, and returns the bytes of what
// others are writing.
func sweepFeatures() (busy int64) {
	for _, path := range disk.Sweep(filepath.Join(featureFolder(), featureStage)) {
		if info, err := os.Stat(filepath.Join(path, featureData)); err == nil {
			busy += info.Size()
		}
	}
	for _, path := range disk.Glob(featureFolder(), "validation-*.bin") { // where the system let none be removed at once
		os.Remove(path)
	}
	return busy
}

// put writes one view of a picture: each layer's output, and the picture's objects.
func (w *featureWriter) put(view, picture int, outputs [][]byte, targets []loader.Target) error {
	i := view*w.Images + picture
	at, sum := int64(i)*w.record(), uint32(0)
	for _, out := range outputs {
		if _, err := w.file.WriteAt(out, at); err != nil {
			return fmt.Errorf("write the feature cache: %w", err)
		}
		at += int64(len(out))
		sum = crc32.Update(sum, castagnoli, out)
	}
	w.there[i], w.sums[i], w.targets[i] = 1, int64(sum), targets
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// finish writes the index and gives the folder its name.
func (w *featureWriter) finish() error {
	first, class, box := []int64{0}, []int64{}, []float32{}
	for _, list := range w.targets {
		for _, t := range list {
			class, box = append(class, int64(t.Class)), append(box, t.X, t.Y, t.W, t.H)
		}
		first = append(first, int64(len(class)))
	}
	layout, err := json.Marshal(w.featureLayout)
	if err != nil {
		return err
	}
	n := int64(len(class))
	index := &safetensors.File{Metadata: map[string]string{"layout": string(layout)}, Tensors: map[string]*onnx.Tensor{
		"there": onnx.Of(w.there, int64(len(w.there))), "sums": onnx.Of(w.sums, int64(len(w.sums))),
		"first": onnx.Of(first, int64(len(first))), "class": onnx.Of(class, n), "box": onnx.Of(box, n, 4)}}
	index.Metadata[sumKey] = contentSum(index)
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return fmt.Errorf("write the feature cache: %w", err)
	}
	if err := safetensors.Write(filepath.Join(w.temp, featureIndex), index); err != nil {
		return err
	}
	if err := os.Rename(w.temp, w.dir); err != nil && !disk.IsFile(filepath.Join(w.dir, featureIndex)) { // which another run made meanwhile
		return fmt.Errorf("write the feature cache: %w", err)
	}
	w.done()
	return nil
}

// abandon removes what was written so far.
func (w *featureWriter) abandon() {
	w.file.Close()
	w.done()
}

// damagedError says that a cache is not what was written; it is made again.
type damagedError struct{ dir, reason string }

func (e *damagedError) Error() string { return e.dir + ": " + e.reason }

// featureStore is a finished cache. Its data are read, not mapped: what is read of a file that
// somebody cuts short is an error, what is mapped ends the process.
type featureStore struct {
	featureLayout
	path    string
	data    *os.File
	there   []uint8
	sums    []int64
	targets [][]loader.Target
}

// openFeatures opens a finished cache of the given layout: a *damagedError where it is not whole.
func openFeatures(dir string, l featureLayout) (*featureStore, error) {
	damaged := func(format string, args ...any) error { return &damagedError{dir, fmt.Sprintf(format, args...)} }
	path := filepath.Join(dir, featureIndex)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	index, err := safetensors.Read(path)
	if err != nil {
		return nil, damaged("%v", err)
	}
	s := &featureStore{featureLayout: l, path: filepath.Join(dir, featureData)}
	want, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	if got := index.Metadata["layout"]; got != string(want) {
		return nil, damaged("the layout is %.200q, not %s", got, want)
	}
	if index.Metadata[sumKey] != contentSum(index) {
		return nil, damaged("%s does not have its checksum", featureIndex)
	}
	n := l.records()
	there, sums, first, class, box := index.Tensors["there"], index.Tensors["sums"], index.Tensors["first"], index.Tensors["class"], index.Tensors["box"]
	if there == nil || sums == nil || first == nil || class == nil || box == nil || there.DType != onnx.Uint8 || len(there.Raw) != n || sums.DType != onnx.Int64 || len(sums.Raw) != 8*n ||
		first.DType != onnx.Int64 || len(first.Raw) != 8*(n+1) || class.DType != onnx.Int64 || box.DType != onnx.Float || len(box.Raw) != 2*len(class.Raw) {
		return nil, damaged("the index lacks tensors")
	}
	s.there, s.sums = onnx.Data[uint8](there), onnx.Data[int64](sums)
	if s.targets, err = unflatten(onnx.Data[int64](first), onnx.Data[int64](class), onnx.Data[float32](box), l.Classes); err != nil {
		return nil, damaged("the index: %v", err)
	}
	var size int64
	if s.data, size, err = disk.Open(s.path, math.MaxInt64); err != nil {
		return nil, damaged("%v", err)
	}
	if size != l.total() {
		s.close()
		return nil, damaged("%s has %d bytes, not %d", featureData, size, l.total())
	}
	now := time.Now()
	os.Chtimes(path, now, now) // as used: failure only makes it older
	return s, nil
}

// verify reads all records and holds them against their checksums.
func (s *featureStore) verify(ctx context.Context) error {
	record := make([]byte, s.record())
	for i, there := range s.there {
		if err := ctx.Err(); err != nil {
			return err
		}
		if there == 0 {
			continue
		}
		if err := s.read(i, [][]byte{record}); err != nil {
			return &damagedError{filepath.Dir(s.path), disk.Cause(err).Error()}
		}
	}
	return nil
}

func unflatten(first, class []int64, box []float32, classes int) ([][]loader.Target, error) {
	lists := make([][]loader.Target, len(first)-1)
	for i := range lists {
		from, to := first[i], first[i+1]
		if from < 0 || to < from || to > int64(len(class)) {
			return nil, fmt.Errorf("record %d has objects %d to %d of %d", i, from, to, len(class))
		}
		for k := from; k < to; k++ {
			if class[k] < 0 || class[k] >= int64(classes) {
				return nil, fmt.Errorf("object %d is of class %d of %d", k, class[k], classes)
			}
			for _, v := range box[4*k : 4*k+4] {
				if !(v >= 0 && v <= 1) {
					return nil, fmt.Errorf("object %d has the box %v", k, box[4*k:4*k+4])
				}
			}
			lists[i] = append(lists[i], loader.Target{Class: int32(class[k]), X: box[4*k], Y: box[4*k+1], W: box[4*k+2], H: box[4*k+3]})
		}
	}
	return lists, nil
}

// read copies a record into one place for each layer.
func (s *featureStore) read(record int, to [][]byte) error {
	at, sum := int64(record)*s.record(), uint32(0)
	for _, part := range to {
		if _, err := s.data.ReadAt(part, at); err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		at += int64(len(part))
		sum = crc32.Update(sum, castagnoli, part)
	}
	if int64(sum) != s.sums[record] {
		return &disk.InputError{Path: s.path, Err: fmt.Errorf("record %d has checksum %08x, not %08x; remove the folder: it is made again", record, sum, s.sums[record])}
	}
	return nil
}

func (s *featureStore) close() {
	if s != nil && s.data != nil {
		s.data.Close()
	}
}
