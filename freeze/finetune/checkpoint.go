package finetune

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/safetensors"
)

// progress is where a run stands: all that the next step depends on besides
// tensors. Pictures, their order and their augmentation follow from the seed,
// the epoch and the sample alone, so that no generator has a state of its own.
type progress struct {
	Epoch   int  `json:"epoch"`   // the one that is being trained; of a finished run, their number
	Batch   int  `json:"batch"`   // batches of it that are done
	Trained bool `json:"trained"` // all are; validation is next

	Iteration int `json:"iteration"` // batches since the start of the run
	LastStep  int `json:"last_step"` // the iteration of the last optimizer step
	Steps     int `json:"steps"`     // optimizer steps

	Scaler *step.Scaler `json:"scaler,omitempty"` // of mixed precision

	Sums [3]float64 `json:"sums"` // of the epoch's losses so far
	Last rowFields  `json:"last"` // epoch's row, whose metrics stand until the next validation
	Maps []float64  `json:"maps"` // average precision by class, for image weights

	BestFitness float64   `json:"best_fitness"`
	BestEpoch   int       `json:"best_epoch"`
	Best        rowFields `json:"best"`
	HasBest     bool      `json:"has_best"`
	Stopped     bool      `json:"stopped"` // early
}

// rowFields is a Row as checkpoints hold it.
type rowFields runs.Row

// stateInfo is what the metadata of last.safetensors says under stateKey.
type stateInfo struct {
	Options  json.RawMessage `json:"options"`
	Source   artifact.Source `json:"source"`
	Data     string          `json:"data"` // fingerprint
	Progress progress        `json:"progress"`
}

// Names in last.safetensors. Plain names hold the averaged weights, so that the
// file serves as a model too.
const (
	stateKey     = model.MetadataPrefix + "state"
	weightPrefix = "training/"
)

// saved is a run read back from last.safetensors.
type saved struct {
	path     string
	info     stateInfo
	options  Options
	model    *model.Model // with the raw weights
	averages map[string]*onnx.Tensor
	tensors  map[string]*onnx.Tensor // all of the file
}

// lastFile finds the checkpoint that a run's folder, its weights folder or a path to the file means.
func lastFile(path string) string {
	for _, below := range []string{filepath.Join("weights", lastName), lastName} {
		if file := filepath.Join(path, below); disk.IsFile(file) {
			return file
		}
	}
	if disk.IsFolder(path) {
		return filepath.Join(path, "weights", lastName)
	}
	return path
}

// ResumeOptions returns the options of the run that path, a last.safetensors or
// a run's folder, belongs to, but for those that are Withheld.
func ResumeOptions(path string) (Options, error) {
	s, err := readSaved(path)
	if err != nil {
		return Options{}, err
	}
	o := s.options
	if err := CheckStored(o.Device, nil); err != nil {
		o.Device, o.Withheld = "", append(o.Withheld, "device "+o.Device)
	}
	if len(o.ProviderOptions) > 0 {
		o.Withheld = append(o.Withheld, "provider-option "+strings.Join(o.ProviderOptions, ","))
		o.ProviderOptions = nil
	}
	return o, nil
}

func readSaved(path string) (*saved, error) {
	file := lastFile(path)
	f, err := safetensors.Read(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = &disk.InputError{Path: file, Err: errors.New("no such checkpoint to resume from")}
		}
		return nil, err
	}
	text, ok := f.Metadata[stateKey]
	if !ok {
		return nil, &disk.InputError{Path: file, Err: fmt.Errorf("weights only: a run resumes from its %s", lastName)}
	}
	s := &saved{path: file, tensors: f.Tensors, averages: map[string]*onnx.Tensor{}}
	if err := json.Unmarshal([]byte(text), &s.info); err != nil {
		return nil, &disk.InputError{Path: file, Err: fmt.Errorf("metadata %s: %w", stateKey, err)}
	}
	if s.options, err = decodeOptions(s.info.Options); err != nil {
		return nil, &disk.InputError{Path: file, Err: fmt.Errorf("metadata %s: %w", stateKey, err)}
	}
	if s.model, err = model.OfFile(file, f); err != nil {
		return nil, err
	}
	for name, t := range s.model.State {
		s.averages[name] = t
		raw := f.Tensors[weightPrefix+name]
		if raw == nil {
			continue
		}
		if !raw.Like(t) {
			return nil, &disk.InputError{Path: file, Err: fmt.Errorf("%s%s is %v %v, want %v %v", weightPrefix, name, raw.DType, raw.Shape, t.DType, t.Shape)}
		}
		s.model.State[name] = raw
	}
	if err := errors.Join(model.CheckFinite(file, s.averages), model.CheckFinite(file, s.model.State)); err != nil {
		return nil, err
	}
	return s, nil
}

// runDir is the run's folder.
func (s *saved) runDir() string { return filepath.Dir(filepath.Dir(s.path)) }

// checkFolder refuses to go on in a folder that no run made, where somebody has put a checkpoint.
func (s *saved) checkFolder(pictures []string) error {
	dir := s.runDir()
	if !disk.Claimed(dir) && !disk.IsFile(filepath.Join(dir, "opt.yaml")) {
		return &disk.OutputError{Path: dir, Reason: fmt.Sprintf("it is not the folder of the run that %s belongs to", s.path)}
	}
	return disk.CheckOutput(dir, disk.Inputs{Folders: pictures})
}

// restore puts averages, moments and gradients into an engine whose weights are
// s's already; what the engine does not train is left out.
func (s *saved) restore(e *step.Engine) {
	e.Restore(s.info.Progress.Steps, s.info.Progress.Scaler, func(name string) *onnx.Tensor {
		if own, ok := strings.CutPrefix(name, optim.EMA("")); ok {
			return s.averages[own]
		}
		return s.tensors[name]
	})
}

// saveLast writes last.safetensors.
func (t *training) saveLast() error {
	options, err := encodeOptions(&t.o)
	if err != nil {
		return err
	}
	t.p.Scaler = t.engine.Scaler
	info, err := json.Marshal(stateInfo{options, t.source, t.fingerprint, t.p})
	if err != nil {
		return fmt.Errorf("describe the run's state: %w", err)
	}
	if err := t.engine.Sync(); err != nil {
		return err
	}
	f, err := t.averagedModel().File()
	if err != nil {
		return err
	}
	f.Names, f.Metadata[stateKey] = nil, string(info)
	for name, tensor := range t.engine.Trained {
		f.Tensors[weightPrefix+name] = tensor
	}
	for name, tensor := range t.engine.Optimizer {
		if !strings.HasPrefix(name, optim.EMA("")) {
			f.Tensors[name] = tensor
		}
	}
	if t.p.Batch > 0 && t.p.LastStep != t.p.Iteration-1 { // gradients wait for a step
		for name, tensor := range t.engine.Gradients() {
			f.Tensors[name] = tensor
		}
	}
	return safetensors.Write(t.weights(lastName), f)
}

// averagedModel is the model as it is validated and kept.
func (t *training) averagedModel() *model.Model {
	m := *t.model
	m.State, m.Metadata = t.engine.State(true), t.metadata()
	return &m
}

// metadata says of weights and exports where they come from and what was frozen.
func (t *training) metadata() map[string]string {
	all := model.PlanMetadata(t.stage.Plan)
	all[model.SourceFileKey], all[model.SourceHashKey], all[model.VersionKey] = t.source.File, t.source.SHA256, t.o.Version
	return all
}
