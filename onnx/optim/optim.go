package optim

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Group decides a parameter's learning rate and decay; its number is the
// index into the input lr and the column x/lr0 … x/lr2 of results.csv.
type Group int

const (
	Biases  Group = iota // no decay
	Weights              // decayed
	Norms                // BatchNorm scales: no decay
)

// Param is what the optimizer updates at once: a tensor, or memory in which tensors
// of a group lie one behind the other. The graph takes it as a vector: ONNX
// Runtime's CPU provider multiplies [256,256,1,1] by a scalar element by element,
// a vector by whole registers.
type Param struct {
	Name    string
	Size    int64 // elements
	Group   Group
	Factor  float64 // of the group's learning rate; 0 and 1 leave the rate as it is
	Factors bool    // instead of Factor each element has its own, in the input of that name
}

// Options choose the rule.
type Options struct {
	Algorithm   string  // "SGD" (Nesterov), "Adam" (L2 decay), "AdamW" (decoupled decay)
	WeightDecay float64 // of the group Weights
	ClipNorm    float64 // largest global norm of the gradients; 0: no clipping
	// Measured are the gradients whose norm is taken, one after the other, where those of the
	// parameters are the same memory divided otherwise; nil: those of the parameters.
	Measured []Param
	// Scaled graphs multiply the gradients by the input GradientScale instead of
	// measuring and clipping them: who scales the loss decides with BuildNorm's
	// norm whether there is a step at all.
	Scaled bool
}

// Names of the optimizer graph's scalar inputs and output.
const (
	LearningRates = "lr"             // [3], by Group
	Momentum      = "momentum"       // scalar; Adam's β1
	Corrections   = "correction"     // [2], Adam: 1/(1-β1ᵗ) and 1/√(1-β2ᵗ)
	EMADecay      = "ema_decay"      // scalar
	GradNorm      = "grad_norm"      // output: the global norm before clipping
	ZeroInput     = "zero"           // of BuildClear's graph
	GradientScale = "gradient_scale" // scalar input of Scaled graphs
)

// Adam's constants that YOLOv5 leaves at PyTorch's defaults.
const (
	Beta2       = 0.999
	adamEpsilon = 1e-8
)

// Out is the name of the output that carries the new value of a state input.
func Out(name string) string { return name + ".out" }

// Gradient names the input with a parameter's accumulated gradient.
func Gradient(param string) string { return "gradient/" + param }

// Factors names the input with what a parameter's learning rate is multiplied by, element by element.
func Factors(param string) string { return "lr_factor/" + param }

// Batch names what one batch adds to a gradient or a running statistic, where that is
// added for all of them at once: see BuildGather.
func Batch(name string) string { return "batch/" + name }

// EMA names the moving average of a parameter or buffer.
func EMA(name string) string { return "ema/" + name }

// Moments names the optimizer's own state for a parameter.
func (o Options) Moments(param string) []string {
	if o.Algorithm == "SGD" {
		return []string{"momentum_buffer/" + param}
	}
	return []string{"exp_avg/" + param, "exp_avg_sq/" + param}
}

// Build writes the optimizer's step for params, and the moving average of
// params and of averaged, further tensors that only enter it.
func Build(params, averaged []Param, o Options) (*onnx.Model, error) {
	if !slices.Contains([]string{"SGD", "Adam", "AdamW"}, o.Algorithm) {
		return nil, fmt.Errorf("optimizer %q: want SGD, Adam or AdamW", o.Algorithm)
	}
	s := step{Builder: op.NewBuilder("optimizer"), o: o}
	for i, r := range s.Split(s.Input(LearningRates, onnx.Float, onnx.Dims(3)), 0, 1, 1, 1) {
		s.rates[i] = r
	}
	s.momentum = s.Input(Momentum, onnx.Float, []onnx.Dim{})
	s.decay = s.Input(EMADecay, onnx.Float, []onnx.Dim{})
	if o.Algorithm != "SGD" {
		s.correction = s.Split(s.Input(Corrections, onnx.Float, onnx.Dims(2)), 0, 1, 1)
	}
	grads := s.gradients(params)
	var scale *onnx.Value
	if o.Scaled {
		scale = s.Input(GradientScale, onnx.Float, []onnx.Dim{})
	} else {
		measured := grads
		if o.Measured != nil {
			measured = s.gradients(o.Measured)
		}
		scale = s.clip(measured)
	}
	for i, p := range params {
		s.In("step/"+p.Name, func() { s.update(p, grads[i], scale) })
	}
	for _, p := range averaged {
		v := s.Input(p.Name, onnx.Float, onnx.Dims(p.Size))
		s.In("step/"+p.Name, func() { s.average(p, v) })
	}
	return s.Model, s.Err()
}

// BuildNorm writes the graph that measures the accumulated gradients of params:
// its output GradNorm is their global norm, not finite where any of them is not.
func BuildNorm(params []Param) (*onnx.Model, error) {
	s := step{Builder: op.NewBuilder("norm")}
	s.norm(s.gradients(params))
	return s.Model, s.Err()
}

// BuildClear writes the graph that sets the accumulated gradients of params to
// zero: each output Out(Gradient(name)) repeats the scalar input ZeroInput,
// which must hold 0. Were it a constant, the runtime would fold the graph into a
// second copy of every gradient.
func BuildClear(params []Param) (*onnx.Model, error) {
	b := op.NewBuilder("clear")
	zero := b.Input(ZeroInput, onnx.Float, []onnx.Dim{})
	for _, p := range params {
		b.Output(Out(Gradient(p.Name)), b.Op("Expand", nil, zero, b.Ints(p.Size)))
	}
	return b.Model, b.Err()
}

// BuildGather writes the graph that adds what a batch yields, the inputs Batch(name), to what there is:
// to the accumulated gradients of params, and to averaged, which are multiplied by momentum before.
func BuildGather(params, averaged []Param, momentum float64) (*onnx.Model, error) {
	b := op.NewBuilder("gather")
	add := func(name string, size int64, momentum float64) {
		sum, batch := b.Input(name, onnx.Float, onnx.Dims(size)), b.Input(Batch(name), onnx.Float, onnx.Dims(size))
		if momentum != 1 {
			sum = b.Scale(sum, momentum)
		}
		b.Output(Out(name), b.Add(sum, batch))
	}
	for _, p := range params {
		add(Gradient(p.Name), p.Size, 1)
	}
	for _, p := range averaged {
		add(p.Name, p.Size, momentum)
	}
	return b.Model, b.Err()
}

type step struct {
	*op.Builder
	o               Options
	rates           [3]*onnx.Value
	momentum, decay *onnx.Value
	correction      []*onnx.Value
}

func (s *step) gradients(params []Param) []*onnx.Value {
	grads := make([]*onnx.Value, len(params))
	for i, p := range params {
		grads[i] = s.Input(Gradient(p.Name), onnx.Float, onnx.Dims(p.Size))
	}
	return grads
}

// clip computes the gradients' global norm and the factor, at most 1, that
// brings it down to ClipNorm, as PyTorch's clip_grad_norm_ does; nil: none.
func (s *step) clip(grads []*onnx.Value) (factor *onnx.Value) {
	if len(grads) == 0 {
		s.Fail("nothing trains")
		return nil
	}
	s.In("clip", func() {
		norm := s.norm(grads)
		if s.o.ClipNorm > 0 {
			factor = s.Min(s.Div(s.Float(s.o.ClipNorm), s.Shift(norm, 1e-6)), s.Float(1))
		}
	})
	return factor
}

// norm outputs the global norm of the gradients.
func (s *step) norm(grads []*onnx.Value) *onnx.Value {
	squares := make([]*onnx.Value, len(grads))
	for i, g := range grads {
		squares[i] = s.Reshape(s.Op("ReduceSumSquare", op.Attrs{"keepdims": int64(0)}, g), 1)
	}
	norm := s.Sqrt(s.ReduceSum(s.Concat(0, squares...), false))
	return s.Output(GradNorm, norm)
}

// update appends one parameter's step. Every output is the last reader of the
// state that it replaces, so that both may share memory.
func (s *step) update(p Param, g, scale *onnx.Value) {
	shape := onnx.Dims(p.Size)
	w := s.Input(p.Name, onnx.Float, shape)
	if scale != nil {
		g = s.Mul(g, scale)
	}
	rate, decayed := s.rates[p.Group], p.Group == Weights && s.o.WeightDecay != 0
	switch {
	case p.Factors:
		rate = s.Mul(rate, s.Input(Factors(p.Name), onnx.Float, shape))
	case p.Factor != 0 && p.Factor != 1:
		rate = s.Scale(rate, p.Factor)
	}
	if decayed && s.o.Algorithm != "AdamW" {
		g = s.Add(g, s.Scale(w, s.o.WeightDecay))
	}
	var change *onnx.Value
	if s.o.Algorithm == "SGD" {
		change = s.Mul(rate, s.nesterov(p, g))
	} else {
		change = s.Mul(rate, s.adam(p, g))
		if decayed && s.o.Algorithm == "AdamW" {
			change = s.Add(change, s.Mul(w, s.Scale(rate, s.o.WeightDecay)))
		}
	}
	s.average(p, s.Output(Out(p.Name), s.Sub(w, change)))
}

// nesterov is SGD's direction: v ← μv + g, then g + μv (Sutskever et al., ICML 2013, in PyTorch's form).
func (s *step) nesterov(p Param, g *onnx.Value) *onnx.Value {
	name := s.o.Moments(p.Name)[0]
	v := s.Input(name, onnx.Float, onnx.Dims(p.Size))
	v = s.Output(Out(name), s.Add(s.Mul(s.momentum, v), g))
	return s.Add(g, s.Mul(s.momentum, v))
}

// adam is the direction of Kingma and Ba (arXiv:1412.6980) in PyTorch's form.
func (s *step) adam(p Param, g *onnx.Value) *onnx.Value {
	names := s.o.Moments(p.Name)
	m := s.Input(names[0], onnx.Float, onnx.Dims(p.Size))
	v := s.Input(names[1], onnx.Float, onnx.Dims(p.Size))
	m = s.Output(Out(names[0]), s.Add(s.Mul(s.momentum, m), s.Mul(s.OneMinus(s.momentum), g)))
	v = s.Output(Out(names[1]), s.Add(s.Scale(v, Beta2), s.Scale(s.Square(g), 1-Beta2)))
	root := s.Shift(s.Mul(s.Sqrt(v), s.correction[1]), adamEpsilon)
	return s.Div(s.Mul(m, s.correction[0]), root)
}

// average moves the exponential moving average towards v.
func (s *step) average(p Param, v *onnx.Value) {
	name := EMA(p.Name)
	ema := s.Input(name, onnx.Float, onnx.Dims(p.Size))
	s.Output(Out(name), s.Add(s.Mul(s.decay, ema), s.Mul(s.OneMinus(s.decay), v)))
}
