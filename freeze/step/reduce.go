package step

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/optim"
)

// ranked is what an engine has that trains as one rank of several.
type ranked struct {
	ranks  *collective.Group // nil: it is the only one
	buffer []float32         // all that is reduced
}

// Join makes an engine a rank of a group. The loss of a rank is its own, and its gradients count
// by its own pictures; Step takes the sum of all ranks' gradients, so that it does the same on all.
// Running statistics are then those of rank 0, as under PyTorch's DistributedDataParallel.
func (r *ranked) Join(g *collective.Group) {
	if g.Size() > 1 {
		r.ranks = g
	}
}

// reduce sums the gradients of all ranks, frozen ones being none, in one message with rank 0's
// running statistics, to which the others add nothing.
func (r *ranked) reduce(s *State, g *Graphs) error {
	if r.ranks == nil {
		return nil
	}
	type part struct {
		name string
		*onnx.Tensor
		adds bool // this rank has a share in it
	}
	var parts []part
	for _, p := range g.Moving {
		parts = append(parts, part{p.Name, s.Trained[p.Name], r.ranks.Root()})
	}
	for _, p := range g.Trainable {
		name := optim.Gradient(p.Name)
		parts = append(parts, part{name, s.Gradients[name], true})
	}
	r.buffer = r.buffer[:0]
	for _, p := range parts {
		if s.away {
			if err := s.values[p.name].Read(p.Tensor); err != nil {
				return fmt.Errorf("bring %s from %s: %w", p.name, s.device, err)
			}
		}
		data := onnx.Data[float32](p.Tensor)
		r.buffer = append(r.buffer, data...)
		if !p.adds {
			clear(r.buffer[len(r.buffer)-len(data):])
		}
	}
	if err := r.ranks.Sum(r.buffer); err != nil {
		return fmt.Errorf("sum the gradients: %w", err)
	}
	rest := r.buffer
	for _, p := range parts {
		rest = rest[copy(onnx.Data[float32](p.Tensor), rest):]
		if s.away {
			if err := s.values[p.name].Write(p.Tensor); err != nil {
				return fmt.Errorf("put %s on %s: %w", p.name, s.device, err)
			}
		}
	}
	return nil
}
