package step

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
)

// Bound is an open graph with the values that its runs read and write, by name.
type Bound struct {
	session *ort.Session
	binding *ort.Binding
	values  map[string]*ort.Value
	nodes   int                     // of the graph as it was written
	inputs  map[string]*onnx.Tensor // of a training graph, that a batch fills
	unpin   []func()                // gives their memory back, where the device has one for them

	// Where the provider captures the graph: whether it has, and the graphs that
	// copy in what the host gives and out what it takes; nil where nothing is copied.
	recorded        bool
	copyIn, copyOut *Bound
}

// Open opens a session of a graph, to be run by what is bound to it.
func Open(m *onnx.Model, o ort.Options) (*Bound, error) {
	data, err := wire.Encode(m)
	if err != nil {
		return nil, err
	}
	session, err := ort.Open(data, o)
	if err != nil {
		return nil, err
	}
	binding, err := session.Bind()
	if err != nil {
		session.Close()
		return nil, err
	}
	return &Bound{session: session, binding: binding, values: map[string]*ort.Value{}, nodes: len(m.Nodes)}, nil
}

// Run runs the graph on what is given, by name, and returns its outputs in new tensors.
func (b *Bound) Run(in map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	return b.session.Run(in)
}

// RunInto runs the graph from and into the host's memory, by name.
func (b *Bound) RunInto(in, out map[string]*onnx.Tensor) error {
	for name, t := range in {
		if err := b.input(name, t); err != nil {
			return err
		}
	}
	for name, t := range out {
		if err := b.output(name, t); err != nil {
			return err
		}
	}
	return b.binding.Run()
}

func (b *Bound) input(name string, t *onnx.Tensor) error {
	v, err := b.value(name, t)
	if err != nil {
		return err
	}
	return b.binding.Input(name, v)
}

func (b *Bound) output(name string, t *onnx.Tensor) error {
	v, err := b.value(name, t)
	if err != nil {
		return err
	}
	return b.binding.Output(name, v)
}

// value makes a value over a tensor, in place of the one of that name before.
func (b *Bound) value(name string, t *onnx.Tensor) (*ort.Value, error) {
	v, err := ort.NewValue(t)
	if err != nil {
		return nil, err
	}
	if old := b.values[name]; old != nil {
		old.Close()
	}
	b.values[name] = v
	return v, nil
}

// pin moves the inputs, before they are bound, to where the device copies them from fastest.
func (b *Bound) pin() error {
	for _, t := range b.inputs {
		release, err := b.session.Pin(t)
		if err != nil {
			return err
		}
		b.unpin = append(b.unpin, release)
	}
	return nil
}

// Close releases the session and what is bound to it.
func (b *Bound) Close() {
	if b == nil {
		return
	}
	b.copyIn.Close()
	b.copyOut.Close()
	b.binding.Close()
	for _, v := range b.values {
		v.Close()
	}
	for _, release := range b.unpin {
		release()
	}
	b.session.Close()
}
