package step

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// Engine runs training steps. Its state tensors are bound to both sessions as
// inputs and outputs, and so are updated in place: in the host's memory on the
// CPU provider; on a device they stay in its memory, and Trained and Optimizer
// hold what the last Sync or State brought. What a caller writes there before
// the first step, or before Upload, goes to the device.
type Engine struct {
	Graphs    *Graphs
	Trained   map[string]*onnx.Tensor // parameters and running statistics that change, by name
	Optimizer map[string]*onnx.Tensor // the optimizer's moments and the moving averages, by their input's name
	spec      *Spec
	gradients map[string]*onnx.Tensor
	scalars   map[string]*onnx.Tensor
	inputs    map[string]*onnx.Tensor // that a batch's pictures fill
	matches   map[string]*onnx.Tensor // padded to the loss's capacity; nil without one
	steps     int                     // Adam's t
	Scaler    *Scaler                 // of the loss, with products in float16 only

	locked              bool // to the thread that captured graphs belong to
	rehearsals          int  // further first runs, for tests in which no provider captures; 0 otherwise
	training, optimizer *Bound
	norm                *Bound // measures scaled gradients before the optimizer runs
	options             ort.Options
	sizes               []*sized // training graphs for batches of other sizes
	state               placed
}

// Losses of a batch: parts after gains, per picture; Total is what was differentiated.
type Losses struct{ Total, Box, Obj, Cls float64 }

// Finite reports whether every part is a number.
func (l Losses) Finite() bool {
	return !math.IsNaN(l.Total+l.Box+l.Obj+l.Cls) && !math.IsInf(l.Total+l.Box+l.Obj+l.Cls, 0)
}

// Rates are the optimizer's settings for one step.
type Rates struct {
	LR       [3]float64 // by optim.Group: biases, weights, norms
	Momentum float64    // Adam's β1
	EMADecay float64
}

// Bound is a session with its binding and the values bound, by name.
type Bound struct {
	session *ort.Session
	binding *ort.Binding
	values  map[string]*ort.Value
	nodes   int // of the graph as it was written

	// Where the provider captures the graph: whether it has, and the graphs that
	// carry what the host gives and takes; nil where nothing is to be carried.
	recorded    bool
	feed, fetch *Bound
}

// NewEngine builds the graphs of spec for the device of o and opens them. The
// state starts from spec.State, which is copied; moments start at zero, averages
// at the weights.
func NewEngine(spec *Spec, o ort.Options) (*Engine, error) {
	device, err := deviceFor(spec.AMP, o.Device)
	if err != nil {
		return nil, err
	}
	own := *spec
	own.Device, own.Native = device.Kind, o.Native
	if o.Capture {
		own.Loss.Capacity = max(own.Loss.Capacity, leastCapacity)
	}
	graphs, err := Build(&own)
	if err != nil {
		return nil, err
	}
	return newEngine(&own, graphs, o)
}

func newEngine(spec *Spec, graphs *Graphs, o ort.Options) (e *Engine, err error) {
	e = &Engine{Graphs: graphs, spec: spec, options: o, Trained: map[string]*onnx.Tensor{}, Optimizer: map[string]*onnx.Tensor{},
		gradients: map[string]*onnx.Tensor{}, scalars: map[string]*onnx.Tensor{}}
	if err := e.allocate(); err != nil {
		return nil, err
	}
	if spec.scaled() {
		e.Scaler = newScaler()
	}
	if err := e.open(); err != nil {
		return nil, err
	}
	return e, nil
}

// open opens the graphs on the state that the host holds.
func (e *Engine) open() (err error) {
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	e.lockThread()
	o := e.options
	// Where the number of matches varies, every new one would plan and keep a block of its own.
	o.NoMemPattern = o.NoMemPattern || e.matches == nil
	if e.training, err = e.openGraph("training graph", e.Graphs.Training, o); err != nil {
		return err
	}
	if e.optimizer, err = e.openGraph("optimizer graph", e.Graphs.Optimizer, o); err != nil {
		return err
	}
	for _, step := range []func() error{e.place, e.bind, e.openScaler} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) allocate() (err error) {
	for _, p := range e.Graphs.Trainable {
		e.Trained[p.Name] = e.spec.State[p.Name].Clone()
		e.Optimizer[optim.EMA(p.Name)] = e.spec.State[p.Name].Clone()
		e.gradients[optim.Gradient(p.Name)] = onnx.NewTensor(onnx.Float, p.Shape...)
		for _, name := range e.spec.Optimizer.Moments(p.Name) {
			e.Optimizer[name] = onnx.NewTensor(onnx.Float, p.Shape...)
		}
	}
	for _, p := range e.Graphs.Moving {
		e.Trained[p.Name] = e.spec.State[p.Name].Clone()
		e.Optimizer[optim.EMA(p.Name)] = e.spec.State[p.Name].Clone()
	}
	for _, name := range []string{OutTotal, OutBox, OutObj, OutCls, optim.GradNorm, optim.Momentum, optim.EMADecay, optim.ZeroInput, optim.GradientScale, lossScale} {
		e.scalars[name] = onnx.NewTensor(onnx.Float)
	}
	for _, out := range e.Graphs.Training.Outputs {
		if shape, ok := out.Type.Static(); ok && e.tensor(stateOf(out.Name)) == nil {
			e.scalars[out.Name] = onnx.NewTensor(out.Type.DType, shape...)
		}
	}
	e.scalars[optim.LearningRates] = onnx.NewTensor(onnx.Float, 3)
	e.scalars[optim.Corrections] = onnx.NewTensor(onnx.Float, 2)
	e.allocateMatches()
	e.inputs, err = e.spec.inputs()
	return err
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

// tensor finds the memory behind a graph's input, or behind the output that replaces it.
func (e *Engine) tensor(name string) *onnx.Tensor {
	for _, m := range []map[string]*onnx.Tensor{e.inputs, e.matches, e.Trained, e.Optimizer, e.gradients, e.scalars} {
		if t := m[name]; t != nil {
			return t
		}
	}
	return nil
}

// bind binds all that keeps its memory: everything but matches of varying number.
func (e *Engine) bind() error {
	if err := e.bindGraph(e.training, e.Graphs.Training); err != nil {
		return err
	}
	return e.bindGraph(e.optimizer, e.Graphs.Optimizer)
}

func (e *Engine) bindGraph(b *Bound, m *onnx.Model) error {
	for _, in := range m.Inputs {
		v, err := e.value(b, in)
		if err == nil && v != nil {
			err = b.binding.Input(in.Name, v)
		}
		if err != nil {
			return err
		}
	}
	for _, out := range m.Outputs {
		v, err := e.value(b, out)
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
	return e.connect(b, m)
}

// value returns what is bound to an input or output: a view of the state in the
// shape that it has in this graph, since the optimizer sees vectors, or a
// tensor of the host's, or a place for it on the device where the graph is
// captured. An output has the value of the input that it replaces.
// It is nil where there is no such memory.
func (e *Engine) value(b *Bound, v *onnx.Value) (*ort.Value, error) {
	name := stateOf(v.Name)
	if old := b.values[name]; old != nil {
		return old, nil
	}
	var made *ort.Value
	var err error
	shape, _ := v.Type.Static()
	if home := e.state.values[name]; home != nil {
		made, err = home.View(shape...)
	} else if t := e.tensor(name); t != nil && b.session.Captures() {
		made, err = b.session.Place(t)
	} else if t != nil {
		made, err = ort.NewValue(t)
	}
	if err == nil && made != nil {
		b.values[name] = made
	}
	return made, err
}

// stateOf undoes optim.Out.
func stateOf(output string) string {
	if n := len(output) - len(optim.Out("")); n > 0 && output[n:] == optim.Out("") {
		return output[:n]
	}
	return output
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

func (b *Bound) input(name string, t *onnx.Tensor) error {
	v, err := b.value(name, t)
	if err != nil {
		return err
	}
	return b.binding.Input(name, v)
}

// Close releases the session and what is bound to it.
func (b *Bound) Close() {
	if b == nil {
		return
	}
	b.feed.Close()
	b.fetch.Close()
	b.binding.Close()
	for _, v := range b.values {
		v.Close()
	}
	b.session.Close()
}

// Close releases the sessions. Trained and Optimizer stay as they are.
func (e *Engine) Close() {
	defer e.unlockThread()
	e.state.close()
	for _, s := range e.sizes {
		s.Close()
	}
	e.norm.Close()
	e.optimizer.Close()
	e.training.Close() // last: the state lies in its device's memory
}

// Device says where the graphs run.
func (e *Engine) Device() string { return e.training.session.Device() }

// Feed is a batch, by the inputs of the training graph that it fills: images,
// RGB planes [N,3,H,W] in uint8, or behind a cut each FeatureName's output.
type Feed map[string][]byte

// fill copies a batch into the memory that is bound.
func fill(inputs map[string]*onnx.Tensor, batch Feed) error {
	for name, t := range inputs {
		if len(batch[name]) != len(t.Raw) {
			return fmt.Errorf("%d bytes of %s for a graph that takes %v", len(batch[name]), name, t.Shape)
		}
		copy(t.Raw, batch[name])
	}
	return nil
}

// Accumulate runs forward and backward on one batch of pictures: images are RGB planes
// [N,3,H,W], matches one entry per level. Gradients add to those since the last Step.
func (e *Engine) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	return e.AccumulateSized(Feed{ImagesName: images}, e.spec.Batch, e.spec.Height, e.spec.Width, matches)
}

// run runs a training graph whose batch is in place.
func (e *Engine) run(b *Bound, matches []yolov5.Matches) (Losses, error) {
	if err := e.upload(); err != nil {
		return Losses{}, err
	}
	if e.Scaler != nil {
		e.setScalar(lossScale, e.Scaler.Scale)
	}
	if err := e.fillMatches(b, matches); err != nil {
		return Losses{}, err
	}
	if err := e.execute(b); err != nil {
		return Losses{}, fmt.Errorf("run the training graph: %w", err)
	}
	if e.state.away {
		e.state.traffic.Batches++
	}
	return Losses{e.scalar(OutTotal), e.scalar(OutBox), e.scalar(OutObj), e.scalar(OutCls)}, nil
}

func (e *Engine) scalar(name string) float64 { return float64(onnx.Data[float32](e.scalars[name])[0]) }

func (e *Engine) setScalar(name string, v float64) {
	onnx.Data[float32](e.scalars[name])[0] = float32(v)
}

// Step applies the accumulated gradients, clears them, and returns their global
// norm before clipping. With a scaled loss a step whose gradients overflow is
// left out: Scaler counts it, and the norm is 0.
func (e *Engine) Step(r Rates) (float64, error) {
	if err := e.upload(); err != nil {
		return 0, err
	}
	var norm float64
	if e.Scaler != nil {
		var ok bool
		var err error
		if norm, ok, err = e.measure(); err != nil || !ok {
			e.ClearGradients()
			return 0, err
		}
	}
	e.steps++
	t := float64(e.steps)
	for i, lr := range r.LR {
		onnx.Data[float32](e.scalars[optim.LearningRates])[i] = float32(lr)
	}
	e.setScalar(optim.Momentum, r.Momentum)
	e.setScalar(optim.EMADecay, r.EMADecay)
	correction := onnx.Data[float32](e.scalars[optim.Corrections])
	correction[0] = float32(1 / (1 - math.Pow(r.Momentum, t)))
	correction[1] = float32(1 / math.Sqrt(1-math.Pow(optim.Beta2, t)))
	if err := e.execute(e.optimizer); err != nil {
		return 0, fmt.Errorf("run the optimizer graph: %w", err)
	}
	e.ClearGradients()
	if e.Scaler == nil {
		norm = e.scalar(optim.GradNorm)
	}
	return norm, nil
}

// State returns the state dict as it is now, averaged or not; frozen tensors are
// spec.State's own. Should the device not give it, the next Sync says so.
func (e *Engine) State(averaged bool) map[string]*onnx.Tensor {
	_ = e.Sync() // what failed once fails again
	state := map[string]*onnx.Tensor{}
	for name, t := range e.spec.State {
		state[name] = t
	}
	for name, t := range e.Trained {
		if averaged {
			t = e.Optimizer[optim.EMA(name)]
		}
		state[name] = t
	}
	return state
}

// Run runs the graph on what is given, by name, and returns its outputs.
func (b *Bound) Run(in map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error) {
	return b.session.Run(in)
}
