package step

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/yolov5"
)

// Engine runs training steps: Accumulate for each batch, then Step.
type Engine struct {
	*State
	Graphs *Graphs
	Scaler *Scaler // of the loss, with products in float16 only

	ranked
	spec      *Spec
	runner    *runner
	training  *Bound
	gather    *Bound // adds what a batch has yielded, where the training graph does not
	optimizer *Bound
	norm      *Bound   // measures scaled gradients before the optimizer runs
	sizes     []*sized // training graphs for batches of other sizes
	steps     int      // Adam's t
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

// NewEngine builds the graphs of spec for the device of o and opens them. The
// state starts from spec.State, which is copied; moments start at zero, averages
// at the weights.
func NewEngine(spec *Spec, o ort.Options) (*Engine, error) {
	if err := fits(o.Device, spec.AMP); err != nil {
		return nil, err
	}
	own := *spec
	own.Target, own.Native = TargetOf(o.Device), o.Native
	if o.Capture {
		own.Loss.Capacity = max(own.Loss.Capacity, leastCapacity)
	}
	graphs, err := Build(&own)
	if err != nil {
		return nil, err
	}
	return newEngine(&own, graphs, o)
}

func newEngine(spec *Spec, graphs *Graphs, o ort.Options) (*Engine, error) {
	state := newState(spec, graphs)
	e := &Engine{State: state, Graphs: graphs, spec: spec, runner: &runner{options: o, state: state, host: map[string]*onnx.Tensor{}}}
	e.allocateScalars()
	e.allocateMatches()
	if spec.scaled() {
		e.Scaler = newScaler()
	}
	if err := e.open(); err != nil {
		return nil, err
	}
	return e, nil
}

// allocateScalars makes room for what steps are told and tell: settings, losses, the norm, predictions.
func (e *Engine) allocateScalars() {
	host := e.runner.host
	for _, name := range []string{OutTotal, OutBox, OutObj, OutCls, optim.GradNorm, optim.Momentum, optim.EMADecay, optim.ZeroInput, optim.GradientScale, lossScale} {
		host[name] = onnx.NewTensor(onnx.Float)
	}
	host[optim.LearningRates] = onnx.NewTensor(onnx.Float, 3)
	host[optim.Corrections] = onnx.NewTensor(onnx.Float, 2)
	for _, out := range e.Graphs.Training.Outputs {
		if shape, ok := out.Type.Static(); ok && stateOf(out.Name) == out.Name && host[out.Name] == nil {
			host[out.Name] = onnx.NewTensor(out.Type.DType, shape...)
		}
	}
}

// open opens the graphs on the state that the host holds.
func (e *Engine) open() (err error) {
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	r := e.runner
	r.lockThread()
	o := r.options
	// Where the number of matches varies, every new one would plan and keep a block of its own.
	o.NoMemPattern = o.NoMemPattern || !e.padded()
	if e.training, err = e.openTraining("training graph", e.spec, e.Graphs, o); err != nil {
		return err
	}
	if err := e.place(e.training.session); err != nil {
		return err
	}
	if err := r.bind(e.training, e.Graphs.Training); err != nil {
		return err
	}
	if e.Graphs.Gather != nil {
		if e.gather, err = r.openBound("graph that gathers gradients", e.Graphs.Gather, o); err != nil {
			return err
		}
	}
	if e.optimizer, err = r.openBound("optimizer graph", e.Graphs.Optimizer, o); err != nil {
		return err
	}
	if err := e.openNorm(); err != nil {
		return err
	}
	return e.openClearing()
}

// openTraining opens a training graph, with room for a batch, to be bound to the state.
func (e *Engine) openTraining(what string, spec *Spec, graphs *Graphs, o ort.Options) (*Bound, error) {
	b, err := e.runner.open(what, graphs.Training, o)
	if err != nil {
		return nil, err
	}
	if b.inputs, err = spec.inputs(); err == nil {
		err = b.pin()
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// openClearing opens the graph that sets gradients to zero, where they are on a device.
func (e *Engine) openClearing() error {
	if !e.away {
		return nil
	}
	zeros, err := optim.BuildClear(whole(e.Graphs.layout.trainable))
	if err != nil {
		return fmt.Errorf("build the graph that clears gradients: %w", err)
	}
	if e.clearing, err = e.runner.openBound("graph that clears gradients", zeros, e.runner.options); err != nil || e.clearing.copyIn == nil {
		return err
	}
	return e.move(e.clearing.copyIn) // its zero never changes
}

// Close releases the sessions. The state that the host holds stays as it is.
func (e *Engine) Close() {
	defer e.runner.unlockThread()
	e.devices.Close()
	e.State.close()
	for _, s := range e.sizes {
		s.Close()
	}
	e.norm.Close()
	e.optimizer.Close()
	e.gather.Close()
	e.training.Close() // last: the state lies in its device's memory
}

// Device says where the graphs run.
func (e *Engine) Device() ort.Device { return e.training.session.Device() }

// DeviceMemory returns what the device's allocator tells of itself, such as
// InUse, MaxInUse and Limit in bytes; nil on the CPU provider.
func (e *Engine) DeviceMemory() (map[string]string, error) {
	if e.training == nil { // it could not be opened anew (makeRoom)
		return nil, nil
	}
	return e.training.session.MemoryStats()
}

// Inputs are a batch, by the inputs of the training graph that it fills: images,
// RGB planes [N,3,H,W] in uint8, or behind a cut each FeatureName's output.
type Inputs map[string][]byte

// fill copies a batch into the memory that is bound.
func (i Inputs) fill(bound map[string]*onnx.Tensor) error {
	for name, t := range bound {
		if len(i[name]) != len(t.Raw) {
			return fmt.Errorf("%d bytes of %s for a graph that takes %v", len(i[name]), name, t.Shape)
		}
		copy(t.Raw, i[name])
	}
	return nil
}

// Accumulate runs forward and backward on one batch of pictures: images are RGB planes
// [N,3,H,W], matches one entry per level. Gradients add to those since the last Step.
func (e *Engine) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	return e.AccumulateSized(Inputs{ImagesName: images}, e.spec.Batch, e.spec.Height, e.spec.Width, matches)
}

// run runs a training graph whose batch is in place.
func (e *Engine) run(b *Bound, matches []yolov5.Matches) (Losses, error) {
	if err := e.upload(); err != nil {
		return Losses{}, err
	}
	r := e.runner
	if e.Scaler != nil {
		r.set(lossScale, e.Scaler.Scale)
	}
	if err := e.fillMatches(b, matches); err != nil {
		return Losses{}, err
	}
	if err := r.run(b); err != nil {
		return Losses{}, fmt.Errorf("run the training graph: %w", err)
	}
	if e.gather != nil {
		if err := r.run(e.gather); err != nil {
			return Losses{}, fmt.Errorf("gather the gradients: %w", err)
		}
	}
	if e.away {
		e.traffic.Batches++
	}
	return Losses{r.scalar(OutTotal), r.scalar(OutBox), r.scalar(OutObj), r.scalar(OutCls)}, nil
}

// Step applies the accumulated gradients, clears them, and returns their global
// norm before clipping. With a scaled loss a step whose gradients overflow is
// left out: Scaler counts it, and the norm is 0.
func (e *Engine) Step(rates Rates) (float64, error) {
	if err := e.upload(); err != nil {
		return 0, err
	}
	if err := e.reduce(e.State); err != nil {
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
	t, r := float64(e.steps), e.runner
	r.set(optim.LearningRates, rates.LR[:]...)
	r.set(optim.Momentum, rates.Momentum)
	r.set(optim.EMADecay, rates.EMADecay)
	r.set(optim.Corrections, 1/(1-math.Pow(rates.Momentum, t)), 1/math.Sqrt(1-math.Pow(optim.Beta2, t)))
	if err := r.run(e.optimizer); err != nil {
		return 0, fmt.Errorf("run the optimizer graph: %w", err)
	}
	e.ClearGradients()
	if e.Scaler == nil {
		norm = r.scalar(optim.GradNorm)
	}
	return norm, nil
}

// Steps returns how many steps the optimizer has taken.
func (e *Engine) Steps() int { return e.steps }

// Snapshot is what an engine goes on from besides its weights: how many steps
// were taken, and moments, averages and waiting gradients by name.
type Snapshot struct {
	Steps   int
	Scaler  *Scaler                        // nil where there was none
	Tensors func(name string) *onnx.Tensor // nil for what is not kept
}

// Restore goes on from a snapshot, whose tensors are taken where they have the
// type and shape that they have here.
func (e *Engine) Restore(from Snapshot) {
	e.steps = from.Steps
	e.Scaler.takeOver(from.Scaler)
	e.State.restore(from.Tensors)
}

// Snapshot brings the state from the device. Its tensors are moments and averages,
// the engine's own memory: good until the next step. Weights are State's.
func (e *Engine) Snapshot() (Snapshot, error) {
	err := e.Sync()
	return Snapshot{e.steps, e.Scaler, func(name string) *onnx.Tensor { return e.Optimizer[name] }}, err
}
