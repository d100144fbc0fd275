package model

import (
	"errors"
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

// LoadAs reads a bare state dict (.pt, .safetensors) whose layers YOLOv5's
// YAML file cfg lists; with cfg "" it is Load. A file that knows its layers
// itself is an error.
func LoadAs(path, cfg string) (*Model, error) {
	if cfg == "" {
		return Load(path)
	}
	named, err := stateDict(path)
	if err != nil {
		return nil, err
	}
	if named == nil {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("knows its own layers: %s is for bare state dicts", cfg)}
	}
	return checked(modelOfState(path, named, cfg))
}

// safetensorsState reads the tensors of a file that does not tell its network.
func safetensorsState(path string) (map[string]*onnx.Tensor, error) {
	f, err := safetensors.Read(path)
	if err != nil || f.Metadata[ModelKey] != "" {
		return nil, err
	}
	return f.Tensors, nil
}

// torchState reads the tensors of a checkpoint without a network.
func torchState(path string) (map[string]*onnx.Tensor, error) {
	c, err := torch.Load(path)
	if err != nil || c.Model != nil {
		return nil, err
	}
	return TensorsOf(c), nil
}

// TensorsOf are the tensors of a checkpoint by their names.
func TensorsOf(c *torch.Checkpoint) map[string]*onnx.Tensor {
	named := make(map[string]*onnx.Tensor, len(c.State))
	for _, t := range c.State {
		named[t.Name] = t.Tensor
	}
	return named
}

// modelOfState reads a bare state dict as the table of the YAML file cfg, or as
// the published layout that it fits.
func modelOfState(path string, named map[string]*onnx.Tensor, cfg string) (*Model, error) {
	var table map[string]any
	if cfg != "" {
		root, err := yaml.Read(cfg)
		if syntax := (*yaml.Error)(nil); errors.As(err, &syntax) {
			return nil, &disk.InputError{Path: cfg, Err: fmt.Errorf("not a YAML file of a model: %w", syntax)}
		}
		if err != nil {
			return nil, fmt.Errorf("read the layer table: %w", err)
		}
		if root.Kind != yaml.Map {
			return nil, &disk.InputError{Path: cfg, Err: fmt.Errorf("not a YAML file of a model: holds %v", root.Kind)}
		}
		table = root.Value().(map[string]any)
	}
	net, state, err := yolov5.FromState(named, table)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	m := &Model{Path: path, Net: net, State: state}
	return m, m.CheckNames()
}
