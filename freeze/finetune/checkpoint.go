package finetune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
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

// check refuses what no run can have come to.
func (p *progress) check() error {
	for _, c := range []struct {
		name        string
		value, most int
	}{
		{"epoch", p.Epoch, math.MaxInt32}, {"batch", p.Batch, math.MaxInt32}, {"iteration", p.Iteration, math.MaxInt32},
		{"last_step", p.LastStep + 1, p.Iteration + 1}, {"steps", p.Steps, p.Iteration + 1}, {"best_epoch", p.BestEpoch, p.Epoch},
	} {
		if c.value < 0 || c.value > c.most {
			return fmt.Errorf("%s is out of range: epoch %d, batch %d, iteration %d, last step %d, steps %d, best epoch %d",
				c.name, p.Epoch, p.Batch, p.Iteration, p.LastStep, p.Steps, p.BestEpoch)
		}
	}
	for _, v := range slices.Concat(p.Sums[:], p.Maps, []float64{p.BestFitness}) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errors.New("a figure is no number")
		}
	}
	return nil
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
	sumKey       = model.MetadataPrefix + "sum" // of files since it was introduced
)

// saved is a run read back from last.safetensors.
type saved struct {
	path     string // of last.safetensors
	damaged  error  // why the one before it was read instead; nil: it was not
	info     stateInfo
	options  options.Options
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
func ResumeOptions(path string) (options.Options, error) {
	s, err := readSaved(path)
	if err != nil {
		return options.Options{}, err
	}
	o := s.options
	if err := options.CheckStored(o.Device, nil); err != nil {
		o.Device, o.Withheld = "", append(o.Withheld, "device "+o.Device)
	}
	o.Kernels = step.KernelsAgain(o.Kernels)
	if len(o.ProviderOptions) > 0 {
		o.Withheld = append(o.Withheld, "provider-option "+strings.Join(o.ProviderOptions, ","))
		o.ProviderOptions = nil
	}
	return o, nil
}

// readSaved reads a run's checkpoint, or the one before it where it is damaged.
func readSaved(path string) (*saved, error) {
	file := lastFile(path)
	s, err := readState(file)
	before := filepath.Join(filepath.Dir(file), beforeName)
	var damage *damageError
	if err == nil || filepath.Base(file) != lastName || !errors.As(err, &damage) || !disk.IsFile(before) {
		return s, err
	}
	s, second := readState(before)
	if second != nil {
		return nil, fmt.Errorf("%w; and so is the checkpoint before it: %w", err, second)
	}
	s.path, s.damaged = file, err
	return s, nil
}

// damageError is a checkpoint that is gone, or not as it was written.
type damageError struct{ error }

func (e *damageError) Unwrap() error  { return e.error }
func (e *damageError) BadInput() bool { return true }

// checkResumable names what people take for a run of ours.
func checkResumable(file string) error {
	notRun := func(file, what string) error {
		return &resumeError{fmt.Sprintf("%s: %s: a run of yolofreeze resumes from its %s or its folder", file, what, lastName),
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
func readState(file string) (*saved, error) {
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
		return nil, &disk.InputError{Path: file, Err: fmt.Errorf("weights only: a run resumes from its %s", lastName)}
	case summed && sum != contentSum(f):
		return nil, damaged("damaged: its content does not have the checksum that it was written with")
	}
	s := &saved{path: file, tensors: f.Tensors, averages: map[string]*onnx.Tensor{}}
	if err := json.Unmarshal([]byte(text), &s.info); err != nil {
		return nil, damaged("metadata %s: %w", stateKey, err)
	}
	if s.options, err = decodeOptions(s.info.Options); err != nil {
		return nil, damaged("metadata %s: %w", stateKey, err)
	}
	if err := s.info.Progress.check(); err != nil {
		return nil, damaged("metadata %s: progress: %w", stateKey, err)
	}
	s.options.FindPlaces(s.runDir())
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

// restore puts averages, moments and gradients into an engine whose weights are s's already.
func (s *saved) restore(e *step.Engine) {
	e.Restore(step.Snapshot{Steps: s.info.Progress.Steps, Scaler: s.info.Progress.Scaler, Tensors: func(name string) *onnx.Tensor {
		if own, ok := strings.CutPrefix(name, optim.EMA("")); ok {
			return s.averages[own]
		}
		return s.tensors[name]
	}})
}

// saveLast writes last.safetensors.
func (t *training) saveLast() error {
	options, err := encodeOptions(t.o.Kept())
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
		for name, tensor := range t.engine.Gradients {
			f.Tensors[name] = tensor
		}
	}
	f.Metadata[sumKey] = contentSum(f)
	// A checkpoint that a disk damages leaves the one before it.
	if err := disk.Keep(t.weights(lastName), t.weights(beforeName)); err != nil {
		return fmt.Errorf("keep the last checkpoint: %w", err)
	}
	return safetensors.Write(t.weights(lastName), f)
}

// contentSum is the checksum of all that a checkpoint or a cache's index holds but the sum itself.
func contentSum(f *safetensors.File) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		if key != sumKey {
			fmt.Fprintf(h, "%q %q\n", key, f.Metadata[key])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		t := f.Tensors[name]
		fmt.Fprintf(h, "%q %v %v\n", name, t.DType, t.Shape)
		h.Write(t.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// averagedModel is the model as it is validated and kept.
func (t *training) averagedModel() *model.Model {
	m := *t.model
	m.State, m.Metadata = t.engine.Weights(true), t.metadata()
	return &m
}

// metadata says of weights and exports where they come from and what was frozen.
func (t *training) metadata() map[string]string {
	all := model.PlanMetadata(t.stage.Plan)
	all[model.SourceFileKey], all[model.SourceHashKey], all[model.VersionKey] = t.source.File, t.source.SHA256, t.o.Version
	if len(t.o.Plans) > 0 {
		all[model.PlansKey] = strings.Join(t.o.Plans, "; ")
	}
	return all
}
