package artifact

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/wire"
)

// OnDevice is a folder of ONNX Runtime's on-device training, last seen in
// onnxruntime-training 1.19.2: training_model.onnx, eval_model.onnx,
// optimizer_model.onnx and checkpoint.
type OnDevice struct {
	Training, Eval *onnx.Model
	Optimizer      []byte // of wire.OnDeviceOptimizer: its inputs are sequences, which onnx.Model has not
	State          *TrainingState
}

// StateFile is the name of the folder's checkpoint.
const StateFile = "checkpoint"

// IsOnDevice reports whether dir is such a folder.
func IsOnDevice(dir string) bool {
	f, _, err := disk.Open(filepath.Join(dir, StateFile), 1<<31)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 8)
	_, err = io.ReadFull(f, head)
	return err == nil && IsTrainingState(head)
}

// ReadTrainingState reads a checkpoint file, or a folder's.
func ReadTrainingState(path string) (*TrainingState, error) {
	if disk.IsFolder(path) {
		path = filepath.Join(path, StateFile)
	}
	data, err := readFile(path, 1<<31)
	if err != nil {
		return nil, err
	}
	s, err := DecodeTrainingState(data)
	if err != nil {
		return nil, &Error{path, err.Error(), ""}
	}
	return s, nil
}

// WriteOnDevice writes a folder whole or not at all. What is there already must
// be such a folder, and then only gives way with replace.
func WriteOnDevice(dir string, d *OnDevice, replace bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0:
	case err != nil:
		return &Error{dir, "is there and not a folder", ""}
	case !IsOnDevice(dir):
		return &Error{dir, "is there and no folder of on-device training", "name a new folder"}
	case !replace:
		return &Error{dir, "is there already", "name another folder, or write over it with `exist-ok`"}
	}
	if err := nothingElse(dir, entries, []string{TrainingFile, EvalFile, OptimizerFile, StateFile}); err != nil {
		return err
	}
	temp, done, err := stage(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	defer done() // with the new folder on failure, the old one after an exchange
	if err = d.fill(temp); err == nil {
		err = place(temp, dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", dir, err)
	}
	return nil
}

func (d *OnDevice) fill(dir string) error {
	for _, f := range []struct {
		name    string
		content func() ([]byte, error)
	}{
		{TrainingFile, func() ([]byte, error) { return wire.Encode(d.Training) }},
		{EvalFile, func() ([]byte, error) { return wire.Encode(d.Eval) }},
		{OptimizerFile, func() ([]byte, error) { return d.Optimizer, nil }},
		{StateFile, func() ([]byte, error) { return EncodeTrainingState(d.State) }},
	} {
		data, err := f.content()
		if err == nil {
			err = disk.Write(filepath.Join(dir, f.name), data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}
