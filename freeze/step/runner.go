package step

import (
	"fmt"
	"runtime"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// runner opens an engine's graphs, binds them to what they share, and runs them:
// as they are, or recorded at their first run and repeated (capture.go).
type runner struct {
	options ort.Options
	state   *State
	host    map[string]*onnx.Tensor // what else graphs read and write: scalars, padded matches
	locked  bool                    // to the thread that the device keeps things for
}

// openBound opens a graph and binds it; what is its name.
func (r *runner) openBound(what string, m *onnx.Model, o ort.Options) (*Bound, error) {
	b, err := r.open(what, m, o)
	if err != nil {
		return nil, err
	}
	if err := r.bind(b, m); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// open opens a graph that is bound later; what is its name.
func (r *runner) open(what string, m *onnx.Model, o ort.Options) (*Bound, error) {
	b, err := Open(m, o)
	if ort.NotCaptured(err) {
		err = r.notCaptured(what, m, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", what, err)
	}
	return b, nil
}

// bind binds all of a graph that keeps its memory: everything but matches of varying number.
func (r *runner) bind(b *Bound, m *onnx.Model) error {
	for _, in := range m.Inputs {
		v, err := r.value(b, in)
		if err == nil && v != nil {
			err = b.binding.Input(in.Name, v)
		}
		if err != nil {
			return err
		}
	}
	for _, out := range m.Outputs {
		v, err := r.value(b, out)
		if err == nil && v == nil {
			err = fmt.Errorf("output %q has no memory", out.Name)
		}
		if err == nil {
			err = b.binding.Output(out.Name, v)
		}
		if err != nil {
			return err
		}
	}
	return r.connect(b, m)
}

// value returns what is bound to an input or output: a view of the state in the
// shape that it has in this graph, since the optimizer sees vectors, or a
// tensor of the host's, or a place for it on the device where the graph is
// captured. An output has the value of the input that it replaces.
// It is nil where there is no such memory.
func (r *runner) value(b *Bound, v *onnx.Value) (*ort.Value, error) {
	name := stateOf(v.Name)
	if old := b.values[name]; old != nil {
		return old, nil
	}
	var made *ort.Value
	var err error
	shape, _ := v.Type.Static()
	if home := r.state.values[name]; home != nil {
		made, err = home.View(shape...)
	} else if t := r.tensor(b, name); t != nil && b.session.Captures() {
		made, err = b.session.Place(t)
	} else if t != nil {
		made, err = ort.NewValue(t)
	}
	if err == nil && made != nil {
		b.values[name] = made
	}
	return made, err
}

// tensor finds the host's memory behind a graph's input or output that is not state.
func (r *runner) tensor(b *Bound, name string) *onnx.Tensor {
	if t := b.inputs[name]; t != nil {
		return t
	}
	return r.host[name]
}

// stateOf undoes optim.Out.
func stateOf(output string) string {
	if n := len(output) - len(optim.Out("")); n > 0 && output[n:] == optim.Out("") {
		return output[:n]
	}
	return output
}

func (r *runner) scalar(name string) float64 { return float64(onnx.Data[float32](r.host[name])[0]) }

// set writes a scalar or a short vector.
func (r *runner) set(name string, values ...float64) {
	to := onnx.Data[float32](r.host[name])
	for i, v := range values {
		to[i] = float32(v)
	}
}

// run runs a graph on what the host holds for it.
func (r *runner) run(b *Bound) error {
	if b.copyIn != nil {
		if err := r.state.move(b.copyIn); err != nil {
			return err
		}
	}
	if !b.recorded && b.session.Captures() {
		if err := r.record(b); err != nil {
			return err
		}
	}
	if err := r.state.update(b); err != nil || b.copyOut == nil {
		return err
	}
	return r.state.move(b.copyOut)
}

// lockThread keeps the goroutine on its thread where a device has things of its own for each:
// captured graphs, of which another thread would record its own, on a state of later, and
// CUDA's streams and handles, which another would make anew.
func (r *runner) lockThread() {
	if r.options.Device.Kind != ort.CPU && !r.locked {
		runtime.LockOSThread()
		r.locked = true
	}
}

func (r *runner) unlockThread() {
	if r.locked {
		runtime.UnlockOSThread()
		r.locked = false
	}
}
