package features

import (
	"context"
	"encoding/json"
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
	DataFile  = "features.bin"
	IndexFile = "index.safetensors"
)

// SumKey is the entry of the index's metadata that holds its checksum.
const SumKey = "yolofreeze.sum"

// Layout says how records lie in the data: one for each view of each
// picture, the views one after the other; a record holds the layers' outputs in order.
type Layout struct {
	Layers  []int   `json:"layers"`
	Bytes   []int64 `json:"bytes"` // of each layer's output
	Views   int     `json:"views"`
	Images  int     `json:"images"`
	Classes int     `json:"classes"`
}

// Record is how many bytes a record has.
func (l Layout) Record() (bytes int64) {
	for _, n := range l.Bytes {
		bytes += n
	}
	return bytes
}

// Records is how many there are.
func (l Layout) Records() int { return l.Views * l.Images }

// Total is how many bytes all take.
func (l Layout) Total() int64 { return l.Record() * int64(l.Records()) }

// DamagedError says that a cache is not what was written; it is made again.
type DamagedError struct{ dir, reason string }

func (e *DamagedError) Error() string { return e.dir + ": " + e.reason }

// Store is a finished cache. Its data are read, not mapped: what is read of a file that
// somebody cuts short is an error, what is mapped ends the process.
type Store struct {
	Layout
	path    string
	data    *os.File
	there   []uint8
	sums    []int64
	targets [][]loader.Target
}

// Open opens a finished cache of the given layout: a *DamagedError where it is not whole.
func Open(dir string, l Layout) (*Store, error) {
	damaged := func(format string, args ...any) error { return &DamagedError{dir, fmt.Sprintf(format, args...)} }
	path := filepath.Join(dir, IndexFile)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	index, err := safetensors.Read(path)
	if err != nil {
		return nil, damaged("%v", err)
	}
	s := &Store{Layout: l, path: filepath.Join(dir, DataFile)}
	want, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	if got := index.Metadata["layout"]; got != string(want) {
		return nil, damaged("the layout is %.200q, not %s", got, want)
	}
	if index.Metadata[SumKey] != safetensors.Sum(index, SumKey) {
		return nil, damaged("%s does not have its checksum", IndexFile)
	}
	n := l.Records()
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
	if size != l.Total() {
		s.Close()
		return nil, damaged("%s has %d bytes, not %d", DataFile, size, l.Total())
	}
	now := time.Now()
	os.Chtimes(path, now, now) // as used: failure only makes it older
	return s, nil
}

// Verify reads all records and holds them against their checksums.
func (s *Store) Verify(ctx context.Context) error {
	record := make([]byte, s.Record())
	for i, there := range s.there {
		if err := ctx.Err(); err != nil {
			return err
		}
		if there == 0 {
			continue
		}
		if err := s.Read(i, [][]byte{record}); err != nil {
			return &DamagedError{filepath.Dir(s.path), disk.Cause(err).Error()}
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

// Read copies a record into one place for each layer.
func (s *Store) Read(record int, to [][]byte) error {
	at, sum := int64(record)*s.Record(), uint32(0)
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

// Has reports whether a record's picture could be read.
func (s *Store) Has(record int) bool { return s.there[record] != 0 }

// Targets are the objects of a record's picture.
func (s *Store) Targets(record int) []loader.Target { return s.targets[record] }

// Close closes the data.
func (s *Store) Close() {
	if s != nil && s.data != nil {
		s.data.Close()
	}
}
