package model

import (
	"fmt"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yolov5"
)

// loadOnDevice reads a folder of ONNX Runtime's on-device training, or its
// checkpoint alone: ours tells its network, another's is guessed as that of a
// bare state dict. Freeze repeats the checkpoint's list of frozen parameters.
func loadOnDevice(path string) (*Model, error) {
	s, err := artifact.ReadTrainingState(path)
	if err != nil {
		return nil, err
	}
	named, frozen := map[string]*onnx.Tensor{}, map[string]bool{}
	for _, t := range s.Trainable {
		named[t.Name] = t.Tensor
	}
	for _, t := range s.Frozen {
		named[t.Name], frozen[t.Name] = t.Tensor, true
	}
	m, err := modelOfOnDevice(path, named, s.Properties[ModelKey])
	if err != nil {
		return nil, err
	}
	params, err := m.Net.Params()
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	var names []string
	for _, p := range params {
		if !p.Kind.Buffer() && frozen[p.Name] {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return m, nil
	}
	plan, err := m.Plan(names, nil)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("its list of frozen parameters: %w", err)}
	}
	m.Freeze = frozenPrefixes(plan)
	return m, nil
}

func modelOfOnDevice(path string, named map[string]*onnx.Tensor, about string) (*Model, error) {
	if about == "" {
		net, state, err := yolov5.FromState(named, nil)
		if err != nil {
			return nil, &disk.InputError{Path: path, Err: fmt.Errorf("%w (no property %s)", err, ModelKey)}
		}
		m := &Model{Path: path, Net: net, State: state}
		return m, m.CheckNames()
	}
	m, err := describedModel(path, about)
	if err != nil {
		return nil, err
	}
	if m.State, err = m.Net.Pick(named); err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	return m, nil
}

// inspectOnDevice reads a folder of on-device training.
func inspectOnDevice(dir string) (*Info, error) {
	m, err := loadOnDevice(dir)
	if err != nil {
		return nil, err
	}
	info, err := m.info(KindOnDevice, m.State, frozenBy(map[string]string{FrozenKey: strings.Join(m.Freeze, ",")}))
	if err != nil {
		return nil, err
	}
	info.Metadata = map[string]string{"freeze": strings.Join(m.Freeze, ",")}
	return info, nil
}
