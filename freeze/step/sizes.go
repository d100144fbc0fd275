package step

import (
	"fmt"

	"yolofreeze/onnx/yolov5"
)

// sized is a training graph for batches of a size that is not the engine's own:
// the last of an epoch, or pictures of other shapes. It works on the engine's state.
type sized struct {
	*Bound
	n, height, width int
}

// mostSizes is how many such graphs stay open, the latest used ones.
const mostSizes = 12

// AccumulateSized is Accumulate for any batch, made of n pictures of height×width, which need not be the Spec's.
func (e *Engine) AccumulateSized(batch Inputs, n, height, width int, matches []yolov5.Matches) (Losses, error) {
	if err := e.makeRoom(matches); err != nil {
		return Losses{}, err
	}
	graph := e.training
	if n != e.spec.Batch || height != e.spec.Height || width != e.spec.Width {
		var err error
		if graph, err = e.sized(n, height, width); err != nil {
			return Losses{}, err
		}
	}
	if err := batch.fill(graph.inputs); err != nil {
		return Losses{}, err
	}
	return e.run(graph, matches)
}

// sized finds the graph for a size, or builds it.
func (e *Engine) sized(n, height, width int) (*Bound, error) {
	last := len(e.sizes) - 1
	for i, s := range e.sizes {
		if s.n == n && s.height == height && s.width == width {
			copy(e.sizes[i:], e.sizes[i+1:])
			e.sizes[last] = s
			return s.Bound, nil
		}
	}
	spec := *e.spec
	spec.Batch, spec.Height, spec.Width, spec.Predictions = n, height, width, false
	graphs, err := Build(&spec)
	if err != nil {
		return nil, err
	}
	o := e.runner.uncaptured() // it would be run again among others, whose memory a repetition does not respect
	o.ShrinkArena = true       // idle graphs give their memory back
	b, err := e.openTraining(fmt.Sprintf("training graph for %d pictures of %dx%d", n, width, height), &spec, graphs, o)
	if err == nil {
		err = e.runner.bind(b, graphs.Training)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	if last+1 == mostSizes {
		e.sizes[0].Close()
		e.sizes = e.sizes[1:]
	}
	e.sizes = append(e.sizes, &sized{b, n, height, width})
	return b, nil
}
