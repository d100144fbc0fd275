package checkpoint

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/safetensors"
)

// Files of a run's folder of weights.
const (
	LastFile   = "last.safetensors"
	BeforeFile = "last-before.safetensors" // the state saved before that
)

// Names in a checkpoint. Plain names hold the averaged weights, so that the
// file serves as a model too.
const (
	stateKey     = model.MetadataPrefix + "state"
	weightPrefix = "training/"
	sumKey       = model.MetadataPrefix + "sum" // of files since it was introduced
)

// description is what a checkpoint's metadata say under stateKey.
type description struct {
	Options  json.RawMessage `json:"options"` // the text of opt.yaml
	Source   artifact.Source `json:"source"`
	Teacher  artifact.Source `json:"teacher,omitzero"`
	Data     string          `json:"data"` // fingerprint
	Progress Progress        `json:"progress"`
}

func (d *description) options() (o options.Options, err error) {
	var text string
	if err = json.Unmarshal(d.Options, &text); err == nil {
		o, err = options.FromYAML([]byte(text))
	}
	if err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	return o, nil
}

// describe is the metadata of a state.
func describe(s *State) (string, error) {
	text, err := s.Options.YAML()
	if err != nil {
		return "", err
	}
	quoted, err := json.Marshal(string(text))
	if err != nil {
		return "", err
	}
	d, err := json.Marshal(description{quoted, s.Source, s.Teacher, s.Data, s.Progress})
	if err != nil {
		return "", fmt.Errorf("describe the run's state: %w", err)
	}
	return string(d), nil
}

// Write saves the state of an engine, synced, at s.Path with what s says of the run;
// s.Model holds the averaged weights, of all branches. The checkpoint that was
// there stays beside it.
func Write(s *State, e *step.Engine) error {
	s.Progress.Scaler = e.Scaler
	text, err := describe(s)
	if err != nil {
		return err
	}
	f, err := s.Model.File()
	if err != nil {
		return err
	}
	f.Names, f.Metadata[stateKey] = nil, text
	for name, tensor := range e.Trained {
		f.Tensors[weightPrefix+name] = tensor
	}
	for name, tensor := range e.Optimizer {
		if !strings.HasPrefix(name, optim.EMA("")) {
			f.Tensors[name] = tensor
		}
	}
	if p := s.Progress; p.Batch > 0 && p.LastStep != p.Iteration-1 { // gradients wait for a step
		for name, tensor := range e.Gradients {
			f.Tensors[name] = tensor
		}
	}
	f.Metadata[sumKey] = safetensors.Sum(f, sumKey)
	// A checkpoint that a disk damages leaves the one before it.
	if err := disk.Keep(s.Path, filepath.Join(filepath.Dir(s.Path), BeforeFile)); err != nil {
		return fmt.Errorf("keep the last checkpoint: %w", err)
	}
	return safetensors.Write(s.Path, f)
}
