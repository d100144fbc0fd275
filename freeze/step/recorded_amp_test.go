package step

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
)

// TestRecordedStepsAMP replays ten steps with products in float16, which the
// graphs for the CPU provider round to.
//
// Each of the ten starts from the state that float32 has there, which
// TestRecordedSteps holds to the recording: its losses, as shares of their sum, and
// the weights, running statistics and averages after it are held to 1e-2. So are the
// first step's against the recording itself, and its predictions and gradients, as a
// vector and by norm. What misses that is held to what the type's arithmetic means to
// these shrunken models, whose BatchNorms see few values: how far this engine's
// float32 moves when every factor and every result of its products is off by the
// type's unit roundoff, up or down by chance, the farthest of up to eight such runs.
func TestRecordedStepsAMP(t *testing.T) { recordedStepsIn(t, onnx.Float16) }

// TestRecordedStepsBFloat16 does so with products in bfloat16, an eighth as fine.
func TestRecordedStepsBFloat16(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of training steps")
	}
	recordedStepsIn(t, onnx.BFloat16)
}

func recordedStepsIn(t *testing.T, products onnx.DType) {
	o := ort.Options{}
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") != "" { // which may lack the type, as a Vulkan in software does
		o = fixture.DeviceOptions(fixture.Device(t))
	}
	eachRecording(t, func(t *testing.T, r *recording) {
		fixture.NeedORT(t)
		once := r.firstStep()
		leads := &lead{float32Runner: newFloat32(t, r).(float32Runner)}
		float32s := replay(t, r, leads, unchecked)
		follow := func(m mixedRunner, want outcome) (*led, narrowDeviations) {
			run := &led{mixedRunner: m, lead: leads}
			d := once.narrowDeviations(replay(t, r, run, unchecked), want)
			return run, narrowDeviations{max(d.losses, run.losses), run.state, d.pred, d.grad, d.norm}
		}
		run, found := follow(newMixed(t, r, products, o), r.recorded())
		if run.Scaler != nil && run.Scaler.Skipped > 0 {
			t.Errorf("%+v: a step was left out", *run.Scaler)
		}
		limit := narrowDeviations{1e-2, 1e-2, 1e-2, 1e-2, 1e-2}
		for seed := uint64(1); seed <= 8 && !found.within(limit); seed++ {
			_, noise := follow(newNoisy(t, r, products, seed), float32s)
			limit = limit.or(noise)
		}
		if !found.within(limit) {
			t.Errorf("off by %+v, limits %+v", found, limit)
		}
		t.Logf("off by %+v, limits %+v", found, limit)
	})
}

func unchecked(string) float64 { return math.Inf(1) }

// newNoisy is the engine in float32 whose products are off as those in a narrow
// type can be: each factor and each result by a unit roundoff, up or down.
func newNoisy(t *testing.T, r *recording, narrow onnx.DType, seed uint64) mixedRunner {
	t.Helper()
	s := r.spec(t)
	g, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	random, made := rand.New(rand.NewPCG(seed, 0)), map[*onnx.Value]*onnx.Value{}
	b, nodes := op.Extend(g.Training), g.Training.Nodes
	g.Training.Nodes = nil
	off := func(v *onnx.Value) *onnx.Value {
		if v != nil && made[v] == nil {
			made[v] = b.Mul(v, b.Const(aroundOne(v.Type, unitRoundoff[narrow], random)))
		}
		return made[v]
	}
	results := map[*onnx.Value]*onnx.Value{}
	for _, n := range nodes {
		for i, v := range n.Inputs {
			if results[v] != nil {
				n.Inputs[i] = results[v]
			}
		}
		product := slices.Contains([]string{"Conv", "ConvTranspose", "MatMul"}, n.Op)
		for i, v := range n.Inputs {
			if product {
				n.Inputs[i] = off(v)
			}
		}
		g.Training.Nodes = append(g.Training.Nodes, n)
		if product {
			y := off(n.Outputs[0])
			results[n.Outputs[0]], made[y] = y, y // what is rounded is not rounded again
		}
	}
	for i, v := range g.Training.Outputs {
		if y := results[v]; y != nil {
			y.Name, v.Name = v.Name, v.Name+"/exact"
			g.Training.Outputs[i] = y
		}
	}
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	return mixedRunner{float32Runner{started(t)(newEngine(s, g, ort.Options{}))}}
}

// unitRoundoff is the largest relative error of rounding to a type.
var unitRoundoff = map[onnx.DType]float64{onnx.Float16: 0x1p-11, onnx.BFloat16: 0x1p-8}

// aroundOne holds 1+u or 1-u for each element of a type of fixed shape.
func aroundOne(of onnx.Type, u float64, random *rand.Rand) *onnx.Tensor {
	shape, _ := of.Static()
	t := onnx.NewTensor(onnx.Float, shape...)
	for i := range onnx.Data[float32](t) {
		onnx.Data[float32](t)[i] = float32(1 + u*float64(1-2*random.IntN(2)))
	}
	return t
}

// lead is float32 on its way through a recording, which is the same for all who follow.
type lead struct {
	float32Runner
	losses []Losses                  // of every batch
	states []map[string]*onnx.Tensor // after every step: Trained and Optimizer
}

func (l *lead) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	losses, err := l.float32Runner.Accumulate(images, matches)
	l.losses = append(l.losses, losses)
	return losses, err
}

func (l *lead) Step(r Rates) (float64, error) {
	norm, err := l.float32Runner.Step(r)
	if err == nil {
		err = l.Sync()
	}
	state := map[string]*onnx.Tensor{}
	for _, group := range []map[string]*onnx.Tensor{l.Trained, l.Optimizer} {
		for name, t := range group {
			state[name] = t.Clone()
		}
	}
	l.states = append(l.states, state)
	return norm, err
}

// led is an engine whose every step starts from the state that another, in float32,
// had there.
type led struct {
	mixedRunner
	lead           *lead
	batches, steps int
	behind         bool    // since the last step
	losses, state  float64 // how far they were off at most
}

func (l *led) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	if l.behind {
		l.follow()
		l.behind = false
	}
	got, err := l.mixedRunner.Accumulate(images, matches)
	l.losses = max(l.losses, lossDeviation(partsOf(got), partsOf(l.lead.losses[l.batches])))
	l.batches++
	return got, err
}

func (l *led) Step(r Rates) (float64, error) {
	norm, err := l.mixedRunner.Step(r)
	want := l.lead.states[l.steps]
	l.steps++
	for name := range l.Trained {
		for _, name := range []string{name, optim.EMA(name)} {
			l.state = max(l.state, deviation(l.values(name), want[name].Float64s()))
		}
	}
	l.behind = true
	return norm, err
}

// follow takes over the lead's state.
func (l *led) follow() {
	state := l.lead.states[l.steps-1]
	for name, t := range l.Trained {
		copy(t.Raw, state[name].Raw)
	}
	l.Restore(Snapshot{l.steps, nil, func(name string) *onnx.Tensor { return state[name] }})
}

// lossDeviation is the largest difference of a part as a share of their sum, or
// that of the total.
func lossDeviation(got, want [4]float64) float64 {
	sum := want[1] + want[2] + want[3]
	off := math.Abs(got[0]/want[0] - 1)
	for i := 1; i < 4; i++ {
		off = max(off, math.Abs(got[i]-want[i])/sum)
	}
	return off
}

// narrowDeviations are relative deviations: of losses, of the state after steps,
// and in the first step of the largest prediction and of the gradients taken
// together, as a vector and by its length.
type narrowDeviations struct{ losses, state, pred, grad, norm float64 }

func (r *recording) narrowDeviations(got, want outcome) narrowDeviations {
	var off, all, losses float64
	for i, w := range want.grad {
		off, all = off+(got.grad[i]-w)*(got.grad[i]-w), all+w*w
	}
	for i := range r.Accumulate {
		losses = max(losses, lossDeviation(got.losses[i], want.losses[i]))
	}
	return narrowDeviations{losses, 0, deviation(got.pred, want.pred), math.Sqrt(off / all), math.Abs(got.norm/want.norm - 1)}
}

func (d narrowDeviations) within(limit narrowDeviations) bool {
	return d.losses <= limit.losses && d.state <= limit.state && d.pred <= limit.pred && d.grad <= limit.grad && d.norm <= limit.norm
}

// or is the wider limit of each; no gradients at all would be off by 1.
func (d narrowDeviations) or(e narrowDeviations) narrowDeviations {
	return narrowDeviations{max(d.losses, e.losses), max(d.state, e.state), max(d.pred, e.pred), min(max(d.grad, e.grad), 0.9), max(d.norm, e.norm)}
}

// firstStep is the recording of one step.
func (r *recording) firstStep() recording {
	first := *r.Recording
	first.Steps, first.Losses = 1, r.Losses[:1]
	once := *r
	once.Recording = &first
	return once
}

// recorded is the outcome that the file holds, but for the final output.
func (r *recording) recorded() outcome {
	want := outcome{norm: r.GradNorm[0]}
	for _, step := range r.Losses {
		want.losses = append(want.losses, step...)
	}
	for level := 0; r.Tensors[fmt.Sprintf("pred/%d", level)] != nil; level++ {
		want.pred = append(want.pred, r.Tensors[fmt.Sprintf("pred/%d", level)].Float64s()...)
	}
	for _, name := range r.gradients() {
		want.grad = append(want.grad, r.Tensors["grad/"+name].Float64s()...)
	}
	return want
}

// settled is a scale of the loss that the recordings' gradients fit with: a
// scaler starts higher, and leaves steps out on its way there.
const settled = 1024

// mixedRunner is the engine with products in a narrower type.
type mixedRunner struct{ float32Runner }

func newMixed(t *testing.T, r *recording, products onnx.DType, o ort.Options) mixedRunner {
	t.Helper()
	s := r.spec(t)
	s.AMP = products
	return mixedRunner{float32Runner{started(t)(NewEngine(s, o))}}
}

func started(t *testing.T) func(*Engine, error) *Engine {
	return func(e *Engine, err error) *Engine {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		if e.Scaler != nil {
			e.Scaler.Scale = settled
		}
		return e
	}
}

// values are gradients without the loss's scale.
func (m mixedRunner) values(name string) []float64 {
	v := m.float32Runner.values(name)
	if m.Scaler != nil && strings.HasPrefix(name, optim.Gradient("")) {
		for i := range v {
			v[i] /= m.Scaler.Scale
		}
	}
	return v
}

// TestRecordedFirstStepForCUDA: the graphs that CUDA is given in float32, with the one that gathers what
// a batch yields, take recorded first steps within the CPU provider's limits, which runs them here.
func TestRecordedFirstStepForCUDA(t *testing.T) {
	for _, name := range []string{"accumulate2_clipped", "sgd_frozen10_bn_batch", "one_class"} {
		t.Run(name, func(t *testing.T) {
			fixture.NeedORT(t)
			r := newRecording(recorded.Named(t, name))
			once := r.firstStep()
			s := r.spec(t)
			s.Target = pass.CUDA
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			if g.Gather == nil {
				t.Fatal("nothing is gathered")
			}
			replay(t, &once, float32Runner{started(t)(newEngine(s, g, ort.Options{}))}, r.Limit)
		})
	}
}

// TestRecordedStepsForCUDA: the graphs that CUDA is given for bfloat16, in another
// opset and without MaxPool, say what those of the CPU provider say. Their
// products, for which that has no kernel, are rounded here as it is done there.
func TestRecordedStepsForCUDA(t *testing.T) {
	eachRecording(t, func(t *testing.T, r *recording) {
		fixture.NeedORT(t)
		once := r.firstStep()
		s := r.spec(t)
		s.AMP = onnx.BFloat16
		g, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		if !fixture.InBFloat16(g.Training) || g.Training.Opset != 22 {
			t.Fatalf("the graph for CUDA is in opset %d, products in bfloat16: %t", g.Training.Opset, fixture.InBFloat16(g.Training))
		}
		if err := pass.RoundNarrow(g.Training); err != nil {
			t.Fatal(err)
		}
		s.Target = pass.CPUProvider
		got := replay(t, &once, mixedRunner{float32Runner{started(t)(newEngine(s, g, ort.Options{}))}}, unchecked)
		want := replay(t, &once, newMixed(t, r, onnx.BFloat16, ort.Options{}), unchecked)
		if d := once.narrowDeviations(got, want); !d.within(narrowDeviations{1e-6, 0, 0, 1e-2, 1e-2}) {
			t.Errorf("the two differ by %+v", d)
		} else {
			t.Logf("%+v", d)
		}
	})
}
