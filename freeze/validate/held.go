package validate

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
)

// heldFeatures lets validations begin behind frozen layers. The first one keeps
// what these put out for each picture in a file of the process's own, and the
// batches without their pictures; the others begin from there. Where nothing can be
// kept, each computes it anew by the same graphs, and so finds the same to the last digit.
type heldFeatures struct {
	cut     step.Cut
	file    *os.File // nil: nothing is kept
	batches []*loader.Batch
	whole   bool
	lost    error                     // why the file could not be written
	room    map[[3]int][]*onnx.Tensor // for the layers' outputs, by pictures, height and width
}

// HoldFeatures makes the following runs begin behind the cut, whose layers must not
// change, with a file in the folder, or without one where it is ""; the zero Cut ends that.
func (v *Validator) HoldFeatures(c step.Cut, folder string) {
	if v.held != nil && v.held.cut == c {
		return
	}
	v.Close()
	if c.Layers == 0 {
		return
	}
	v.held = &heldFeatures{cut: c, room: map[[3]int][]*onnx.Tensor{}}
	if folder == "" {
		return
	}
	if v.held.lost = disk.Private(folder); v.held.lost == nil {
		v.held.file, v.held.lost = os.CreateTemp(folder, "validation-*.bin")
	}
	if v.held.lost == nil {
		os.Remove(v.held.file.Name()) // where the system allows it, the file goes with the process
	}
}

// Lost is why nothing is kept though it should be, or nil.
func (v *Validator) Lost() error {
	if v.held == nil || v.held.lost == nil {
		return nil
	}
	return fmt.Errorf("keep features for validation: %w", v.held.lost)
}

// keeps reports whether what frozen layers put out is still being written.
func (h *heldFeatures) keeps() bool { return h.file != nil && h.lost == nil && !h.whole }

// Close gives up the features that are held.
func (v *Validator) Close() {
	if v.held != nil && v.held.file != nil {
		v.held.file.Close()
		os.Remove(v.held.file.Name())
	}
	v.held = nil
}

// heldRun is the part of a validation that heldFeatures have.
type heldRun struct {
	*heldFeatures
	net    *yolov5.Network
	frozen *step.Bound // the layers before the cut, until all is held
	at     int64       // where in the file
}

func (h *heldFeatures) open(m *model.Model, o ort.Options) (*heldRun, error) {
	r := &heldRun{heldFeatures: h, net: m.Net}
	if h.whole {
		return r, nil
	}
	h.batches = nil
	graph, err := step.BuildFeatures(m.Net, m.State, h.cut, pass.AnyPictures())
	if err != nil {
		return nil, err
	}
	if r.frozen, err = step.Open(graph, o); err != nil {
		return nil, fmt.Errorf("open the graph of frozen layers: %w", err)
	}
	return r, nil
}

func (r *heldRun) close() {
	if r.frozen != nil {
		r.frozen.Close()
	}
}

// outputs returns what the layers before the cut put out for n pictures, until the next call.
func (r *heldRun) outputs(images []uint8, n, height, width int) (map[string]*onnx.Tensor, error) {
	layers := r.net.Cut(r.cut.Layers)
	room := r.room[[3]int{n, height, width}]
	if room == nil {
		shapes, err := r.cut.Shapes(r.net, n, height, width)
		if err != nil {
			return nil, err
		}
		for _, layer := range layers {
			room = append(room, onnx.NewTensor(r.cut.DType, shapes[layer]...))
		}
		r.room[[3]int{n, height, width}] = room
	}
	out := map[string]*onnx.Tensor{}
	for i, layer := range layers {
		out[step.FeatureName(layer)] = room[i]
	}
	if !r.whole {
		if err := r.frozen.RunInto(map[string]*onnx.Tensor{step.ImagesName: onnx.Of(images, int64(n), 3, int64(height), int64(width))}, out); err != nil {
			return nil, fmt.Errorf("run the graph of frozen layers: %w", err)
		}
	}
	for _, t := range room {
		var err error
		switch {
		case r.whole:
			_, err = r.file.ReadAt(t.Raw, r.at)
		case r.keeps():
			_, r.lost = r.file.WriteAt(t.Raw, r.at)
		}
		if err != nil {
			return nil, fmt.Errorf("read features for validation: %w", err)
		}
		r.at += int64(len(t.Raw))
	}
	return out, nil
}

// keep notes a batch that has been run.
func (r *heldRun) keep(b *loader.Batch) {
	if r.keeps() {
		r.batches = append(r.batches, &loader.Batch{Size: b.Size, Width: b.Width, Height: b.Height,
			Targets: slices.Clone(b.Targets), Samples: slices.Clone(b.Samples), Frames: slices.Clone(b.Frames)})
	}
}

// source gives the batches of one validation.
func (r *validation) source(ctx context.Context) iter.Seq2[*loader.Batch, error] {
	if r.features == nil || !r.features.whole {
		return r.loader.Epoch(ctx, 0)
	}
	return func(yield func(*loader.Batch, error) bool) {
		for _, b := range r.features.batches {
			if !yield(b, nil) {
				return
			}
		}
	}
}
