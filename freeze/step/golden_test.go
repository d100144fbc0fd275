package step

import (
	"math"
	"os"
	"testing"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/recorded"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// recording is a file of recorded steps, and how it is replayed.
type recording struct {
	*recorded.Recording
	changes []func(*Spec)           // what a replay does otherwise
	options ort.Options             // of its sessions
	weights map[string]*onnx.Tensor // where a replay starts: init/*, or that moved by one ulp
}

func newRecording(r *recorded.Recording) *recording {
	return &recording{Recording: r, weights: r.Init()}
}

// eachRecording runs a subtest per file of the folder, several at a time.
func eachRecording(t *testing.T, test func(t *testing.T, r *recording)) {
	recorded.Each(t, func(t *testing.T, r *recorded.Recording) {
		together(t)
		test(t, newRecording(r))
	})
}

// together lets a test run beside others where it runs on the CPU: a step of a small
// model leaves processors idle, but a device is one.
func together(t *testing.T) {
	if os.Getenv("YOLOFREEZE_TEST_DEVICE") == "" {
		t.Parallel()
	}
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
		Loss: loss.Options{Box: r.Hyp["box"], Obj: r.Hyp["obj"], Cls: r.Hyp["cls"], ObjPW: r.Hyp["obj_pw"], ClsPW: r.Hyp["cls_pw"],
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
