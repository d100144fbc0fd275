package step

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/testkit/shared"
)

// recordedCurve is real fine-tuning in PyTorch, float64: a COCO checkpoint on 20 classes.
type recordedCurve struct {
	Weights string
	ImgSize int `json:"imgsz"`
	Batch   int
	Batches int
	Epochs  int
	NC      int
	Names   map[string]string
	LR      float64
	Moment  float64 `json:"momentum"`
	Decay   float64 `json:"weight_decay"`
	Runs    map[string]struct {
		Losses     [][4]float64
		FinalNorms map[string]float64 `json:"final_norms"`
		EMANorms   map[string]float64 `json:"ema_norms"`
		Noise      struct {
			FinalNorms float64 `json:"final_norms"`
		} `json:"float32_noise"`
	}
	file *safetensors.File // images, targets and fresh weights
}

// TestRecordedCurve follows eighty steps of each recorded run. Twenty steps are
// held closely; later, rounding has grown to percents of a single loss.
func TestRecordedCurve(t *testing.T) {
	eachCurve(t, func(t *testing.T, c *recordedCurve, run string) {
		off := c.follow(t, run, onnx.Undefined, ort.Options{})
		off.check(t, curveDeviations{0.002, 0.06, 0.01, 4 * c.Runs[run].Noise.FinalNorms})
	})
}

// TestRecordedCurveNative is TestRecordedCurve with native kernels.
func TestRecordedCurveNative(t *testing.T) {
	needNative(t)
	eachCurve(t, func(t *testing.T, c *recordedCurve, run string) {
		off := c.follow(t, run, onnx.Undefined, ort.Options{Native: true, Threads: 2})
		off.check(t, curveDeviations{0.002, 0.06, 0.01, 4 * c.Runs[run].Noise.FinalNorms})
	})
}

// TestRecordedCurveAMP follows them with products in float16 and in bfloat16.
func TestRecordedCurveAMP(t *testing.T) {
	o := ort.Options{}
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") != "" {
		o = fixture.DeviceOptions(fixture.Device(t))
	}
	for _, products := range []onnx.DType{onnx.Float16, onnx.BFloat16} {
		t.Run(products.String(), func(t *testing.T) {
			eachCurve(t, func(t *testing.T, c *recordedCurve, run string) {
				c.follow(t, run, products, o).check(t, curveDeviations{0.01, 0.06, 0.01, 0.06})
			})
		})
	}
}

// eachCurve runs a subtest per recorded run.
func eachCurve(t *testing.T, test func(t *testing.T, c *recordedCurve, run string)) {
	folder := shared.Path(t, "golden", "curve")
	if testing.Short() {
		t.Skip("trains 240 steps")
	}
	fixture.NeedORT(t)
	var c recordedCurve
	fixture.ReadJSON(t, filepath.Join(folder, "curve.json"), &c)
	var err error
	if c.file, err = safetensors.Read(filepath.Join(folder, "curve.safetensors")); err != nil {
		t.Fatal(err)
	}
	for run := range c.Runs {
		t.Run(run, func(t *testing.T) {
			together(t)
			test(t, &c, run)
		})
	}
}

// curveDeviations are relative deviations from a recorded run: of a loss among the
// first twenty and among the later ones, of the mean of the last sixteen, and of the
// norm of a tensor in the end.
type curveDeviations struct{ early, late, tail, norm float64 }

func (d curveDeviations) check(t *testing.T, limit curveDeviations) {
	t.Helper()
	if !(d.early <= limit.early && d.late <= limit.late && d.tail <= limit.tail && d.norm <= limit.norm) {
		t.Errorf("off by %+v, limits %+v", d, limit)
	}
	t.Logf("off by %+v", d)
}

func (c *recordedCurve) follow(t *testing.T, run string, products onnx.DType, o ort.Options) (off curveDeviations) {
	s := c.spec(t, run)
	s.AMP = products
	e := started(t)(NewEngine(s, o))
	want := c.Runs[run]
	var tail, wantTail float64
	for i, noted := range want.Losses {
		batch := fmt.Sprint(i % c.Batches)
		matches := s.Net.Assign(recorded.Targets(c.file.Tensors["targets/"+batch]), c.ImgSize, c.ImgSize, s.Loss.AnchorT)
		l, err := e.Accumulate(c.file.Tensors["images/"+batch].Raw, matches)
		if err != nil {
			t.Fatal(err)
		}
		lr := c.LR
		if _, err := e.Step(Rates{LR: [3]float64{lr, lr, lr}, Momentum: c.Moment, EMADecay: EMADecay(i + 1)}); err != nil {
			t.Fatal(err)
		}
		part := &off.late
		if i < 20 {
			part = &off.early
		}
		*part = max(*part, math.Abs(l.Total/noted[0]-1))
		if i >= len(want.Losses)-16 {
			tail, wantTail = tail+l.Total, wantTail+noted[0]
		}
	}
	off.tail = math.Abs(tail/wantTail - 1)
	off.norm = max(normsOff(e.Weights(false), want.FinalNorms), normsOff(e.Weights(true), want.EMANorms))
	for name, before := range s.State {
		if s.Plan != nil && s.Plan.Frozen(name) && !bytes.Equal(before.Raw, e.Weights(false)[name].Raw) {
			t.Errorf("%s is frozen and has changed", name)
		}
	}
	return off
}

// normsOff is how far the norm of a tensor is off at most.
func normsOff(state map[string]*onnx.Tensor, want map[string]float64) (off float64) {
	for name, norm := range want {
		tensor := state[name]
		if tensor == nil { // the anchors, which the graph holds as constants
			continue
		}
		sum := 0.0
		for _, v := range tensor.Float64s() {
			sum += v * v
		}
		off = max(off, math.Abs(math.Sqrt(sum)-norm)/max(norm, 1e-9))
	}
	return off
}

func (c *recordedCurve) spec(t *testing.T, run string) *Spec {
	t.Helper()
	m := fixture.LoadShared(t, c.Weights)
	names := make([]string, c.NC)
	for i := range names {
		names[i] = c.Names[fmt.Sprint(i)]
	}
	m, fresh, err := m.ForClasses(names, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fresh {
		m.State[name] = c.file.Tensors["init/"+name]
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	s := &Spec{Net: m.Net, State: m.State, Batch: c.Batch, Height: c.ImgSize, Width: c.ImgSize,
		Loss:      LossOf(hyp).Scaled(m.Net, int64(c.ImgSize)),
		Optimizer: optim.Options{Algorithm: "SGD", WeightDecay: c.Decay, ClipNorm: ClipNorm}}
	if layers, bn, ok := strings.Cut(strings.TrimPrefix(run, "frozen"), "_bn_"); ok {
		if s.Plan, err = m.Plan([]string{layers}, []string{bn}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
