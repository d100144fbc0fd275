package finetune

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/yolov5"
)

// recording is a file of ../shared/golden/steps: ten training steps in PyTorch, float64.
type recording struct {
	*safetensors.File
	Case       string
	YAML       map[string]any
	ImgSize    int `json:"imgsz"`
	NC         int
	Freeze     []string
	FrozenBN   string `json:"frozen_bn"`
	Optimizer  string
	LR         float64
	Hyp        map[string]float64 `json:"hyp_after_scaling"`
	Batch      int
	Accumulate int
	Steps      int
	ClipNorm   float64 `json:"clip_norm"`
	Losses     [][][4]float64
	GradNorm   []float64                  `json:"grad_norm_before_clip"`
	Noise      map[string]json.RawMessage `json:"float32_noise"`
}

// goldenFolder is where recordings are: $YOLOFREEZE_GOLDEN, or steps of the shared folder.
func goldenFolder(t *testing.T) string {
	folder := os.Getenv("YOLOFREEZE_GOLDEN")
	if folder == "" {
		folder = filepath.Join(shared(t), "golden", "steps")
	}
	return folder
}

func shared(t *testing.T) string {
	folder := os.Getenv("YOLOFREEZE_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("recordings are absent: %v", err)
	}
	return folder
}

func needORT(t *testing.T) {
	if err := ort.Init(); err != nil {
		t.Skipf("tier ort: %v", err)
	}
}

func readRecording(t *testing.T, path string) *recording {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{File: f}
	if err := json.Unmarshal([]byte(f.Metadata["case"]), r); err != nil {
		t.Fatalf("%s: metadata: %v", path, err)
	}
	return r
}

// tolerance is four times PyTorch's own float32 noise, at least 1e-4.
func (r *recording) tolerance(group string) float64 {
	var n struct{ Worst float64 }
	if err := json.Unmarshal(r.Noise[group], &n); err != nil {
		_ = json.Unmarshal(r.Noise[group], &n.Worst)
	}
	if strings.HasPrefix(r.Optimizer, "Adam") && (group == "after1" || group == "ema1") {
		return 4 * n.Worst
	}
	return max(4*n.Worst, 1e-4)
}

func (r *recording) spec(t *testing.T) *Spec {
	t.Helper()
	net, err := yolov5.ParseTable(r.YAML, r.NC)
	if err != nil {
		t.Fatal(err)
	}
	params, err := net.Params()
	if err != nil {
		t.Fatal(err)
	}
	s := &Spec{Net: net, State: map[string]*onnx.Tensor{}, Batch: r.Batch, Height: r.ImgSize, Width: r.ImgSize,
		Optimizer: optim.Options{Algorithm: r.Optimizer, WeightDecay: r.Hyp["weight_decay"], ClipNorm: r.ClipNorm},
		Loss: yolov5.LossOptions{Box: r.Hyp["box"], Obj: r.Hyp["obj"], Cls: r.Hyp["cls"], ObjPW: r.Hyp["obj_pw"], ClsPW: r.Hyp["cls_pw"],
			FLGamma: r.Hyp["fl_gamma"], LabelSmoothing: r.Hyp["label_smoothing"], AnchorT: r.Hyp["anchor_t"]}}
	network := freeze.Network{Layers: len(net.Layers), Backbone: net.Backbone, Head: net.Head()}
	for _, p := range params {
		s.State[p.Name] = r.Tensors["init/"+p.Name]
		network.Parameters = append(network.Parameters, freeze.Parameter{Name: p.Name, Shape: p.Shape, Buffer: p.Kind.Buffer()})
	}
	if len(r.Freeze) > 0 {
		selectors, err := freeze.Parse(r.Freeze)
		if err != nil {
			t.Fatal(err)
		}
		if s.Plan, err = freeze.New(network, selectors, freeze.Policy{Mode: freeze.BN(r.FrozenBN)}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// deviation is the largest difference as a share of the largest entry.
func deviation(got, want []float64) float64 {
	top, worst := 0.0, 0.0
	for i, w := range want {
		top = max(top, math.Abs(w))
		if d := math.Abs(got[i] - w); d > worst || math.IsNaN(d) {
			worst = d
		}
	}
	if worst == 0 {
		return 0
	}
	return worst / top
}

func TestRecordedSteps(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(goldenFolder(t), "*.safetensors"))
	if len(files) == 0 {
		t.Fatal("no recordings in " + goldenFolder(t))
	}
	needORT(t)
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".safetensors"), func(t *testing.T) { replay(t, readRecording(t, f)) })
	}
}

func replay(t *testing.T, r *recording) {
	s := r.spec(t)
	e, err := NewEngine(s, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	check := func(group, name string, got, want *onnx.Tensor) {
		t.Helper()
		if d, limit := deviation(got.Float64s(), want.Float64s()), r.tolerance(group); !(d <= limit) {
			t.Errorf("%s %s: off by %.3g of its largest entry, limit %.3g", group, name, d, limit)
		}
	}
	updates := 0
	for step := range r.Steps {
		for i := range r.Accumulate {
			name := string(rune('0' + i))
			matches := s.Net.Assign(targetsOf(r.Tensors["targets/"+name]), r.ImgSize, r.ImgSize, s.Loss.AnchorT)
			got, err := e.Accumulate(r.Tensors["images/"+name].Raw, matches)
			if err != nil {
				t.Fatal(err)
			}
			want := r.Losses[step][i]
			for j, v := range []float64{got.Total, got.Box, got.Obj, got.Cls} {
				if d := math.Abs(v - want[j]); d > r.tolerance("losses")*math.Abs(want[j])+1e-9 {
					t.Errorf("step %d batch %d: loss part %d is %.7g, recorded %.7g", step, i, j, v, want[j])
				}
			}
		}
		if step == 0 {
			for _, p := range e.Graphs.Trainable {
				check("grad", p.Name, e.gradients[optim.Gradient(p.Name)], r.Tensors["grad/"+p.Name])
			}
		}
		updates++
		decay := 0.9999 * (1 - math.Exp(-float64(updates)/2000))
		norm, err := e.Step(Rates{[3]float64{r.LR, r.LR, r.LR}, r.Hyp["momentum"], decay})
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(norm-r.GradNorm[step]) / r.GradNorm[step]; d > max(r.tolerance("grad"), 0.02*float64(step)) {
			t.Errorf("step %d: gradient norm %.6g, recorded %.6g", step, norm, r.GradNorm[step])
		}
		if step == 0 {
			now, averaged := e.State(false), e.State(true)
			for name := range s.State {
				for group, state := range map[string]map[string]*onnx.Tensor{"after1": now, "ema1": averaged} {
					want := r.Tensors[group+"/"+name]
					if want == nil {
						want = r.Tensors["init/"+name]
					}
					check(group, name, state[name], want)
				}
			}
		}
	}
	check("eval_output", "", evalOutput(t, s, e, r), r.Tensors["eval_output"])
}

// evalOutput decodes the recording's first pictures with the averaged weights, through the export graph.
func evalOutput(t *testing.T, s *Spec, e *Engine, r *recording) *onnx.Tensor {
	t.Helper()
	m, err := BuildExport(s.Net, e.State(true), s.Batch, s.Height, s.Width)
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(m, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	pixels := r.Tensors["images/0"]
	scaled := make([]float32, len(pixels.Raw))
	for i, p := range pixels.Raw {
		scaled[i] = float32(p) / 255
	}
	out, err := b.session.Run(map[string]*onnx.Tensor{"images": onnx.Of(scaled, pixels.Shape...)})
	if err != nil {
		t.Fatal(err)
	}
	return out["output0"]
}

func targetsOf(rows *onnx.Tensor) []yolov5.Target {
	var list []yolov5.Target
	for row := range slices.Chunk(rows.Float64s(), 6) {
		list = append(list, yolov5.Target{Image: int(row[0]), Class: int(row[1]), X: row[2], Y: row[3], W: row[4], H: row[5]})
	}
	return list
}
