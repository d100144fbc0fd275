package features

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"yolofreeze/dataset/loader"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
)

// Writer fills a folder that takes its place when all is there.
type Writer struct {
	Layout
	dir, temp string
	file      *os.File
	done      func()
	there     []uint8 // 0 of pictures that could not be read
	sums      []int64
	targets   [][]loader.Target
}

// Create begins a cache in the place dir.
func Create(dir string, l Layout) (*Writer, error) {
	if err := disk.Private(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	temp, done, err := disk.Stage(filepath.Join(filepath.Dir(dir), staged), 0o700)
	if err != nil {
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	n := l.Records()
	w := &Writer{Layout: l, dir: dir, temp: temp, done: done, there: make([]uint8, n), sums: make([]int64, n), targets: make([][]loader.Target, n)}
	if w.file, err = os.Create(filepath.Join(temp, DataFile)); err == nil {
		err = w.file.Truncate(l.Total())
	}
	if err != nil {
		w.Abandon()
		return nil, fmt.Errorf("make the feature cache: %w", err)
	}
	return w, nil
}

// Put writes one view of a picture: each layer's output, and the picture's objects.
func (w *Writer) Put(view, picture int, outputs [][]byte, targets []loader.Target) error {
	i := view*w.Images + picture
	at, sum := int64(i)*w.Record(), uint32(0)
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

// Finish writes the index and gives the folder its name.
func (w *Writer) Finish() error {
	first, class, box := []int64{0}, []int64{}, []float32{}
	for _, list := range w.targets {
		for _, t := range list {
			class, box = append(class, int64(t.Class)), append(box, t.X, t.Y, t.W, t.H)
		}
		first = append(first, int64(len(class)))
	}
	layout, err := json.Marshal(w.Layout)
	if err != nil {
		return err
	}
	n := int64(len(class))
	index := &safetensors.File{Metadata: map[string]string{"layout": string(layout)}, Tensors: map[string]*onnx.Tensor{
		"there": onnx.Of(w.there, int64(len(w.there))), "sums": onnx.Of(w.sums, int64(len(w.sums))),
		"first": onnx.Of(first, int64(len(first))), "class": onnx.Of(class, n), "box": onnx.Of(box, n, 4)}}
	index.Metadata[SumKey] = safetensors.Sum(index, SumKey)
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return fmt.Errorf("write the feature cache: %w", err)
	}
	if err := safetensors.Write(filepath.Join(w.temp, IndexFile), index); err != nil {
		return err
	}
	if err := os.Rename(w.temp, w.dir); err != nil && !disk.IsFile(filepath.Join(w.dir, IndexFile)) { // which another run made meanwhile
		return fmt.Errorf("write the feature cache: %w", err)
	}
	w.done()
	return nil
}

// Abandon removes what was written so far.
func (w *Writer) Abandon() {
	w.file.Close()
	w.done()
}
