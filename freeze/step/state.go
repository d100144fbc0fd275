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
	pieces    []*piece                // all of the memory; Trained, Optimizer and Gradients lie in it
	device    ort.Device
	values    map[string]*ort.Value // of pieces and their parts, by name
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
	itself := func(name string) string { return name }
	for _, e := range graphs.layout.trainable {
		gradients := pieceOf(e, optim.Gradient, s.Gradients)
		gradients.gradient = true
		s.pieces = append(s.pieces, gradients)
		for i := range spec.Optimizer.Moments(e.name) {
			s.pieces = append(s.pieces, pieceOf(e, func(name string) string { return spec.Optimizer.Moments(name)[i] }, s.Optimizer))
		}
	}
	for i, e := range slices.Concat(graphs.layout.trainable, graphs.layout.moving) {
		own := pieceOf(e, itself, s.Trained)
		own.moving = i >= len(graphs.layout.trainable)
		s.pieces = append(s.pieces, own, pieceOf(e, optim.EMA, s.Optimizer))
	}
	if graphs.Gather != nil {
		batch := func(e extent, name func(string) string) {
			p := pieceOf(e, name, map[string]*onnx.Tensor{})
			p.aside = true
			s.pieces = append(s.pieces, p)
		}
		for _, e := range graphs.layout.trainable {
			batch(e, func(name string) string { return optim.Batch(optim.Gradient(name)) })
		}
		for _, e := range graphs.layout.moving {
			batch(e, optim.Batch)
		}
	}
	for name, t := range s.Trained {
		copy(t.Raw, spec.State[name].Raw)
		copy(s.Optimizer[optim.EMA(name)].Raw, t.Raw)
	}
	if slices.ContainsFunc(graphs.layout.params, func(p optim.Param) bool { return p.Factors }) {
		s.pieces = append(s.pieces, factors(graphs.layout.trainable[0], spec.paced(graphs.Trainable)))
	}
	return s
}

// factors is the memory of what learning rates are multiplied by, element by element.
func factors(e extent, params []optim.Param) *piece {
	tensors := map[string]*onnx.Tensor{}
	p := pieceOf(e, optim.Factors, tensors)
	p.aside = true
	for _, param := range params {
		all := onnx.Data[float32](tensors[optim.Factors(param.Name)])
		for i := range all {
			all[i] = float32(rateFactor(param))
		}
	}
	return p
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

// each calls f for all memory that steps update, until f fails.
func (s *State) each(f func(p *piece) error) error {
	for _, p := range s.pieces {
		if p.aside {
			continue
		}
		if err := f(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// place puts the state where a session's device works.
func (s *State) place(session *ort.Session) error {
	s.device, s.values, s.away, s.newer, s.uncleared = session.Device(), map[string]*ort.Value{}, false, neither, false
	for _, p := range s.pieces {
		if err := s.placePiece(session, p); err != nil {
			return fmt.Errorf("place the state on %s: %s: %w", s.device, p.name, err)
		}
	}
	return nil
}

func (s *State) placePiece(session *ort.Session, p *piece) error {
	value, err := session.Place(p.host)
	if err != nil {
		return err
	}
	s.values[p.name] = value
	if value.OnDevice() {
		s.away, s.newer = true, host // callers may fill in a state before the first step
		s.traffic.State.In += int64(len(p.host.Raw))
	}
	for _, part := range p.parts {
		if s.values[part.name] != nil { // the piece is this very tensor
			continue
		}
		if s.values[part.name], err = value.Part(part.from, part.shape...); err != nil {
			return err
		}
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
		err := s.each(func(p *piece) error {
			s.traffic.State.In += int64(len(p.host.Raw))
			return s.values[p.name].Write(p.host)
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
	err := s.each(func(p *piece) error {
		s.traffic.State.Out += int64(len(p.host.Raw))
		return s.values[p.name].Read(p.host)
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
	for _, p := range s.pieces {
		if p.gradient {
			clear(p.host.Raw)
		}
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
