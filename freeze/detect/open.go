// Package detect finds objects in pictures, and saves what is found: pictures with boxes,
// crops, labels, tables.
package detect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// Options say with what objects are found.
type Options struct {
	Weights   string            // of any kind; the graph of an .onnx file runs as it is
	Others    []string          // further weights of the same classes: an ensemble
	Augment   bool              // look at each picture in three sizes
	ImageSize int               // pixels of the letterbox's side
	Height    int               // of the letterbox, ImageSize being its width; 0: ImageSize
	Batch     int               // pictures at a time
	AMP       onnx.DType        // of products, float16 or bfloat16; Undefined: all in float32
	Classes   []string          // to keep, by number or name; none: all
	Replaces  []string          // NEW=OLD: see Replacements
	NMS       metric.NMSOptions // but for its classes, and which replace others
	Runtime   ort.Options       // where the graph runs
}

// Finder is a model that is ready to detect. Close releases it.
type Finder struct {
	Batch         int  // pictures at a time
	Height, Width int  // of the letterbox
	Fixed         bool // the file takes pictures of that size only

	model interface {
		Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error)
		Device() ort.Device
		Close()
	}
	names  func() []string // an .onnx file may only tell when it runs
	stride int
	nms    metric.NMSOptions
}

// ClassError is a class that the model does not have.
type ClassError struct {
	Option string // that names it: classes or replaces
	Text   string
	Names  []string // of the model's
}

func (e *ClassError) Error() string {
	return fmt.Sprintf("`%s`: class %s: the model has no such class", e.Option, e.Text)
}

// Usage marks the error as one of what was asked for.
func (e *ClassError) Usage() bool { return true }

// UnfitError is a file that cannot be used as asked.
type UnfitError struct {
	Path, Reason string
	Asked        bool // what was asked for is to blame
}

func (e *UnfitError) Error() string { return e.Path + ": " + e.Reason }

// BadInput marks the error as the file's.
func (e *UnfitError) BadInput() bool { return !e.Asked }

// Usage marks it as one of what was asked for.
func (e *UnfitError) Usage() bool { return e.Asked }

// Open opens a model of any kind.
func Open(o Options) (*Finder, error) {
	f := &Finder{Batch: o.Batch, nms: o.NMS}
	kind, err := model.KindOf(o.Weights)
	if err != nil {
		return nil, err
	}
	if kind != model.KindONNX {
		return f, f.openWeights(o)
	}
	if o.Augment || len(o.Others) > 0 {
		return nil, &UnfitError{o.Weights, "an .onnx file runs as it is: `augment` and ensembles are for weights", true}
	}
	return f, f.openExported(o)
}

// openWeights opens a model, or several that look at each picture together, or in several sizes.
func (f *Finder) openWeights(o Options) error {
	var list []step.Weighted
	size := dataset.SizeOf(o.ImageSize, o.Height)
	var names []string
	for _, path := range append([]string{o.Weights}, o.Others...) {
		m, err := model.Load(path)
		if err != nil {
			return err
		}
		if names == nil {
			names = m.Names
		}
		if !slices.Equal(m.Names, names) {
			return &UnfitError{path, "has other classes than " + o.Weights + ": no ensemble", false}
		}
		size = size.Rounded(int(m.Net.MaxStride()), 1)
		f.stride, list = max(f.stride, int(m.Net.MaxStride())), append(list, step.Weighted{Net: m.Net, State: m.State})
	}
	f.names, f.Height, f.Width = func() []string { return names }, size.Height, size.Width
	if err := f.choose(o, names); err != nil {
		return err
	}
	var err error
	if len(list) == 1 && !o.Augment {
		f.model, err = step.NewDetectorFor(list[0].Net, list[0].State, step.Cut{}, o.AMP, o.Runtime)
	} else {
		f.model, err = step.NewViews(list, o.Augment, o.AMP, o.Runtime)
	}
	return err
}

func (f *Finder) openExported(o Options) error {
	if o.AMP != onnx.Undefined {
		return &UnfitError{o.Weights, "an .onnx file computes in the types that it was exported with: `amp` is for weights", true}
	}
	e, err := export.Open(o.Weights, o.Runtime)
	if err != nil {
		return err
	}
	f.model, f.names, f.stride = e, func() []string { return e.Names }, e.Stride
	size := dataset.SizeOf(o.ImageSize, o.Height).Rounded(e.Stride, 1)
	f.Height, f.Width, f.Fixed = size.Height, size.Width, e.Height > 0 || e.Width > 0
	if e.Height > 0 {
		f.Height = e.Height
	}
	if e.Width > 0 {
		f.Width = e.Width
	}
	if f.Height > loader.MaxImageSize || f.Width > loader.MaxImageSize {
		e.Close()
		return &UnfitError{o.Weights, fmt.Sprintf("takes pictures of %dx%d: want %d at most", f.Width, f.Height, loader.MaxImageSize), false}
	}
	if e.Batch > 0 {
		f.Batch = e.Batch
	}
	if err = f.choose(o, e.Names); err != nil {
		e.Close()
	}
	return err
}

// choose says which classes are kept, and which give way to others.
func (f *Finder) choose(o Options, names []string) (err error) {
	if f.nms.Classes, err = classNumbers("classes", o.Classes, names); err == nil {
		f.nms.Replaces, err = Replacements(o.Replaces, names)
	}
	return err
}

// Replacements reads NEW=OLD, classes by number or name, for metric.NMSOptions: of the
// old class what overlaps the new one is left out.
func Replacements(given, names []string) (map[int][]int, error) {
	replaces := map[int][]int{}
	for _, text := range given {
		fresh, old, ok := strings.Cut(text, "=")
		if !ok {
			return nil, &ReplaceError{text}
		}
		pair, err := classNumbers("replaces", []string{fresh, old}, names)
		if err != nil {
			return nil, err
		}
		if pair[0] == pair[1] {
			return nil, &ReplaceError{text}
		}
		replaces[pair[0]] = append(replaces[pair[0]], pair[1])
	}
	return replaces, nil
}

// ReplaceError is an option that does not say which class replaces which other one.
type ReplaceError struct{ Text string }

func (e *ReplaceError) Error() string {
	return fmt.Sprintf("`replaces %s`: want NEW=OLD, two classes, such as taxi=car", e.Text)
}

// Usage marks the error as one of what was asked for.
func (e *ReplaceError) Usage() bool { return true }

// Close releases the model.
func (f *Finder) Close() { f.model.Close() }

// Device says where the graph runs.
func (f *Finder) Device() ort.Device { return f.model.Device() }

// classNumbers reads classes given by number or name.
func classNumbers(option string, given, names []string) ([]int, error) {
	var list []int
	for _, text := range given {
		number, err := strconv.Atoi(text)
		for i, name := range names {
			if err != nil && name == text {
				number, err = i, nil
			}
		}
		if err != nil || number < 0 || number >= len(names) {
			return nil, &ClassError{option, text, names}
		}
		list = append(list, number)
	}
	return list, nil
}
