package step

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// placed is an engine's state where its device works. On the CPU provider the
// values lie over the host's tensors and nothing is ever copied.
type placed struct {
	values    map[string]*ort.Value // by name, in the tensors' own shapes
	away      bool                  // in a device's memory
	newer     side                  // which copy is ahead of the other
	clearing  *Bound                // sets the gradients to zero, on a device only
	uncleared bool                  // it must run before the next step
	failed    error                 // the device did not give its state: nothing goes on
	traffic   Traffic
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
func (e *Engine) Moved() Traffic { return e.state.traffic }

// DeviceMemory returns what the device's allocator tells of itself, such as
// InUse, MaxInUse and Limit in bytes; nil on the CPU provider.
func (e *Engine) DeviceMemory() (map[string]string, error) {
	if e.training == nil { // it could not be opened anew (makeRoom)
		return nil, nil
	}
	return e.training.session.MemoryStats()
}

// eachState calls f for every tensor that steps update, until f fails.
func (e *Engine) eachState(f func(name string, t *onnx.Tensor) error) error {
	for _, group := range []map[string]*onnx.Tensor{e.Trained, e.Optimizer, e.gradients} {
		for name, t := range group {
			if err := f(name, t); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// place puts the state where the sessions' device works.
func (e *Engine) place() error {
	s := &e.state
	s.values = map[string]*ort.Value{}
	err := e.eachState(func(name string, t *onnx.Tensor) (err error) {
		if s.values[name], err = e.training.session.Place(t); err == nil && s.values[name].OnDevice() {
			s.away = true
			s.traffic.State.In += int64(len(t.Raw))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("place the state on %s: %w", e.Device(), err)
	}
	if !s.away {
		return nil
	}
	s.newer = host // callers may fill in a state before the first step
	zeros, err := optim.BuildClear(optimParams(e.Graphs.Trainable))
	if err != nil {
		return fmt.Errorf("build the graph that clears gradients: %w", err)
	}
	if s.clearing, err = e.openGraph("graph that clears gradients", zeros, e.options); err != nil {
		return err
	}
	if err := e.bindGraph(s.clearing, zeros); err != nil || s.clearing.feed == nil {
		return err
	}
	return s.move(s.clearing.feed) // its zero never changes
}

// run runs a graph that updates the state.
func (s *placed) run(b *Bound) error {
	err := s.move(b)
	if s.away {
		s.newer = device
	}
	return err
}

// move runs a graph and counts what crosses.
func (s *placed) move(b *Bound) error {
	before := b.binding.Moved()
	err := b.binding.Run()
	after := b.binding.Moved()
	s.traffic.Steps.In += after.In - before.In
	s.traffic.Steps.Out += after.Out - before.Out
	return err
}

// upload brings the device up to date before a run.
func (e *Engine) upload() error {
	s := &e.state
	if s.failed != nil {
		return s.failed
	}
	if s.newer == host {
		err := e.eachState(func(name string, t *onnx.Tensor) error {
			s.traffic.State.In += int64(len(t.Raw))
			return s.values[name].Write(t)
		})
		if err != nil {
			return fmt.Errorf("put the state on %s: %w", e.Device(), err)
		}
		s.newer = neither
	}
	if !s.uncleared {
		return nil
	}
	if err := s.run(s.clearing); err != nil {
		return fmt.Errorf("clear the gradients: %w", err)
	}
	s.uncleared = false
	return nil
}

// Upload says that the caller has changed Trained or Optimizer since the last
// Sync; before the first step there is no need to.
func (e *Engine) Upload() {
	if e.state.away {
		e.state.newer = host
	}
}

// Sync brings the state from the device into Trained and Optimizer. It must
// succeed before a checkpoint is written of them.
func (e *Engine) Sync() error {
	s := &e.state
	if s.failed != nil || s.newer != device {
		return s.failed
	}
	if s.failed = e.upload(); s.failed != nil { // gradients that wait to be cleared
		return s.failed
	}
	err := e.eachState(func(name string, t *onnx.Tensor) error {
		s.traffic.State.Out += int64(len(t.Raw))
		return s.values[name].Read(t)
	})
	if err != nil {
		s.failed = fmt.Errorf("bring the state from %s: %w", e.Device(), err)
		return s.failed
	}
	s.newer = neither
	return nil
}

// ClearGradients forgets what Accumulate has added up; a device does so before its next run.
func (e *Engine) ClearGradients() {
	e.state.uncleared = e.state.away
	if e.state.newer == device {
		return
	}
	for _, g := range e.gradients {
		clear(g.Raw)
	}
}

func (s *placed) close() {
	s.clearing.Close()
	for _, v := range s.values {
		if v != nil {
			v.Close()
		}
	}
}

// Restore goes on from where another engine was after a number of steps: with
// its scaler, nil where it had none, and with the moments, averages and gradients
// that saved knows by name in the type and shape that they have here.
func (e *Engine) Restore(steps int, scaler *Scaler, saved func(name string) *onnx.Tensor) {
	e.steps = steps
	e.Scaler.takeOver(scaler)
	for _, group := range []map[string]*onnx.Tensor{e.Optimizer, e.gradients} {
		for name, t := range group {
			if from := saved(name); from != nil && from.Like(t) {
				copy(t.Raw, from.Raw)
			}
		}
	}
	e.Upload()
}

// Steps returns how many steps the optimizer has taken.
func (e *Engine) Steps() int { return e.steps }

// Gradients returns what Accumulate has added up since the last step, as the last Sync brought it.
func (e *Engine) Gradients() map[string]*onnx.Tensor { return e.gradients }

// Why says what made device auto choose as it did; "" where it did not choose.
func (e *Engine) Why() string { return e.training.session.Why() }

// Groups counts the trainable tensors by optim.Group.
func (e *Engine) Groups() (counts [3]int) {
	for _, p := range optimParams(e.Graphs.Trainable) {
		counts[p.Group]++
	}
	return counts
}

// Carry takes over from an engine what survives in another plan for the same network.
func (e *Engine) Carry(from *Engine) error {
	if err := from.Sync(); err != nil {
		return err
	}
	e.Restore(from.steps, from.Scaler, func(name string) *onnx.Tensor { return from.Optimizer[name] })
	return nil
}
