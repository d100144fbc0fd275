package finetune

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5"
)

// sized is a training graph for batches of a size that is not the engine's own:
// the last of an epoch, or pictures of other shapes. It works on the engine's state.
type sized struct {
	*bound
	images *onnx.Tensor
}

// mostSizes is how many such graphs stay open, the latest used ones.
const mostSizes = 12

// AccumulateSized is Accumulate for n pictures of height×width, which need not be the Spec's.
func (e *Engine) AccumulateSized(images []uint8, n, height, width int, matches []yolov5.Matches) (Losses, error) {
	if n == e.spec.Batch && height == e.spec.Height && width == e.spec.Width {
		return e.Accumulate(images, matches)
	}
	s, err := e.sized(int64(n), int64(height), int64(width))
	if err != nil {
		return Losses{}, err
	}
	if len(images) != len(s.images.Raw) {
		return Losses{}, fmt.Errorf("%d bytes of pictures for a graph that takes %v", len(images), s.images.Shape)
	}
	copy(s.images.Raw, images)
	return e.run(s.bound, matches)
}

// sized finds the graph for a size, or builds it.
func (e *Engine) sized(n, height, width int64) (*sized, error) {
	last := len(e.sizes) - 1
	for i, s := range e.sizes {
		if shape := s.images.Shape; shape[0] == n && shape[2] == height && shape[3] == width {
			copy(e.sizes[i:], e.sizes[i+1:])
			e.sizes[last] = s
			return s, nil
		}
	}
	spec := *e.spec
	spec.Batch, spec.Height, spec.Width, spec.Predictions = int(n), int(height), int(width), false
	graphs, err := Build(&spec)
	if err != nil {
		return nil, err
	}
	o := e.options
	o.ShrinkArena = true // idle graphs give their memory back
	b, err := open(graphs.Training, o)
	if err != nil {
		return nil, fmt.Errorf("open the training graph for %d pictures of %dx%d: %w", n, width, height, err)
	}
	s := &sized{b, onnx.NewTensor(onnx.Uint8, n, 3, height, width)}
	own := e.images
	e.images = s.images
	err = e.bindGraph(b, graphs.Training)
	if e.images = own; err != nil {
		b.close()
		return nil, err
	}
	if last+1 == mostSizes {
		e.sizes[0].close()
		e.sizes = e.sizes[1:]
	}
	e.sizes = append(e.sizes, s)
	return s, nil
}
