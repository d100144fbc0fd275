package finetune

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
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
}

// TestRecordedCurve follows eighty steps of each recorded run.
func TestRecordedCurve(t *testing.T) {
	folder := shared.Path(t, "golden", "curve")
	if testing.Short() {
		t.Skip("trains 240 steps")
	}
	needORT(t)
	var c recordedCurve
	readJSON(t, filepath.Join(folder, "curve.json"), &c)
	f, err := safetensors.Read(filepath.Join(folder, "curve.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.Runs {
		t.Run(name, func(t *testing.T) { c.follow(t, f, name) })
	}
}

func (c *recordedCurve) follow(t *testing.T, f *safetensors.File, run string) {
	s := c.spec(t, f, run)
	e, err := NewEngine(s, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want := c.Runs[run]
	var tail, wantTail float64
	for i, noted := range want.Losses {
		batch := fmt.Sprint(i % c.Batches)
		matches := s.Net.Assign(recorded.Targets(f.Tensors["targets/"+batch]), c.ImgSize, c.ImgSize, s.Loss.AnchorT)
		l, err := e.Accumulate(f.Tensors["images/"+batch].Raw, matches)
		if err != nil {
			t.Fatal(err)
		}
		lr := c.LR
		if _, err := e.Step(Rates{LR: [3]float64{lr, lr, lr}, Momentum: c.Moment, EMADecay: EMADecay(i + 1)}); err != nil {
			t.Fatal(err)
		}
		limit := 0.06
		if i < 20 {
			limit = 0.002
		}
		if d := math.Abs(l.Total-noted[0]) / noted[0]; !(d <= limit) {
			t.Errorf("step %d: loss %.6g, recorded %.6g (%.2g off)", i, l.Total, noted[0], d)
		}
		if i >= len(want.Losses)-16 {
			tail, wantTail = tail+l.Total, wantTail+noted[0]
		}
	}
	if d := math.Abs(tail-wantTail) / wantTail; !(d <= 0.01) {
		t.Errorf("the last 16 losses are %.2g off on average", d)
	}
	c.norms(t, "final", e.State(false), want.FinalNorms, want.Noise.FinalNorms)
	c.norms(t, "average", e.State(true), want.EMANorms, want.Noise.FinalNorms)
	for name, before := range s.State {
		if s.Plan != nil && s.Plan.Frozen(name) && !bytes.Equal(before.Raw, e.State(false)[name].Raw) {
			t.Errorf("%s is frozen and has changed", name)
		}
	}
}

func (c *recordedCurve) norms(t *testing.T, which string, state map[string]*onnx.Tensor, want map[string]float64, noise float64) {
	t.Helper()
	for name, norm := range want {
		tensor := state[name]
		if tensor == nil { // the anchors, which the graph holds as constants
			continue
		}
		sum := 0.0
		for _, v := range tensor.Float64s() {
			sum += v * v
		}
		if d := math.Abs(math.Sqrt(sum)-norm) / max(norm, 1e-9); d > 4*noise {
			t.Errorf("%s %s: norm %.6g, recorded %.6g", which, name, math.Sqrt(sum), norm)
		}
	}
}

func (c *recordedCurve) spec(t *testing.T, f *safetensors.File, run string) *Spec {
	t.Helper()
	m := loadShared(t, c.Weights)
	names := make([]string, c.NC)
	for i := range names {
		names[i] = c.Names[fmt.Sprint(i)]
	}
	m, fresh, err := m.ForClasses(names, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range fresh {
		m.State[name] = f.Tensors["init/"+name]
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	s := &Spec{Net: m.Net, State: m.State, Batch: c.Batch, Height: c.ImgSize, Width: c.ImgSize,
		Loss:      lossOf(hyp).Scaled(m.Net, int64(c.ImgSize)),
		Optimizer: optim.Options{Algorithm: "SGD", WeightDecay: c.Decay, ClipNorm: clipNorm}}
	if layers, bn, ok := strings.Cut(strings.TrimPrefix(run, "frozen"), "_bn_"); ok {
		if s.Plan, err = m.Plan([]string{layers}, []string{bn}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
