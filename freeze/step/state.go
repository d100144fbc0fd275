package step

import (
	"fmt"
	"maps"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// State is what steps update. Graphs read and write it in place: in the host's
// memory on the CPU provider, where nothing is ever copied; on a device it stays in
// its memory, and Trained and Optimizer hold what the last Sync brought. What a
// caller writes there before the first step, or before Upload, goes to the device.
type State struct {
	Trained   map[string]*onnx.Tensor // parameters and running statistics that change, by name
	Optimizer map[string]*onnx.Tensor // the optimizer's moments and the moving averages, by their input's name
	Gradients map[string]*onnx.Tensor // what batches since the last step have added up, by optim.Gradient

	dict      map[string]*onnx.Tensor // the state dict that it began with; frozen tensors are its own
	device    ort.Device
	values    map[string]*ort.Value // by name, in the tensors' own shapes
	away      bool                  // in a device's memory
	newer     side                  // which copy is ahead of the other
	clearing  *Bound                // sets the gradients to zero, on a device only
	uncleared bool                  // it must run before the next step
	failed    error                 // the device did not give its state: nothing goes on
	traffic   Traffic
}

// newState starts with the weights of spec.State, which are copied, moments at zero and averages at the weights.
func newState(spec *Spec, graphs *Graphs) *State {
	s := &State{Trained: map[string]*onnx.Tensor{}, Optimizer: map[string]*onnx.Tensor{}, Gradients: map[string]*onnx.Tensor{}, dict: spec.State}
	for _, p := range graphs.Trainable {
		s.Gradients[optim.Gradient(p.Name)] = onnx.NewTensor(onnx.Float, p.Shape...)
		for _, name := range spec.Optimizer.Moments(p.Name) {
			s.Optimizer[name] = onnx.NewTensor(onnx.Float, p.Shape...)
		}
	}
	for _, p := range slices.Concat(graphs.Trainable, graphs.Moving) {
		s.Trained[p.Name] = spec.State[p.Name].Clone()
		s.Optimizer[optim.EMA(p.Name)] = spec.State[p.Name].Clone()
	}
	return s
}

// side is the host or the device.
type side int

const (
	neither side = iota
	host
	device
)

// Traffic counts the bytes that crossed between host and device.
type Traffic struct {
	Batches int64     `json:"batches"`
	Steps   ort.Moved `json:"steps"` // pictures and matches in, losses out
	State   ort.Moved `json:"state"` // placed, and brought back for validation and checkpoints
}

// PerBatch is what crossed for a batch, on average: no parameters.
func (t Traffic) PerBatch() int64 { return (t.Steps.In + t.Steps.Out) / max(t.Batches, 1) }

// Plus adds up what two engines moved.
func (t Traffic) Plus(u Traffic) Traffic {
	add := func(a, b ort.Moved) ort.Moved { return ort.Moved{In: a.In + b.In, Out: a.Out + b.Out} }
	return Traffic{t.Batches + u.Batches, add(t.Steps, u.Steps), add(t.State, u.State)}
}

// Moved returns the bytes moved so far; on the CPU provider there are none.
func (s *State) Moved() Traffic { return s.traffic }

// each calls f for every tensor that steps update, until f fails.
func (s *State) each(f func(name string, t *onnx.Tensor) error) error {
	for _, group := range []map[string]*onnx.Tensor{s.Trained, s.Optimizer, s.Gradients} {
		for name, t := range group {
			if err := f(name, t); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// place puts the state where a session's device works.
func (s *State) place(session *ort.Session) error {
	s.device, s.values, s.away, s.newer, s.uncleared = session.Device(), map[string]*ort.Value{}, false, neither, false
	err := s.each(func(name string, t *onnx.Tensor) (err error) {
		if s.values[name], err = session.Place(t); err == nil && s.values[name].OnDevice() {
			s.away, s.newer = true, host // callers may fill in a state before the first step
			s.traffic.State.In += int64(len(t.Raw))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("place the state on %s: %w", s.device, err)
	}
	return nil
}

// update runs a graph that updates the state.
func (s *State) update(b *Bound) error {
	err := s.move(b)
	if s.away {
		s.newer = device
	}
	return err
}

// move runs a graph and counts what crosses.
func (s *State) move(b *Bound) error {
	before := b.binding.Moved()
	err := b.binding.Run()
	after := b.binding.Moved()
	s.traffic.Steps.In += after.In - before.In
	s.traffic.Steps.Out += after.Out - before.Out
	return err
}

// upload brings the device up to date before a run.
func (s *State) upload() error {
	if s.failed != nil {
		return s.failed
	}
	if s.newer == host {
		err := s.each(func(name string, t *onnx.Tensor) error {
			s.traffic.State.In += int64(len(t.Raw))
			return s.values[name].Write(t)
		})
		if err != nil {
			return fmt.Errorf("put the state on %s: %w", s.device, err)
		}
		s.newer = neither
	}
	if !s.uncleared {
		return nil
	}
	if err := s.update(s.clearing); err != nil {
		return fmt.Errorf("clear the gradients: %w", err)
	}
	s.uncleared = false
	return nil
}

// Upload says that the caller has changed Trained or Optimizer since the last
// Sync; before the first step there is no need to.
func (s *State) Upload() {
	if s.away {
		s.newer = host
	}
}

// Sync brings the state from the device into Trained and Optimizer. It must
// succeed before a checkpoint is written of them.
func (s *State) Sync() error {
	if s.failed != nil || s.newer != device {
		return s.failed
	}
	if s.failed = s.upload(); s.failed != nil { // gradients that wait to be cleared
		return s.failed
	}
	err := s.each(func(name string, t *onnx.Tensor) error {
		s.traffic.State.Out += int64(len(t.Raw))
		return s.values[name].Read(t)
	})
	if err != nil {
		s.failed = fmt.Errorf("bring the state from %s: %w", s.device, err)
		return s.failed
	}
	s.newer = neither
	return nil
}

// ClearGradients forgets what batches have added up; a device does so before its next run.
func (s *State) ClearGradients() {
	s.uncleared = s.away
	if s.newer == device {
		return
	}
	for _, g := range s.Gradients {
		clear(g.Raw)
	}
}

// Weights returns the state dict as it is now, averaged or not; frozen tensors are
// those that it began with. Should the device not give it, the next Sync says so.
func (s *State) Weights(averaged bool) map[string]*onnx.Tensor {
	_ = s.Sync() // what failed once fails again
	dict := maps.Clone(s.dict)
	for name, t := range s.Trained {
		if averaged {
			t = s.Optimizer[optim.EMA(name)]
		}
		dict[name] = t
	}
	return dict
}

// restore takes over the moments, averages and gradients that saved knows by name
// in the type and shape that they have here.
func (s *State) restore(saved func(name string) *onnx.Tensor) {
	for _, group := range []map[string]*onnx.Tensor{s.Optimizer, s.Gradients} {
		for name, t := range group {
			if from := saved(name); from != nil && from.Like(t) {
				copy(t.Raw, from.Raw)
			}
		}
	}
	s.Upload()
}

// close gives the device's memory back; the host's tensors stay as they are.
func (s *State) close() {
	s.clearing.Close()
	for _, v := range s.values {
		if v != nil {
			v.Close()
		}
	}
}
