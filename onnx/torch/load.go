package torch

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// maxFile is far above yolov5x6 with its optimizer's state (about 1.1 GB).
const maxFile = 4 << 30

var zipHead = []byte("PK\x03\x04")

// Checkpoint is a YOLOv5 checkpoint, or a bare state dict, as it lies on disk.
// Fields that the file does not give are zero, but Epoch is then -1.
type Checkpoint struct {
	Path   string
	Source string  // "ema", "model" or "state_dict": where the weights were taken from
	Model  *Object // the root module, nil for a state dict

	YAML    map[string]any // the model's own layer table, as nested plain values
	Layers  []Layer        // model.0, model.1, …
	Names   []string       // of the classes, by index
	Strides []float64      // Detect.stride, pixels per grid cell, one for each level
	Anchors *onnx.Tensor   // Detect.anchors [nl, na, 2] in grid cells
	NC      int            // number of classes

	// State holds parameters and buffers in the order and by the names of PyTorch's
	// state_dict ("model.0.conv.weight"), in the file's own element types. The
	// tensors may share the memory of the file: do not write to them.
	State []NamedTensor

	Epoch       int
	BestFitness float64
	Date        string
	Opt, Git    map[string]any // the training run's options, the code's origin
}

// NamedTensor is an entry of a state dict. In a bare state dict a buffer is known
// by its name and type only.
type NamedTensor struct {
	Name      string
	Tensor    *onnx.Tensor
	Parameter bool // false: a buffer
}

// Layer is one entry of the model's list of layers.
type Layer struct {
	Index  int
	Class  string // "models.common.C3"
	From   []int  // the layers it takes its inputs from, -1 the one before
	Object *Object
}

// FormatError says why a file is not a checkpoint that can be read.
type FormatError struct {
	Path   string
	Reason string
}

func (e *FormatError) Error() string { return e.Path + ": " + e.Reason }

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *FormatError) BadInput() bool { return true }

// Load reads a checkpoint file. The EMA weights are preferred over the model's
// where both are there. A file that is not a sound checkpoint gives a
// *FormatError, what is no plain file a *disk.Error, one that cannot be opened or
// read the system's error.
func Load(path string) (*Checkpoint, error) {
	data, err := disk.ReadJudged(path, maxFile, judge)
	if err == nil {
		var c *Checkpoint
		if c, err = decode(data); err == nil {
			c.Path = path
			return c, nil
		}
		err = &FormatError{path, err.Error()}
	}
	if bad := (*FormatError)(nil); errors.As(err, &bad) {
		bad.Path = path
	}
	var system *fs.PathError
	if errors.As(err, &system) {
		err = fmt.Errorf("%s: %w", path, system.Err)
	}
	return nil, fmt.Errorf("read checkpoint %w", err)
}

// judge looks at a file's first bytes, and at a zip archive's directory.
func judge(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 1024))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	switch {
	case bytes.HasPrefix(head, zipHead) && size > int64(len(head)):
		// What the directory says is checked with the records.
		if _, err := zip.NewReader(r, size); errors.Is(err, zip.ErrFormat) {
			return &FormatError{Reason: incomplete(int(size)).Error()}
		}
	case !bytes.HasPrefix(head, zipHead) && !maybeLegacy(head):
		return &FormatError{Reason: notCheckpoint(head).Error()}
	}
	return nil
}

// decode reads a checkpoint's bytes; the result shares their memory.
func decode(data []byte) (*Checkpoint, error) {
	var root any
	var s *store
	var err error
	switch {
	case bytes.HasPrefix(data, zipHead):
		root, s, err = unpickleZip(data)
	case maybeLegacy(data):
		root, s, err = unpickleLegacy(data)
	default:
		err = notCheckpoint(data)
	}
	if err != nil {
		return nil, err
	}
	c, err := newCheckpoint(root)
	if err != nil {
		return nil, err
	}
	return c, s.finish()
}

// newCheckpoint finds the model or state dict in the pickled value.
func newCheckpoint(root any) (*Checkpoint, error) {
	c := &Checkpoint{Epoch: -1}
	d, isDict := root.(*dict)
	if o, ok := root.(*Object); ok {
		c.Model, c.Source = o, "model"
	}
	for _, key := range []string{"ema", "model"} {
		if o := modelIn(d.get(key)); o != nil && c.Model == nil {
			c.Model, c.Source = o, key
		}
	}
	if c.Model != nil {
		return c, cmp.Or(c.readModel(), c.readRun(d))
	}
	if !isDict {
		return nil, fmt.Errorf("holds %s: neither a model nor a state dict", kind(root))
	}
	for _, v := range []any{d, d.get("ema"), d.get("model"), d.get("state_dict"), d.get("model_state_dict")} {
		if states, ok := v.(*dict); ok && isStateDict(states) {
			return c, cmp.Or(c.readStateDict(states), c.readRun(d))
		}
	}
	return nil, fmt.Errorf("holds neither a model nor a state dict, but a dict of %s", keysOf(d))
}

// modelIn returns the module itself or, from a time when YOLOv5 saved the EMA so,
// the first of a tuple of it and its number of updates.
func modelIn(v any) *Object {
	switch pair := v.(type) {
	case tuple:
		if len(pair) == 2 {
			v = pair[0]
		}
	case *list:
		if len(pair.items) == 2 {
			v = pair.items[0]
		}
	}
	o, _ := v.(*Object)
	return o
}

func isStateDict(d *dict) bool {
	for i, key := range d.keys {
		_, named := key.(string)
		if _, ok := d.values[i].(*tensor); !ok || !named {
			return false
		}
	}
	return len(d.keys) > 0
}

func keysOf(d *dict) string {
	if len(d.keys) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for i, key := range d.keys[:min(len(d.keys), 5)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(keyText(key)))
	}
	if len(d.keys) > 5 {
		b.WriteString(", …")
	}
	return b.String()
}

// readRun reads what the training run noted beside the model.
func (c *Checkpoint) readRun(d *dict) error {
	if epoch, ok := d.get("epoch").(int64); ok {
		c.Epoch = int(epoch)
	}
	c.BestFitness, _ = number(d.get("best_fitness"))
	c.Date, _ = d.get("date").(string)
	var err1, err2 error
	c.Opt, err1 = plainDict("opt", d.get("opt"))
	c.Git, err2 = plainDict("git", d.get("git"))
	return cmp.Or(err1, err2)
}

// plainDict returns nil where v is not a dict.
func plainDict(name string, v any) (map[string]any, error) {
	p, err := plain(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m, _ := p.(map[string]any)
	return m, nil
}
