package finetune

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
)

// TestRecordedStepsAMP replays ten steps with products in float16, which the
// graphs for the CPU provider round to.
//
// Each of the ten starts from the state that float32 has there, which
// TestRecordedSteps holds to the recording: its losses, as shares of their sum, and
// the weights, running statistics and averages after it are held to 1e-2. So are the
// first step's against the recording itself, and its predictions and gradients, as a
// vector and by norm. Where predictions and gradients miss that, they are held to
// what a number of float16 more or less means to these shrunken models, whose
// BatchNorms see few values: how far this engine's float32 moves when each weight
// starts one float16 up or down, the farthest of up to eight such starts.
func TestRecordedStepsAMP(t *testing.T) { recordedStepsIn(t, onnx.Float16, 1e-2, 1e-2) }

// TestRecordedStepsBFloat16 does so with products in bfloat16, an eighth as fine.
// The first step's losses are held to 1e-2, those of later steps to 2.5e-2, weights
// and averages to 5e-2: the variance of a BatchNorm is off by 3e-2.
func TestRecordedStepsBFloat16(t *testing.T) {
	if testing.Short() {
		t.Skip("minutes of training steps")
	}
	recordedStepsIn(t, onnx.BFloat16, 2.5e-2, 5e-2)
}

func recordedStepsIn(t *testing.T, products onnx.DType, losses, state float64) {
	o := ort.Options{}
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") != "" { // which may lack the type, as a Vulkan in software does
		o = deviceOptions(testDevice(t))
	}
	unchecked := func(string) float64 { return math.Inf(1) }
	eachRecording(t, func(t *testing.T, r *recording) {
		needORT(t)
		run := &led{mixedRunner: newMixed(t, r, products, o), lead: newFloat32(t, r).(float32Runner)}
		got := replay(t, r, run, func(group string) float64 {
			if group == "after1" || group == "ema1" {
				return state
			}
			return math.Inf(1)
		})
		if run.Scaler != nil && run.Scaler.Skipped > 0 {
			t.Errorf("%+v: a step was left out", *run.Scaler)
		}
		if !(run.losses <= losses && run.state <= state) {
			t.Errorf("beside float32 losses are off by %.3g, the state by %.3g, limits %g and %g", run.losses, run.state, losses, state)
		}
		once := r.firstStep()
		found, limit := once.narrowDeviations(got, r.recorded()), narrowDeviations{1e-2, 1e-2, 1e-2, 1e-2}
		float32s := replay(t, &once, newFloat32(t, r), unchecked)
		for seed := uint64(1); seed <= 8 && !found.within(limit); seed++ {
			moved := once
			moved.weights = nextTo(r.weights, products, seed)
			limit = limit.or(once.narrowDeviations(replay(t, &moved, newFloat32(t, &moved), unchecked), float32s))
		}
		if !found.within(limit) {
			t.Errorf("off by %+v, limits %+v", found, limit)
		}
		t.Logf("ten steps: losses off by %.3g, the state by %.3g; the first: %+v, limits %+v", run.losses, run.state, found, limit)
	})
}

// led is an engine whose every step starts from the state that another, in float32,
// has there.
type led struct {
	mixedRunner
	lead          float32Runner
	behind        bool    // since the last step
	losses, state float64 // how far they were off at most
}

func (l *led) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	if l.behind {
		if err := l.follow(); err != nil {
			return Losses{}, err
		}
		l.behind = false
	}
	want, err := l.lead.Accumulate(images, matches)
	if err != nil {
		return want, err
	}
	got, err := l.mixedRunner.Accumulate(images, matches)
	l.losses = max(l.losses, lossDeviation(partsOf(got), partsOf(want)))
	return got, err
}

func (l *led) Step(r Rates) (float64, error) {
	if _, err := l.lead.Step(r); err != nil {
		return 0, err
	}
	norm, err := l.mixedRunner.Step(r)
	for name := range l.Trained {
		for _, name := range []string{name, optim.EMA(name)} {
			l.state = max(l.state, deviation(l.values(name), l.lead.values(name)))
		}
	}
	l.behind = true
	return norm, err
}

// follow takes over the lead's state.
func (l *led) follow() error {
	for name, t := range l.Trained {
		copy(t.Raw, l.lead.Trained[name].Raw)
	}
	return l.carry(l.lead.Engine)
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

// narrowDeviations are relative deviations of a first step: of its losses, of the
// largest prediction, and of the gradients taken together, as a vector and by its
// length.
type narrowDeviations struct{ losses, pred, grad, norm float64 }

func (r *recording) narrowDeviations(got, want outcome) narrowDeviations {
	var off, all, losses float64
	for i, w := range want.grad {
		off, all = off+(got.grad[i]-w)*(got.grad[i]-w), all+w*w
	}
	for i := range r.Accumulate {
		losses = max(losses, lossDeviation(got.losses[i], want.losses[i]))
	}
	return narrowDeviations{losses, deviation(got.pred, want.pred), math.Sqrt(off / all), math.Abs(got.norm/want.norm - 1)}
}

func (d narrowDeviations) within(limit narrowDeviations) bool {
	return d.losses <= limit.losses && d.pred <= limit.pred && d.grad <= limit.grad && d.norm <= limit.norm
}

// or is the wider limit of each but the losses'; no gradients at all would be off by 1.
func (d narrowDeviations) or(e narrowDeviations) narrowDeviations {
	return narrowDeviations{d.losses, max(d.pred, e.pred), min(max(d.grad, e.grad), 0.9), max(d.norm, e.norm)}
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

// nextTo moves each weight by the distance of numbers of a narrower type there, up or down.
func nextTo(weights map[string]*onnx.Tensor, narrow onnx.DType, seed uint64) map[string]*onnx.Tensor {
	digits := map[onnx.DType]int{onnx.Float16: 11, onnx.BFloat16: 8}[narrow]
	random := rand.New(rand.NewPCG(seed, 0))
	moved := map[string]*onnx.Tensor{}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name].Clone()
		if w.DType == onnx.Float {
			for i, v := range onnx.Data[float32](w) {
				_, exponent := math.Frexp(float64(v))
				onnx.Data[float32](w)[i] += float32(math.Ldexp(float64(1-2*random.IntN(2)), exponent-digits))
			}
		}
		moved[name] = w
	}
	return moved
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

// TestRecordedStepsForCUDA: the graphs that CUDA is given for bfloat16, in another
// opset and without MaxPool, say what those of the CPU provider say. Their
// products, for which that has no kernel, are rounded here as it is done there.
func TestRecordedStepsForCUDA(t *testing.T) {
	eachRecording(t, func(t *testing.T, r *recording) {
		needORT(t)
		once := r.firstStep()
		s := r.spec(t)
		s.AMP, s.Device = onnx.BFloat16, "cuda"
		g, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		if !inBFloat16(g.Training) || g.Training.Opset != 22 {
			t.Fatalf("the graph for CUDA is in opset %d, products in bfloat16: %t", g.Training.Opset, inBFloat16(g.Training))
		}
		if err := pass.RoundNarrow(g.Training); err != nil {
			t.Fatal(err)
		}
		s.Device = "cpu"
		unchecked := func(string) float64 { return math.Inf(1) }
		got := replay(t, &once, mixedRunner{float32Runner{started(t)(newEngine(s, g, ort.Options{}))}}, unchecked)
		want := replay(t, &once, newMixed(t, r, onnx.BFloat16, ort.Options{}), unchecked)
		if d := once.narrowDeviations(got, want); !d.within(narrowDeviations{1e-6, 0, 1e-2, 1e-2}) {
			t.Errorf("the two differ by %+v", d)
		} else {
			t.Logf("%+v", d)
		}
	})
}
