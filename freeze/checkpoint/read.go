package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/safetensors"
)

// State is a run read back from its checkpoint.
type State struct {
	Path     string          // of last.safetensors
	Damaged  error           // why the one before it was read instead; nil: it was not
	Options  options.Options // that the run was started with
	Source   artifact.Source // of the weights that it began with
	Teacher  artifact.Source // of the weights whose classes it keeps, zero without
	Data     string          // fingerprint
	Progress Progress
	Model    *model.Model // with the raw weights: the newest branch, where there are several
	Kept     *model.Model // the other branches, nil where there are none
	Shared   int          // first layers that Model has of them

	averages map[string]*onnx.Tensor
	tensors  map[string]*onnx.Tensor // all of the file
}

// Resumed are the options that the run goes on with, but for those that are Withheld.
func (s *State) Resumed() options.Options {
	o := s.Options
	o.Kernels = step.KernelsAgain(o.Kernels)
	if err := options.CheckStored(o.Device, nil); err != nil {
		o.Device, o.Withheld = "", append(o.Withheld, "device "+o.Device)
	}
	if len(o.ProviderOptions) > 0 {
		o.Withheld = append(o.Withheld, "provider-option "+strings.Join(o.ProviderOptions, ","))
		o.ProviderOptions = nil
	}
	return o
}

// Error says why no run resumes as it was asked for.
type Error struct{ Reason, Cure string }

func (e *Error) Error() string  { return e.Reason }
func (e *Error) BadInput() bool { return true }

// Hint says what to do instead.
func (e *Error) Hint() string { return e.Cure }

// lastFile finds the checkpoint that a run's folder, its weights folder or a path to the file means.
func lastFile(path string) string {
	for _, below := range []string{filepath.Join("weights", LastFile), LastFile} {
		if file := filepath.Join(path, below); disk.IsFile(file) {
			return file
		}
	}
	if disk.IsFolder(path) {
		return filepath.Join(path, "weights", LastFile)
	}
	return path
}

// Read reads the checkpoint of a run, which path, a last.safetensors or a run's folder, belongs to, or the one before it where it is damaged.
func Read(path string) (*State, error) {
	file := lastFile(path)
	s, err := readState(file)
	before := filepath.Join(filepath.Dir(file), BeforeFile)
	var damage *damageError
	if err == nil || filepath.Base(file) != LastFile || !errors.As(err, &damage) || !disk.IsFile(before) {
		return s, err
	}
	s, second := readState(before)
	if second != nil {
		return nil, fmt.Errorf("%w; and so is the checkpoint before it: %w", err, second)
	}
	s.Path, s.Damaged = file, err
	return s, nil
}

// damageError is a checkpoint that is gone, or not as it was written.
type damageError struct{ error }

func (e *damageError) Unwrap() error  { return e.error }
func (e *damageError) BadInput() bool { return true }

// checkResumable names what people take for a run of ours.
func checkResumable(file string) error {
	notRun := func(file, what string) error {
		return &Error{fmt.Sprintf("%s: %s: a run of yolofreeze resumes from its %s or its folder", file, what, LastFile),
			"`weights " + file + "` starts a new run from it"}
	}
	const checkpoint = "a PyTorch checkpoint; runs of YOLOv5 cannot be resumed"
	switch strings.ToLower(filepath.Ext(file)) {
	case ".onnx":
		return notRun(file, "an exported model, which has weights only")
	case ".pt", ".pth":
		return notRun(file, checkpoint)
	}
	var head [4]byte
	f, _, err := disk.Open(file, math.MaxInt64)
	if err == nil {
		defer f.Close()
		if _, err := f.ReadAt(head[:], 0); err == nil && string(head[:]) == "PK\x03\x04" {
			return notRun(file, checkpoint)
		}
		return nil
	}
	if other := filepath.Join(filepath.Dir(file), "last.pt"); errors.Is(err, fs.ErrNotExist) && disk.IsFile(other) {
		return notRun(other, "a run of YOLOv5, which cannot be resumed")
	}
	return nil
}

// readState reads one checkpoint.
func readState(file string) (*State, error) {
	if err := checkResumable(file); err != nil {
		return nil, err
	}
	f, err := safetensors.Read(file)
	var format *safetensors.FormatError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &damageError{&disk.InputError{Path: file, Err: errors.New("no such checkpoint to resume from")}}
	case errors.As(err, &format):
		return nil, &damageError{err}
	case err != nil:
		return nil, err
	}
	text, ok := f.Metadata[stateKey]
	sum, summed := f.Metadata[sumKey]
	damaged := func(format string, args ...any) error {
		return &damageError{&disk.InputError{Path: file, Err: fmt.Errorf(format, args...)}}
	}
	switch {
	case !ok && !summed:
		return nil, &disk.InputError{Path: file, Err: fmt.Errorf("weights only: a run resumes from its %s", LastFile)}
	case summed && sum != safetensors.Sum(f, sumKey):
		return nil, damaged("damaged: its content does not have the checksum that it was written with")
	}
	s := &State{Path: file, tensors: f.Tensors, averages: map[string]*onnx.Tensor{}}
	var described description
	if err := json.Unmarshal([]byte(text), &described); err != nil {
		return nil, damaged("metadata %s: %w", stateKey, err)
	}
	if s.Options, err = described.options(); err != nil {
		return nil, damaged("metadata %s: %w", stateKey, err)
	}
	s.Source, s.Teacher, s.Data, s.Progress = described.Source, described.Teacher, described.Data, described.Progress
	if err := s.Progress.check(); err != nil {
		return nil, damaged("metadata %s: progress: %w", stateKey, err)
	}
	s.Options.FindPlaces(s.Dir())
	whole, err := model.OfFile(file, f)
	if err != nil {
		return nil, err
	}
	if s.Kept, s.Model, s.Shared, err = whole.Split(); err != nil {
		return nil, err
	}
	for name, t := range s.Model.State {
		s.averages[name] = t
		raw := f.Tensors[weightPrefix+name]
		if raw == nil {
			continue
		}
		if !raw.Like(t) {
			return nil, &disk.InputError{Path: file, Err: fmt.Errorf("%s%s is %v %v, want %v %v", weightPrefix, name, raw.DType, raw.Shape, t.DType, t.Shape)}
		}
		s.Model.State[name] = raw
	}
	if err := errors.Join(model.CheckFinite(file, s.averages), model.CheckFinite(file, s.Model.State)); err != nil {
		return nil, err
	}
	return s, nil
}

// Dir is the run's folder.
func (s *State) Dir() string { return filepath.Dir(filepath.Dir(s.Path)) }

// CheckFolder refuses to go on in a folder that no run made, where somebody has put a checkpoint.
func (s *State) CheckFolder(pictures []string) error {
	dir := s.Dir()
	if !disk.Claimed(dir) && !disk.IsFile(filepath.Join(dir, runs.OptionsFile)) {
		return &disk.OutputError{Path: dir, Reason: fmt.Sprintf("it is not the folder of the run that %s belongs to", s.Path)}
	}
	return disk.CheckOutput(dir, disk.Inputs{Folders: pictures})
}

// Restore puts averages, moments and gradients into an engine whose weights are s's already.
func (s *State) Restore(e *step.Engine) {
	e.Restore(step.Snapshot{Steps: s.Progress.Steps, Scaler: s.Progress.Scaler, Tensors: func(name string) *onnx.Tensor {
		if own, ok := strings.CutPrefix(name, optim.EMA("")); ok {
			return s.averages[own]
		}
		return s.tensors[name]
	}})
}
