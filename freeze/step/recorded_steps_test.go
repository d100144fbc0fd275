package step

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
)

// trainer is what a replay needs of an engine or of the reference.
type trainer interface {
	Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error)
	Step(Rates) (float64, error)
	values(name string) []float64                  // of a state tensor, by the graphs' names
	predictions(level int) (*onnx.Tensor, []int64) // raw output of the last batch, and its shape
	export(t *testing.T, r *recording) []float64
}

// outcome is what a replay yields.
type outcome struct {
	losses [][4]float64 // of every batch
	eval   []float64    // after the last step, where rounding has had time to grow
	pred   []float64    // of the first batch, all levels
	grad   []float64    // of the first step, all recorded ones in the order of their names
	norm   float64      // of the first step's gradients
}

// TestRecordedSteps replays ten steps in ONNX Runtime, float32.
//
// Ten steps of these shrunken models are chaotic: with Adam a gradient of the
// size of its rounding error moves a weight by the whole learning rate, up or
// down. What the recordings allow is four times the deviation that PyTorch's
// float32 run happened to have; PyTorch started one ulp away misses it as well.
// So the losses and the final output are held to that limit, or, where they
// miss it, to four times this engine's own noise, measured the same way:
// against runs that start one ulp away. TestRecordedStepsFloat64 holds the same
// graphs to the recorded limits where rounding plays no part.
func TestRecordedSteps(t *testing.T) { replayAll(t, ort.Options{}) }

// TestRecordedStepsNative is TestRecordedSteps with native kernels.
func TestRecordedStepsNative(t *testing.T) {
	needNative(t)
	replayAll(t, ort.Options{Native: true, Threads: 2})
}

// TestRecordedStepsPadded is TestRecordedSteps with matches of fixed number, more
// than any batch has, as graphs that are captured take them.
func TestRecordedStepsPadded(t *testing.T) {
	if testing.Short() {
		t.Skip("the thirteen recordings once more")
	}
	replayAll(t, ort.Options{}, padded)
}

func padded(s *Spec) { s.Loss.Capacity = 500 }

func replayAll(t *testing.T, o ort.Options, changes ...func(*Spec)) {
	eachRecording(t, func(t *testing.T, r *recording) {
		fixture.NeedORT(t)
		r.changes, r.options = changes, o
		got := replay(t, r, newFloat32(t, r), r.Limit)
		limit := r.outcomeLimit()
		for seed := uint64(1); seed <= 8 && !limit.holds(got, r); seed++ {
			moved := *r
			moved.weights = oneULPAway(r.weights, seed)
			spread := spread(got, replay(t, &moved, newFloat32(t, &moved), func(string) float64 { return math.Inf(1) }))
			t.Logf("beyond %+v; a start one ulp away changes the losses by %.2g, the final output by %.2g", limit, spread.losses, spread.eval)
			limit = outcomeLimit{max(limit.losses, 4*spread.losses), max(limit.eval, 4*spread.eval)}
		}
		limit.check(t, got, r)
	})
}

// TestRecordedStepsFloat64 replays the same graphs with package ref.
func TestRecordedStepsFloat64(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute of float64 arithmetic")
	}
	eachRecording(t, func(t *testing.T, r *recording) {
		limit := func(string) float64 { return 1e-4 } // for constants of the graphs, float32 as well
		r.outcomeLimit().check(t, replay(t, r, newFloat64(t, r), limit), r)
	})
}

// replay runs the recorded steps and checks all that the first one yields.
func replay(t *testing.T, r *recording, run trainer, tolerance func(group string) float64) outcome {
	t.Helper()
	check := func(group, name string, got, want []float64) {
		t.Helper()
		if d, limit := deviation(got, want), tolerance(group); !(d <= limit) {
			t.Errorf("%s %s: off by %.3g of its largest entry, limit %.3g", group, name, d, limit)
		}
	}
	net := r.spec(t).Net
	var out outcome
	for step := range r.Steps {
		for i := range r.Accumulate {
			images := r.Tensors[fmt.Sprintf("images/%d", i)]
			matches := net.Assign(recorded.Targets(r.Tensors[fmt.Sprintf("targets/%d", i)]), r.ImgSize, r.ImgSize, r.Hyp["anchor_t"])
			l, err := run.Accumulate(images.Raw, matches)
			if err != nil {
				t.Fatal(err)
			}
			parts := partsOf(l)
			out.losses = append(out.losses, parts)
			if step == 0 {
				for j, want := range r.Losses[0][i] {
					check("losses", fmt.Sprint(j), parts[j:j+1], []float64{want})
				}
			}
			if step == 0 && i == 0 {
				for level := range net.Strides {
					head, shape := run.predictions(level)
					got := cellsFirst(head.Float64s(), shape, int(net.Outputs()))
					check("pred", fmt.Sprint(level), got, r.Tensors[fmt.Sprintf("pred/%d", level)].Float64s())
					out.pred = append(out.pred, got...)
				}
			}
		}
		if step == 0 {
			checkFirst(r, "grad", run, func(name string) string { return optim.Gradient(name) }, check)
			for _, name := range r.gradients() {
				out.grad = append(out.grad, run.values(optim.Gradient(name))...)
			}
		}
		decay := 0.9999 * (1 - math.Exp(-float64(step+1)/2000))
		norm, err := run.Step(Rates{[3]float64{r.LR, r.LR, r.LR}, r.Hyp["momentum"], decay})
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			out.norm = norm
			check("grad", "global norm", []float64{norm}, r.GradNorm[:1])
			checkFirst(r, "after1", run, func(name string) string { return name }, check)
			checkFirst(r, "ema1", run, optim.EMA, check)
		}
	}
	out.eval = run.export(t, r)
	return out
}

// partsOf are losses in the order of the recordings.
func partsOf(l Losses) [4]float64 { return [4]float64{l.Total, l.Box, l.Obj, l.Cls} }

// gradients names the tensors whose gradients are recorded, in order.
func (r *recording) gradients() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(r.weights)) {
		if r.Tensors["grad/"+name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// checkFirst compares a group of tensors; what the recording leaves out is equal to init, which
// holds for gradients only where there is one.
func checkFirst(r *recording, group string, run trainer, input func(string) string, check func(group, name string, got, want []float64)) {
	for name := range r.weights {
		want := r.Tensors[group+"/"+name]
		if want == nil && group == "grad" {
			continue
		}
		if want == nil {
			want = r.Tensors["init/"+name]
		}
		got := run.values(input(name))
		if got == nil { // a constant of the graphs
			got = run.values(name)
		}
		if got != nil {
			check(group, name, got, want.Float64s())
		}
	}
}

// cellsFirst reorders a raw output [N, anchors·outputs, H, W] as PyTorch's training output [N, anchors, H, W, outputs].
func cellsFirst(head []float64, shape []int64, outputs int) []float64 {
	cells := int(shape[2] * shape[3])
	out := make([]float64, 0, len(head))
	for block := range slices.Chunk(head, outputs*cells) {
		for cell := range cells {
			for k := range outputs {
				out = append(out, block[k*cells+cell])
			}
		}
	}
	return out
}

// outcomeLimit bounds the relative deviation of every loss part, and that of the final output.
type outcomeLimit struct{ losses, eval float64 }

func (r *recording) outcomeLimit() outcomeLimit {
	return outcomeLimit{r.Limit("losses"), r.Limit("eval_output")}
}

func (l outcomeLimit) holds(got outcome, r *recording) bool {
	d := r.deviations(got)
	return d.losses <= l.losses && d.eval <= l.eval
}

func (l outcomeLimit) check(t *testing.T, got outcome, r *recording) {
	t.Helper()
	if d := r.deviations(got); !l.holds(got, r) {
		t.Errorf("losses off by %.3g, limit %.3g; final output by %.3g, limit %.3g", d.losses, l.losses, d.eval, l.eval)
	}
}

func (r *recording) deviations(got outcome) outcomeLimit {
	var want outcome
	for _, step := range r.Losses {
		want.losses = append(want.losses, step...)
	}
	want.eval = r.Tensors["eval_output"].Float64s()
	return spread(got, want)
}

func spread(got, want outcome) outcomeLimit {
	d := outcomeLimit{eval: deviation(got.eval, want.eval)}
	for i, parts := range want.losses {
		for j, w := range parts {
			d.losses = max(d.losses, math.Abs(got.losses[i][j]-w)/max(math.Abs(w), 1e-5))
		}
	}
	return d
}

// oneULPAway moves each weight to one of the two float32 next to it.
func oneULPAway(weights map[string]*onnx.Tensor, seed uint64) map[string]*onnx.Tensor {
	random := rand.New(rand.NewPCG(seed, 0))
	moved := map[string]*onnx.Tensor{}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name].Clone()
		if w.DType == onnx.Float {
			for i, v := range onnx.Data[float32](w) {
				onnx.Data[float32](w)[i] = math.Nextafter32(v, float32(math.Inf(1-2*random.IntN(2))))
			}
		}
		moved[name] = w
	}
	return moved
}

// float32Runner is the engine.
type float32Runner struct{ *Engine }

func newFloat32(t *testing.T, r *recording) trainer {
	t.Helper()
	e, err := NewEngine(r.spec(t), r.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return float32Runner{e}
}

func (f float32Runner) values(name string) []float64 {
	if f.Sync() != nil {
		return []float64{math.NaN()}
	}
	for _, group := range []map[string]*onnx.Tensor{f.Trained, f.Optimizer, f.Gradients, f.spec.State} {
		if t := group[name]; t != nil {
			return t.Float64s()
		}
	}
	return nil
}

func (f float32Runner) predictions(level int) (*onnx.Tensor, []int64) {
	t := f.runner.host[fmt.Sprintf("pred%d", level)]
	return t, t.Shape
}

// export decodes the recording's first pictures with the averaged weights through the exported model.
func (f float32Runner) export(t *testing.T, r *recording) []float64 {
	t.Helper()
	out, err := decoded(f.spec, f.Weights(true), r.Tensors["images/0"])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decoded runs pictures, [N,3,H,W] in bytes, through the model as it is exported.
func decoded(s *Spec, weights map[string]*onnx.Tensor, pixels *onnx.Tensor) ([]float64, error) {
	m, err := BuildExport(s.Net, weights, int(pixels.Shape[0]), int(pixels.Shape[2]), int(pixels.Shape[3]))
	if err != nil {
		return nil, err
	}
	b, err := Open(m, ort.Options{})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	scaled := make([]float32, len(pixels.Raw))
	for i, p := range pixels.Raw {
		scaled[i] = float32(p) / 255
	}
	out, err := b.Run(map[string]*onnx.Tensor{"images": onnx.Of(scaled, pixels.Shape...)})
	if err != nil {
		return nil, err
	}
	return out["output0"].Float64s(), nil
}

// float64Runner runs the engine's graphs with package ref.
type float64Runner struct {
	spec   *Spec
	graphs *Graphs
	state  map[string]*ref.Array
	steps  float64
}

func newFloat64(t *testing.T, r *recording) trainer { return newFloat64Of(t, r.spec(t)) }

func newFloat64Of(t *testing.T, s *Spec) *float64Runner {
	t.Helper()
	f := &float64Runner{spec: s, state: map[string]*ref.Array{}}
	var err error
	if f.graphs, err = Build(f.spec); err != nil {
		t.Fatal(err)
	}
	for name, w := range f.spec.State {
		f.state[name], f.state[optim.EMA(name)] = ref.FromTensor(w), ref.FromTensor(w)
	}
	for _, m := range []*onnx.Model{f.graphs.Training, f.graphs.Optimizer} {
		for _, in := range m.Inputs {
			if shape, ok := in.Type.Static(); ok && f.state[in.Name] == nil {
				f.state[in.Name] = &ref.Array{Shape: shape, Data: make([]float64, onnx.NumElements(shape))}
			}
		}
	}
	return f
}

// run feeds a model with the state and takes over what it yields.
func (f *float64Runner) run(m *onnx.Model, feeds map[string]*ref.Array) error {
	for _, in := range m.Inputs {
		if a := f.state[in.Name]; a != nil && feeds[in.Name] == nil {
			shape, _ := in.Type.Static()
			feeds[in.Name] = &ref.Array{Shape: shape, Data: a.Data}
		}
	}
	out, err := ref.Run(m, feeds)
	for name, a := range out {
		f.state[stateOf(name)] = &ref.Array{Shape: a.Shape, Data: slices.Clone(a.Data)}
	}
	return err
}

func (f *float64Runner) Accumulate(images []uint8, matches []yolov5.Matches) (Losses, error) {
	feeds := map[string]*ref.Array{}
	for i, m := range matches {
		for name, t := range m.Tensors(i) {
			feeds[name] = ref.FromTensor(t)
		}
	}
	feeds["images"] = ref.FromTensor(onnx.Of(images, int64(f.spec.Batch), 3, int64(f.spec.Height), int64(f.spec.Width)))
	err := f.run(f.graphs.Training, feeds)
	if err != nil {
		return Losses{}, err
	}
	value := func(name string) float64 { return f.state[name].Data[0] }
	return Losses{value(OutTotal), value(OutBox), value(OutObj), value(OutCls)}, nil
}

func (f *float64Runner) Step(r Rates) (float64, error) {
	f.steps++
	scalar := func(v ...float64) *ref.Array { return &ref.Array{Shape: []int64{int64(len(v))}, Data: v} }
	f.state[optim.LearningRates] = scalar(r.LR[:]...)
	f.state[optim.Momentum], f.state[optim.EMADecay] = scalar(r.Momentum), scalar(r.EMADecay)
	f.state[optim.Corrections] = scalar(1/(1-math.Pow(r.Momentum, f.steps)), 1/math.Sqrt(1-math.Pow(optim.Beta2, f.steps)))
	if err := f.run(f.graphs.Optimizer, map[string]*ref.Array{}); err != nil {
		return 0, err
	}
	for _, p := range f.graphs.Trainable {
		clear(f.state[optim.Gradient(p.Name)].Data)
	}
	return f.state[optim.GradNorm].Data[0], nil
}

func (f *float64Runner) values(name string) []float64 {
	if a := f.state[name]; a != nil {
		return a.Data
	}
	return nil
}

func (f *float64Runner) predictions(level int) (*onnx.Tensor, []int64) {
	a := f.state[fmt.Sprintf("pred%d", level)]
	return onnx.Of(a.Data, a.Shape...), a.Shape
}

func (f *float64Runner) export(t *testing.T, r *recording) []float64 {
	t.Helper()
	state := map[string]*onnx.Tensor{}
	for name, w := range f.spec.State {
		state[name] = (&ref.Array{Shape: w.Shape, Data: f.state[optim.EMA(name)].Data}).Tensor(onnx.Float)
	}
	m, err := BuildExport(f.spec.Net, state, r.Batch, r.ImgSize, r.ImgSize)
	if err != nil {
		t.Fatal(err)
	}
	pixels := ref.FromTensor(r.Tensors["images/0"])
	for i := range pixels.Data {
		pixels.Data[i] /= 255
	}
	out, err := ref.Run(m, map[string]*ref.Array{"images": pixels})
	if err != nil {
		t.Fatal(err)
	}
	return out["output0"].Data
}
