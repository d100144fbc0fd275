package optim_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
)

var params = []optim.Param{
	{Name: "model.0.conv.weight", Size: 6, Group: optim.Weights},
	{Name: "model.0.bn.weight", Size: 2, Group: optim.Norms},
	{Name: "model.0.bn.bias", Size: 2, Group: optim.Biases},
}

var averaged = []optim.Param{{Name: "model.0.bn.running_mean", Size: 2}}

var rates = [3]float64{0.1, 0.02, 0.03}

const momentum, emaDecay, weightDecay = 0.9, 0.75, 0.05

// oracle holds what PyTorch's optimizers hold, and takes their steps one number at a time.
type oracle struct {
	params []optim.Param
	o      optim.Options
	state  map[string][]float64 // by the names of the graph's inputs
	steps  int
}

func (r *oracle) step(gradients map[string][]float64) (norm float64) {
	r.steps++
	for _, g := range gradients {
		for _, v := range g {
			norm += v * v
		}
	}
	norm = math.Sqrt(norm)
	scale := 1.0
	if r.o.ClipNorm > 0 {
		scale = min(1, r.o.ClipNorm/(norm+1e-6))
	}
	for _, p := range r.params {
		w := r.state[p.Name]
		for i, g := range gradients[p.Name] {
			rate := rates[p.Group]
			switch {
			case p.Factors:
				rate *= r.state[optim.Factors(p.Name)][i]
			case p.Factor != 0:
				rate *= p.Factor
			}
			w[i] -= rate * r.direction(p, i, g*scale, w[i])
			ema := r.state[optim.EMA(p.Name)]
			ema[i] = emaDecay*ema[i] + (1-emaDecay)*w[i]
		}
	}
	for _, p := range averaged {
		for i, v := range r.state[p.Name] {
			ema := r.state[optim.EMA(p.Name)]
			ema[i] = emaDecay*ema[i] + (1-emaDecay)*v
		}
	}
	return norm
}

// direction is what an element's weight moves by, as a share of its learning rate.
func (r *oracle) direction(p optim.Param, i int, g, w float64) float64 {
	decay := 0.0
	if p.Group == optim.Weights {
		decay = r.o.WeightDecay
	}
	switch r.o.Algorithm {
	case "SGD":
		g += decay * w
		v := &r.state["momentum_buffer/"+p.Name][i]
		*v = momentum**v + g
		return g + momentum**v
	case "Adam":
		g, decay = g+decay*w, 0
	}
	m, v := &r.state["exp_avg/"+p.Name][i], &r.state["exp_avg_sq/"+p.Name][i]
	*m = momentum**m + (1-momentum)*g
	*v = optim.Beta2**v + (1-optim.Beta2)*g*g
	t := float64(r.steps)
	root := math.Sqrt(*v/(1-math.Pow(optim.Beta2, t))) + 1e-8
	return *m/(1-math.Pow(momentum, t))/root + decay*w
}

func TestAgainstFormulas(t *testing.T) {
	for _, algorithm := range []string{"SGD", "Adam", "AdamW"} {
		for _, clip := range []float64{0, 1, 1000} {
			for _, decay := range []float64{0, weightDecay} {
				o := optim.Options{Algorithm: algorithm, WeightDecay: decay, ClipNorm: clip}
				t.Run(fmt.Sprintf("%s clip %v decay %v", algorithm, clip, decay), func(t *testing.T) { follow(t, params, o) })
			}
		}
		t.Run(algorithm+" factors", func(t *testing.T) {
			o := optim.Options{Algorithm: algorithm, WeightDecay: weightDecay, ClipNorm: 1}
			follow(t, withFactors(0.1, 1, 3), o)
			varied := withFactors(0.1, 1, 3)
			varied[0].Factors = true // element by element
			follow(t, varied, o)
		})
	}
}

// withFactors gives the parameters factors of their learning rates.
func withFactors(factors ...float64) []optim.Param {
	list := slices.Clone(params)
	for i, f := range factors {
		list[i].Factor = f
	}
	return list
}

// TestNoFactorAddsNothing: rates that are left as they are cost no node.
func TestNoFactorAddsNothing(t *testing.T) {
	o := optim.Options{Algorithm: "AdamW", WeightDecay: weightDecay, ClipNorm: 1}
	text := func(params []optim.Param) string {
		m, err := optim.Build(params, averaged, o)
		if err != nil {
			t.Fatal(err)
		}
		return m.String()
	}
	plain := text(params)
	if text(withFactors(1, 1, 1)) != plain {
		t.Error("factors of 1 change the graph")
	}
	if text(withFactors(1, 1, 0.5)) == plain {
		t.Error("a factor of 0.5 does not change the graph")
	}
}

// follow runs three steps of the graph, in float64, beside the oracle.
func follow(t *testing.T, params []optim.Param, o optim.Options) {
	m, err := optim.Build(params, averaged, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := testkit.Sound(m); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2, 3))
	r := &oracle{params: params, o: o, state: map[string][]float64{}}
	for _, in := range m.Inputs {
		if isState(in.Name) {
			r.state[in.Name] = drawn(random, in)
		}
	}
	for _, p := range params { // moments start at zero
		for _, name := range o.Moments(p.Name) {
			r.state[name] = make([]float64, p.Size)
		}
	}
	for range 3 {
		gradients := map[string][]float64{}
		feeds := scalars(o, r.steps+1)
		for _, in := range m.Inputs {
			if p, ok := strings.CutPrefix(in.Name, "gradient/"); ok {
				gradients[p] = drawn(random, in)
				feeds[in.Name] = &ref.Array{Shape: []int64{int64(len(gradients[p]))}, Data: slices.Clone(gradients[p])}
			} else if feeds[in.Name] == nil {
				feeds[in.Name] = &ref.Array{Shape: []int64{int64(len(r.state[in.Name]))}, Data: slices.Clone(r.state[in.Name])}
			}
		}
		got, err := ref.Run(m, feeds)
		if err != nil {
			t.Fatal(err)
		}
		norm := r.step(gradients)
		if d := math.Abs(got[optim.GradNorm].Data[0] - norm); d > 1e-9*norm {
			t.Errorf("step %d: norm %v, want %v", r.steps, got[optim.GradNorm].Data[0], norm)
		}
		for name, want := range r.state {
			out := got[optim.Out(name)]
			if name == averaged[0].Name || strings.HasPrefix(name, optim.Factors("")) { // the training graph's, and constant
				continue
			}
			for i, v := range want {
				if out == nil || math.Abs(out.Data[i]-v) > 1e-6*max(1, math.Abs(v)) { // the graph's constants are float32
					t.Fatalf("step %d: %s[%d] is %v, want %v", r.steps, name, i, out, v)
				}
			}
		}
	}
}

// isState tells the inputs that keep their value from one step to the next.
func isState(name string) bool {
	once := []string{optim.LearningRates, optim.Momentum, optim.Corrections, optim.EMADecay}
	return !slices.Contains(once, name) && !strings.HasPrefix(name, optim.Gradient(""))
}

func drawn(random *rand.Rand, like *onnx.Value) []float64 {
	sizes, _ := like.Type.Static()
	v := make([]float64, onnx.NumElements(sizes))
	for i := range v {
		v[i] = random.NormFloat64()
	}
	return v
}

func scalars(o optim.Options, step int) map[string]*ref.Array {
	one := func(shape []int64, v ...float64) *ref.Array { return &ref.Array{Shape: shape, Data: v} }
	feeds := map[string]*ref.Array{
		optim.LearningRates: one([]int64{3}, rates[:]...), optim.Momentum: one([]int64{}, momentum), optim.EMADecay: one([]int64{}, emaDecay),
	}
	if o.Algorithm != "SGD" {
		t := float64(step)
		feeds[optim.Corrections] = one([]int64{2}, 1/(1-math.Pow(momentum, t)), 1/math.Sqrt(1-math.Pow(optim.Beta2, t)))
	}
	return feeds
}

// TestInPlace: every state may share its memory with the output that replaces it.
func TestInPlace(t *testing.T) {
	for _, algorithm := range []string{"SGD", "Adam", "AdamW"} {
		m, err := optim.Build(params, averaged, optim.Options{Algorithm: algorithm, WeightDecay: weightDecay, ClipNorm: 10})
		if err != nil {
			t.Fatal(err)
		}
		states := 0
		for _, line := range testkit.InPlaceHazards(m, optim.Out) {
			t.Errorf("%s: %s", algorithm, line)
		}
		for _, out := range m.Outputs {
			if strings.HasSuffix(out.Name, optim.Out("")) {
				states++
			}
		}
		if want := len(params)*(2+len(optim.Options{Algorithm: algorithm}.Moments("x"))) + len(averaged); states != want {
			t.Errorf("%s: %d states are replaced, want %d", algorithm, states, want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for want, build := range map[string]func() (*onnx.Model, error){
		`optimizer "sgd": want SGD, Adam or AdamW`: func() (*onnx.Model, error) { return optim.Build(params, nil, optim.Options{Algorithm: "sgd"}) },
		"nothing trains": func() (*onnx.Model, error) { return optim.Build(nil, averaged, optim.Options{Algorithm: "SGD"}) },
		"is taken": func() (*onnx.Model, error) {
			return optim.Build(append(params, params[0]), nil, optim.Options{Algorithm: "SGD"})
		},
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
