// Package recorded reads recordings of PyTorch's training steps. Only tests
// import it. It knows nothing of how steps are made here.
package recorded

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/yolov5"
)

// Recording is ten training steps in PyTorch, in float64.
type Recording struct {
	*safetensors.File
	Case       string
	YAML       map[string]any // the layer table
	ImgSize    int            `json:"imgsz"`
	NC         int
	Freeze     []string
	FrozenBN   string `json:"frozen_bn"`
	Optimizer  string
	LR         float64
	Hyp        map[string]float64 `json:"hyp_after_scaling"`
	Batch      int
	Accumulate int
	World      int  // ranks that trained together; 0: one process
	SyncBN     bool `json:"sync_bn"` // whose BatchNorms have the statistics of all
	Steps      int
	ClipNorm   float64 `json:"clip_norm"`
	Losses     [][][4]float64
	GradNorm   []float64                  `json:"grad_norm_before_clip"`
	Noise      map[string]json.RawMessage `json:"float32_noise"`
}

// folder holds the recordings: $YOLOFREEZE_GOLDEN, or golden/steps in the shared folder.
func folder(t *testing.T) string {
	t.Helper()
	if folder := os.Getenv("YOLOFREEZE_GOLDEN"); folder != "" {
		return folder
	}
	return shared.Path(t, "golden", "steps")
}

// Each runs a subtest for each file of the folder.
func Each(t *testing.T, test func(t *testing.T, r *Recording)) {
	t.Helper()
	each(t, folder(t), test)
}

// EachDDP does so for recordings of several ranks: $YOLOFREEZE_GOLDEN_DDP, or golden/ddp in the
// shared folder. images/R and targets/R are rank R's, and so are losses[step][R].
func EachDDP(t *testing.T, test func(t *testing.T, r *Recording)) {
	t.Helper()
	folder := os.Getenv("YOLOFREEZE_GOLDEN_DDP")
	if folder == "" {
		folder = shared.Path(t, "golden", "ddp")
	}
	each(t, folder, test)
}

func each(t *testing.T, folder string, test func(t *testing.T, r *Recording)) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "*.safetensors"))
	if len(files) == 0 {
		t.Fatal("no recordings in " + folder)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) { test(t, read(t, file)) })
	}
}

// Named reads one recording of the folder.
func Named(t *testing.T, name string) *Recording {
	t.Helper()
	return read(t, filepath.Join(folder(t), name+".safetensors"))
}

func read(t *testing.T, file string) *Recording {
	t.Helper()
	f, err := safetensors.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &Recording{File: f}
	if err := json.Unmarshal([]byte(f.Metadata["case"]), r); err != nil {
		t.Fatalf("%s: metadata: %v", file, err)
	}
	return r
}

// Init returns the parameters and running statistics before the first step, by name.
func (r *Recording) Init() map[string]*onnx.Tensor {
	state := map[string]*onnx.Tensor{}
	for name, tensor := range r.Tensors {
		if bare, ok := strings.CutPrefix(name, "init/"); ok {
			state[bare] = tensor
		}
	}
	return state
}

// Targets reads rows of image, class, centre and size, as targets/0 and on hold them.
func Targets(rows *onnx.Tensor) []yolov5.Target {
	var list []yolov5.Target
	for row := range slices.Chunk(rows.Float64s(), 6) {
		list = append(list, yolov5.Target{Image: int(row[0]), Class: int(row[1]), X: row[2], Y: row[3], W: row[4], H: row[5]})
	}
	return list
}

// Limit is how far a group of numbers may be from the recording: four times the
// deviation of PyTorch's own float32 run, at least 1e-4. After a first step of
// Adam there is no least: all its steps have the same length.
func (r *Recording) Limit(group string) float64 {
	var noise struct{ Worst float64 }
	if err := json.Unmarshal(r.Noise[group], &noise); err != nil {
		_ = json.Unmarshal(r.Noise[group], &noise.Worst)
	}
	if strings.HasPrefix(r.Optimizer, "Adam") && (group == "after1" || group == "ema1") {
		return 4 * noise.Worst
	}
	return max(4*noise.Worst, 1e-4)
}
