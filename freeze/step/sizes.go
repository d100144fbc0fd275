package step

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5"
)

// sized is a training graph for batches of a size that is not the engine's own:
// the last of an epoch, or pictures of other shapes. It works on the engine's state.
type sized struct {
	*Bound
	n, height, width int
	inputs           map[string]*onnx.Tensor
}

// mostSizes is how many such graphs stay open, the latest used ones.
const mostSizes = 12

// AccumulateSized is Accumulate for any batch, made of n pictures of height×width, which need not be the Spec's.
func (e *Engine) AccumulateSized(batch Feed, n, height, width int, matches []yolov5.Matches) (Losses, error) {
	if err := e.makeRoom(matches); err != nil {
		return Losses{}, err
	}
	graph, inputs := e.training, e.inputs
	if n != e.spec.Batch || height != e.spec.Height || width != e.spec.Width {
		s, err := e.sized(n, height, width)
		if err != nil {
			return Losses{}, err
		}
		graph, inputs = s.Bound, s.inputs
	}
	if err := fill(inputs, batch); err != nil {
		return Losses{}, err
	}
	return e.run(graph, matches)
}

// sized finds the graph for a size, or builds it.
func (e *Engine) sized(n, height, width int) (*sized, error) {
	last := len(e.sizes) - 1
	for i, s := range e.sizes {
		if s.n == n && s.height == height && s.width == width {
			copy(e.sizes[i:], e.sizes[i+1:])
			e.sizes[last] = s
			return s, nil
		}
	}
	spec := *e.spec
	spec.Batch, spec.Height, spec.Width, spec.Predictions = n, height, width, false
	graphs, err := Build(&spec)
	if err != nil {
		return nil, err
	}
	o := e.uncaptured()  // it would be run again among others, whose memory a repetition does not respect
	o.ShrinkArena = true // idle graphs give their memory back
	b, err := Open(graphs.Training, o)
	if err != nil {
		return nil, fmt.Errorf("open the training graph for %d pictures of %dx%d: %w", n, width, height, err)
	}
	s := &sized{Bound: b, n: n, height: height, width: width}
	own := e.inputs
	if s.inputs, err = spec.inputs(); err == nil {
		e.inputs = s.inputs
		err = e.bindGraph(b, graphs.Training)
	}
	if e.inputs = own; err != nil {
		b.Close()
		return nil, err
	}
	if last+1 == mostSizes {
		e.sizes[0].Close()
		e.sizes = e.sizes[1:]
	}
	e.sizes = append(e.sizes, s)
	return s, nil
}
