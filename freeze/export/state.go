package export

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/module"
)

// StateFile writes the model as a PyTorch state dict (.pt), with all that
// YOLOv5's Model(cfg).load_state_dict asks for: weights, statistics, counters
// of batches, which are 0, and the anchors in cells. A network whose BatchNorm
// is folded is what Model(cfg).fuse() has. half rounds to float16.
func StateFile(m *model.Model, toHalf bool) ([]byte, error) {
	if err := oneBranch(m, "a state dict of YOLOv5's"); err != nil {
		return nil, err
	}
	params, err := m.Net.Params()
	if err != nil {
		return nil, err
	}
	var list []torch.NamedTensor
	for _, p := range params {
		t := m.State[p.Name]
		if t == nil {
			return nil, fmt.Errorf("the weights lack %s", p.Name)
		}
		list = append(list, torch.NamedTensor{Name: p.Name, Tensor: t, Parameter: !p.Kind.Buffer()})
		if p.Kind == yolov5.RunningVar {
			counter := strings.TrimSuffix(p.Name, "running_var") + "num_batches_tracked"
			list = append(list, torch.NamedTensor{Name: counter, Tensor: onnx.Scalar(int64(0))})
		}
	}
	anchors, err := module.Anchors(m.Net)
	if err != nil {
		return nil, err
	}
	head := m.Net.Layers[m.Net.Head()].Name() + "."
	first := slices.IndexFunc(list, func(t torch.NamedTensor) bool { return strings.HasPrefix(t.Name, head) })
	list = slices.Insert(list, first, torch.NamedTensor{Name: head + "anchors", Tensor: anchors})
	for i, t := range list {
		if list[i].Tensor, err = rounded(t.Name, t.Tensor, toHalf); err != nil {
			return nil, err
		}
	}
	return torch.EncodeState(list)
}

// oneBranch refuses a model of several branches for what has room for one.
func oneBranch(m *model.Model, what string) error {
	if n := len(m.Net.Branches); n > 0 {
		return &branchesError{n, what}
	}
	return nil
}

// branchesError is a model of several branches where one is wanted.
type branchesError struct {
	branches int
	what     string
}

func (e *branchesError) Error() string {
	return fmt.Sprintf("has %d branches, %s holds one: `branch N` exports one alone", e.branches, e.what)
}

// BadInput marks the error as the model's.
func (e *branchesError) BadInput() bool { return true }

// CheckpointFile writes the model as YOLOv5 writes what it has trained (.pt): its
// detect.py, val.py and train.py --weights open it, with a network that their own classes
// are. half rounds to float16, as theirs is.
func CheckpointFile(m *model.Model, toHalf bool) ([]byte, error) {
	if err := oneBranch(m, "a checkpoint of YOLOv5's"); err != nil {
		return nil, err
	}
	state := maps.Clone(m.State)
	for name, t := range state {
		var err error
		if state[name], err = rounded(name, t, toHalf); err != nil {
			return nil, err
		}
	}
	c, err := module.Checkpoint(m.Net, state, m.Names)
	if err != nil {
		return nil, err
	}
	return torch.Encode(c)
}

// rounded is a tensor as it is written.
func rounded(name string, t *onnx.Tensor, toHalf bool) (*onnx.Tensor, error) {
	if toHalf && t.DType == onnx.Float {
		return pass.HalfTensor(name, t)
	}
	return t, nil
}

// WriteTorch writes what encode, StateFile or CheckpointFile, makes of the model, whole or
// not at all.
func WriteTorch(path string, m *model.Model, toHalf bool, encode func(*model.Model, bool) ([]byte, error)) error {
	data, err := encode(m, toHalf)
	if err != nil {
		return fmt.Errorf("export %s: %w", m.Path, err)
	}
	return runs.WriteFile(path, data)
}
