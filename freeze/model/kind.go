package model

import (
	"errors"
	"path/filepath"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
)

// The kinds of models' files and folders.
const (
	KindCheckpoint  = "checkpoint"
	KindSafetensors = "safetensors"
	KindONNX        = "onnx"
	KindArtifacts   = "artifacts"
	KindOnDevice    = "ort-training"
)

// kinds are those of files, by extension in small letters.
var kinds = map[string]string{".pt": KindCheckpoint, ".pth": KindCheckpoint, ".safetensors": KindSafetensors, ".onnx": KindONNX}

// KindOf tells a model's kind by its extension, in letters of any size, or by what a
// folder holds. It opens no file.
func KindOf(path string) (string, error) {
	if disk.IsFolder(path) {
		if artifact.IsOnDevice(path) {
			return KindOnDevice, nil
		}
		return KindArtifacts, nil
	}
	if kind, ok := kinds[strings.ToLower(filepath.Ext(path))]; ok {
		return kind, nil
	}
	return "", &disk.InputError{Path: path, Err: errors.New("not a model file that is known: want .pt, .onnx, .safetensors or an artifacts folder")}
}

// reader is how a kind is read.
type reader struct {
	load     func(path string) (*Model, error)                  // to train
	evaluate func(path string) (*Model, error)                  // to validate; nil: as to train
	inspect  func(path string) (*Info, error)                   //
	tensors  func(path string) (map[string]*onnx.Tensor, error) // of a bare state dict, nil where the file is none; nil: it never is
}

var readers = map[string]reader{
	KindCheckpoint:  {load: loadTorch, inspect: inspectTorch, tensors: torchState},
	KindSafetensors: {load: loadSafetensors, inspect: inspectSafetensors, tensors: safetensorsState},
	KindONNX:        {load: loadONNX, evaluate: evaluateONNX, inspect: inspectONNX},
	KindArtifacts:   {load: loadArtifacts, inspect: inspectArtifacts},
	KindOnDevice:    {load: loadOnDevice, inspect: inspectOnDevice},
}

// Load reads a checkpoint (.pt), an exported model (.onnx), a file that
// Save wrote (.safetensors), a bare state dict (.pt, .safetensors), whose
// network it guesses, an artifacts folder, or a folder of ONNX Runtime's
// on-device training.
func Load(path string) (*Model, error) {
	kind, err := KindOf(path)
	if err != nil {
		return nil, err
	}
	return checked(readers[kind].load(path))
}

// LoadForVal is Load that takes exports on 8-bit integers too. These keep
// the graph of their file to be validated by; they cannot be trained.
func LoadForVal(path string) (*Model, error) {
	kind, err := KindOf(path)
	if err != nil {
		return nil, err
	}
	if r := readers[kind]; r.evaluate != nil {
		return checked(r.evaluate(path))
	}
	return checked(readers[kind].load(path))
}

// Inspect reads what Load reads, and exports of other makers.
func Inspect(path string) (*Info, error) {
	kind, err := KindOf(path)
	if err != nil {
		return nil, err
	}
	return readers[kind].inspect(path)
}

// stateDict reads the tensors of a bare state dict, nil where the file is none.
func stateDict(path string) (map[string]*onnx.Tensor, error) {
	kind, err := KindOf(path)
	if err != nil || readers[kind].tensors == nil {
		return nil, err
	}
	return readers[kind].tensors(path)
}
