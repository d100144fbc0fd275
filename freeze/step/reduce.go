package step

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/ort"
)

// ranked is what an engine has that trains as one rank of several.
type ranked struct {
	ranks   *collective.Group   // nil: it is the only one
	devices *collective.Devices // between which NCCL sums; nil: what is summed goes through the host's memory
	asked   bool                // whether there is NCCL
	buffer  []float32           // what is summed there
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
func (r *ranked) reduce(s *State) error {
	if r.ranks == nil {
		return nil
	}
	if err := r.findDevices(s); err != nil {
		return err
	}
	var parts []*piece // that go through the host's memory
	for _, p := range s.pieces {
		switch {
		case p.gradient && r.devices != nil:
			address, err := s.values[p.name].Address()
			if err == nil {
				err = r.devices.Sum(address, len(p.host.Raw)/4)
			}
			if err != nil {
				return fmt.Errorf("sum the gradients on %s: %w", s.device, err)
			}
		case p.gradient || p.moving:
			parts = append(parts, p)
		}
	}
	r.buffer = r.buffer[:0]
	for _, p := range parts {
		if s.away {
			if err := s.values[p.name].Read(p.host); err != nil {
				return fmt.Errorf("bring %s from %s: %w", p.name, s.device, err)
			}
		}
		data := onnx.Data[float32](p.host)
		r.buffer = append(r.buffer, data...)
		if !p.gradient && !r.ranks.Root() {
			clear(r.buffer[len(r.buffer)-len(data):])
		}
	}
	if err := r.ranks.Sum(r.buffer); err != nil {
		return fmt.Errorf("sum the gradients: %w", err)
	}
	rest := r.buffer
	for _, p := range parts {
		rest = rest[copy(onnx.Data[float32](p.host), rest):]
		if s.away {
			if err := s.values[p.name].Write(p.host); err != nil {
				return fmt.Errorf("put %s on %s: %w", p.name, s.device, err)
			}
		}
	}
	return nil
}

// findDevices asks, before the first sum, whether all ranks have CUDA devices and NCCL to sum on
// them. Where one of them has not, all sum through the host's memory.
func (r *ranked) findDevices(s *State) error {
	if r.asked {
		return nil
	}
	r.asked = true
	fit := []float64{0}
	if s.away && s.device.Kind == ort.CUDA {
		fit[0] = 1
	}
	if err := r.ranks.SumFloat64(fit); err != nil || int(fit[0]) < r.ranks.Size() {
		return err
	}
	var err error
	if r.devices, err = r.ranks.OpenDevices(s.device.Index); err != nil {
		return r.ranks.Fail()
	}
	return nil
}
