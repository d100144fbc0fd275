package artifact

import (
	"fmt"
	"slices"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/safetensors"
)

// The files of a folder.
const (
	TrainingFile   = "training_model.onnx"
	OptimizerFile  = "optimizer_model.onnx"
	EvalFile       = "eval_model.onnx"
	CheckpointFile = "checkpoint.safetensors"
	PlanFile       = "freeze.yaml"
	ManifestFile   = "manifest.json"
)

// hashed are the files that the manifest holds checksums of.
var hashed = []string{TrainingFile, OptimizerFile, EvalFile, CheckpointFile, PlanFile}

// Format is the version of the folder's layout.
const Format = 1

// Bundle is the content of a folder.
type Bundle struct {
	Manifest   Manifest
	Plan       *freeze.Plan
	Checkpoint *safetensors.File

	Training, Optimizer, Eval *onnx.Model // nil after Open, which leaves them on the disk
}

// Manifest says what a folder was made from and for. Write fills in Format,
// Trainable, Frozen and Files.
type Manifest struct {
	Format    int                `json:"format"`
	Version   string             `json:"version"` // of the program that wrote the folder
	Source    Source             `json:"source"`
	Batch     int                `json:"batch"`
	ImgSize   int                `json:"imgsz"`
	Height    int                `json:"imgsz_height,omitempty"` // where it is not ImgSize, the width
	Hyp       map[string]float64 `json:"hyp"`                    // by YOLOv5's names, before scaling
	Optimizer Optimizer          `json:"optimizer"`              // as the graph has it
	BN        []string           `json:"bn"`
	Freeze    []string           `json:"freeze"`
	Trainable []string           `json:"trainable"` // parameters, in the network's order
	Frozen    []string           `json:"frozen"`
	Files     map[string]File    `json:"files"`
}

// Source is the weights file that a folder was made from.
type Source struct {
	File   string `json:"file"` // its name, without folders
	SHA256 string `json:"sha256"`
}

// Optimizer is the update rule of the optimizer graph.
type Optimizer struct {
	Name        string  `json:"name"`
	WeightDecay float64 `json:"weight_decay"`
	ClipNorm    float64 `json:"clip_norm"`
}

// File is what the manifest knows of another file.
type File struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Error says what is wrong with a folder.
type Error struct {
	Path   string // of the folder or of a file in it
	Reason string
	hint   string
}

func (e *Error) Error() string { return e.Path + ": " + e.Reason }

// BadInput marks the error as the input's fault.
func (e *Error) BadInput() bool { return true }

// Hint says how to mend it; it may be empty.
func (e *Error) Hint() string { return e.hint }

// KeptPrefix begins the names of tensors that the plan does not speak of: those of branches
// beside the one that trains.
const KeptPrefix = "kept/"

// check holds plan, checkpoint and manifest against each other. The reason it
// returns names the tensor.
func (b *Bundle) check() error {
	frozen, trainable := b.Plan.FrozenNames(), b.Plan.TrainableNames()
	if !slices.Equal(frozen, b.Manifest.Frozen) || !slices.Equal(trainable, b.Manifest.Trainable) {
		return fmt.Errorf("%s lists %d frozen and %d trainable parameters, %s %d and %d, or others",
			ManifestFile, len(b.Manifest.Frozen), len(b.Manifest.Trainable), PlanFile, len(frozen), len(trainable))
	}
	for _, e := range b.Plan.Entries {
		t := b.Checkpoint.Tensors[e.Name]
		switch {
		case t == nil:
			return fmt.Errorf("%s lacks tensor %s", CheckpointFile, e.Name)
		case !slices.Equal(t.Shape, e.Shape):
			return fmt.Errorf("tensor %s is %v in %s, %v in %s", e.Name, t.Shape, CheckpointFile, e.Shape, PlanFile)
		case t.DType != onnx.Float:
			return fmt.Errorf("tensor %s of %s is %v, want float32", e.Name, CheckpointFile, t.DType)
		}
	}
	n, m := 0, len(b.Plan.Entries)
	for name := range b.Checkpoint.Tensors {
		if !strings.HasPrefix(name, KeptPrefix) {
			n++
		}
	}
	if n != m {
		return fmt.Errorf("%s holds %d tensors, %s speaks of %d", CheckpointFile, n, PlanFile, m)
	}
	return nil
}

// checkGraphs makes sure that what trains, and nothing that is frozen, is an
// input of the training and optimizer graphs.
func (b *Bundle) checkGraphs() error {
	for _, g := range []struct {
		file  string
		model *onnx.Model
	}{{TrainingFile, b.Training}, {OptimizerFile, b.Optimizer}} {
		inputs := map[string]onnx.Type{}
		for _, in := range g.model.Inputs {
			inputs[in.Name] = in.Type
		}
		for _, e := range b.Plan.Entries {
			in, given := inputs[e.Name]
			sizes, fixed := in.Static() // the optimizer's graph takes every tensor as a vector
			switch {
			case e.Buffer:
			case given && e.Frozen:
				return fmt.Errorf("%s takes %s as an input, which is frozen", g.file, e.Name)
			case !e.Frozen && !given:
				return fmt.Errorf("%s lacks the input %s, which trains", g.file, e.Name)
			case given && (in.DType != onnx.Float || !fixed || onnx.NumElements(sizes) != onnx.NumElements(e.Shape)):
				return fmt.Errorf("input %s of %s is %v for a tensor of %v", e.Name, g.file, in, e.Shape)
			}
		}
	}
	return nil
}
