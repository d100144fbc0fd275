package export

import (
	"fmt"
	"slices"
	"strings"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
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
	anchors, err := anchorCells(m.Net)
	if err != nil {
		return nil, err
	}
	head := m.Net.Layers[m.Net.Head()].Name() + "."
	first := slices.IndexFunc(list, func(t torch.NamedTensor) bool { return strings.HasPrefix(t.Name, head) })
	list = slices.Insert(list, first, torch.NamedTensor{Name: head + "anchors", Tensor: anchors})
	for i, t := range list {
		if toHalf && t.Tensor.DType == onnx.Float {
			if list[i].Tensor, err = pass.HalfTensor(t.Name, t.Tensor); err != nil {
				return nil, err
			}
		}
	}
	return torch.EncodeState(list)
}

// oneBranch refuses a model of several branches for what has room for one.
func oneBranch(m *model.Model, what string) error {
	if n := len(m.Net.Branches); n > 0 {
		return &disk.InputError{Path: m.Path, Err: fmt.Errorf("has %d branches, %s holds one: `branch N` exports one alone", n, what)}
	}
	return nil
}

// anchorCells is the anchors buffer: [levels, anchors, 2], in cells.
func anchorCells(net *yolov5.Network) (*onnx.Tensor, error) {
	per := len(net.Anchors[0])
	var cells []float32
	for i, level := range net.Anchors {
		if len(level) != per {
			return nil, fmt.Errorf("level %d has %d anchors, level 0 %d: no buffer of PyTorch's holds them", i, len(level), per)
		}
		for _, a := range level {
			cells = append(cells, float32(a[0]/float64(net.Strides[i])), float32(a[1]/float64(net.Strides[i])))
		}
	}
	return onnx.Of(cells, int64(len(net.Anchors)), int64(per), 2), nil
}

// WriteState writes StateFile's bytes to a file, whole or not at all.
func WriteState(path string, m *model.Model, toHalf bool) error {
	data, err := StateFile(m, toHalf)
	if err != nil {
		return fmt.Errorf("export %s: %w", m.Path, err)
	}
	return runs.WriteFile(path, data)
}
