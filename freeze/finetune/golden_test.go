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

	changes []func(*Spec)           // what a replay does otherwise
	weights map[string]*onnx.Tensor // where a replay starts: init/*, or that moved by one ulp
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
	r.weights = map[string]*onnx.Tensor{}
	for name, tensor := range f.Tensors {
		if bare, ok := strings.CutPrefix(name, "init/"); ok {
			r.weights[bare] = tensor
		}
	}
	return r
}

// eachRecording runs a subtest per file of the folder.
func eachRecording(t *testing.T, test func(t *testing.T, r *recording)) {
	files, _ := filepath.Glob(filepath.Join(goldenFolder(t), "*.safetensors"))
	if len(files) == 0 {
		t.Fatal("no recordings in " + goldenFolder(t))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".safetensors"), func(t *testing.T) { test(t, readRecording(t, f)) })
	}
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
	s := &Spec{Net: net, State: map[string]*onnx.Tensor{}, Batch: r.Batch, Height: r.ImgSize, Width: r.ImgSize, Predictions: true,
		Optimizer: optim.Options{Algorithm: r.Optimizer, WeightDecay: r.Hyp["weight_decay"], ClipNorm: r.ClipNorm},
		Loss: yolov5.LossOptions{Box: r.Hyp["box"], Obj: r.Hyp["obj"], Cls: r.Hyp["cls"], ObjPW: r.Hyp["obj_pw"], ClsPW: r.Hyp["cls_pw"],
			FLGamma: r.Hyp["fl_gamma"], LabelSmoothing: r.Hyp["label_smoothing"], AnchorT: r.Hyp["anchor_t"]}}
	network := freeze.Network{Layers: len(net.Layers), Backbone: net.Backbone, Head: net.Head()}
	for _, p := range params {
		s.State[p.Name] = r.weights[p.Name]
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
	for _, change := range r.changes {
		change(s)
	}
	return s
}

// deviation is the largest difference as a share of the largest entry.
func deviation(got, want []float64) float64 {
	if len(got) != len(want) {
		return math.NaN()
	}
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

func targetsOf(rows *onnx.Tensor) []yolov5.Target {
	var list []yolov5.Target
	for row := range slices.Chunk(rows.Float64s(), 6) {
		list = append(list, yolov5.Target{Image: int(row[0]), Class: int(row[1]), X: row[2], Y: row[3], W: row[4], H: row[5]})
	}
	return list
}
