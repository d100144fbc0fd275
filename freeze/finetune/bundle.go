package finetune

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

// BundleOptions say what training graphs are written for.
type BundleOptions struct {
	Version   string // of the program
	Batch     int
	ImageSize int // side of the square pictures, a multiple of the largest stride
	Hyp       dataset.Hyp
	Optimizer string // SGD, Adam or AdamW
}

// Optimizers are the names that Optimizer options take.
var Optimizers = []string{"SGD", "Adam", "AdamW"}

// clipNorm is YOLOv5's largest global norm of the gradients.
const clipNorm = 10

// NewBundle builds the graphs of a model under a plan. Source names the
// weights that the model was made from.
func NewBundle(m *Model, plan *freeze.Plan, source artifact.Source, o BundleOptions) (*artifact.Bundle, error) {
	if o.Batch < 1 {
		return nil, fmt.Errorf("batch size %d: want at least 1", o.Batch)
	}
	decay := Schedule{Hyp: o.Hyp, BatchSize: o.Batch}.WeightDecay()
	spec := &Spec{
		Net: m.Net, State: m.State, Plan: plan, Batch: o.Batch, Height: o.ImageSize, Width: o.ImageSize,
		Loss:      lossOf(o.Hyp).Scaled(m.Net, int64(o.ImageSize)),
		Optimizer: optim.Options{Algorithm: o.Optimizer, WeightDecay: decay, ClipNorm: clipNorm},
	}
	graphs, err := Build(spec)
	if err != nil {
		return nil, err
	}
	eval, err := BuildEval(m.Net, m.State)
	if err != nil {
		return nil, err
	}
	hyp, err := hypMap(o.Hyp)
	if err != nil {
		return nil, err
	}
	copied := *m
	copied.Metadata = maps.Clone(m.Metadata)
	if copied.Metadata == nil {
		copied.Metadata = map[string]string{}
	}
	maps.Copy(copied.Metadata, PlanMetadata(plan))
	copied.Metadata[sourceFileKey], copied.Metadata[sourceHashKey] = source.File, source.SHA256
	checkpoint, err := copied.File()
	if err != nil {
		return nil, err
	}
	return &artifact.Bundle{
		Manifest: artifact.Manifest{
			Version: o.Version, Source: source, Batch: o.Batch, ImgSize: o.ImageSize, Hyp: hyp,
			Optimizer: artifact.Optimizer{Name: o.Optimizer, WeightDecay: decay, ClipNorm: clipNorm},
		},
		Plan: plan, Checkpoint: checkpoint,
		Training: graphs.Training, Optimizer: graphs.Optimizer, Eval: eval,
	}, nil
}

// lossOf picks the loss's hyperparameters.
func lossOf(h dataset.Hyp) yolov5.LossOptions {
	return yolov5.LossOptions{Box: h.Box, Obj: h.Obj, Cls: h.Cls, ObjPW: h.ObjPW, ClsPW: h.ClsPW,
		FLGamma: h.FLGamma, LabelSmoothing: h.LabelSmoothing, AnchorT: h.AnchorT}
}

// hypMap names the hyperparameters as YOLOv5's files do.
func hypMap(h dataset.Hyp) (map[string]float64, error) {
	text, err := yaml.Encode(h)
	if err != nil {
		return nil, fmt.Errorf("name the hyperparameters: %w", err)
	}
	named := map[string]float64{}
	return named, yaml.Decode(text, &named)
}

// hypOf is hypMap's inverse.
func hypOf(named map[string]float64) (h dataset.Hyp, err error) {
	text, err := yaml.Encode(named)
	if err == nil {
		err = yaml.Decode(text, &h)
	}
	if err != nil {
		return h, fmt.Errorf("hyperparameters: %w", err)
	}
	return h, nil
}

// loadArtifacts reads the weights of an artifacts folder.
func loadArtifacts(dir string) (*Model, error) {
	m, _, err := OpenArtifacts(dir)
	return m, err
}

// OpenArtifacts reads the weights and the manifest of an artifacts folder. The
// model's Freeze repeats the folder's plan.
func OpenArtifacts(dir string) (*Model, *artifact.Bundle, error) {
	b, err := artifact.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	m, err := modelOf(filepath.Join(dir, artifact.CheckpointFile), b.Checkpoint)
	if err != nil {
		return nil, nil, err
	}
	m.Path, m.Freeze = dir, []string{"@" + filepath.Join(dir, artifact.PlanFile)}
	return m, b, nil
}

// ArtifactsOptions are the options of a run from an artifacts folder: the picture
// size, batch, optimizer and hyperparameters that its graphs were written for.
func ArtifactsOptions(dir string) (Options, error) {
	o := Defaults()
	b, err := artifact.Open(dir)
	if err != nil {
		return o, err
	}
	m := b.Manifest
	o.ImageSize, o.BatchSize, o.Optimizer = m.ImgSize, m.Batch, m.Optimizer.Name
	if o.Hyp, err = hypOf(m.Hyp); err != nil {
		return o, &disk.InputError{Path: filepath.Join(dir, artifact.ManifestFile), Err: err}
	}
	return o, nil
}

// Refreeze rewrites an artifacts folder under another plan: its graphs are
// built anew for the batch, the picture size, the hyperparameters and the
// optimizer that its manifest states.
func Refreeze(dir, version string, m *Model, b *artifact.Bundle, plan *freeze.Plan) error {
	hyp, err := hypOf(b.Manifest.Hyp)
	if err != nil {
		return &disk.InputError{Path: filepath.Join(dir, artifact.ManifestFile), Err: err}
	}
	fresh, err := NewBundle(m, plan, b.Manifest.Source, BundleOptions{version, b.Manifest.Batch, b.Manifest.ImgSize, hyp, b.Manifest.Optimizer.Name})
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", dir, err)
	}
	return artifact.Write(dir, fresh, true)
}

// Plan applies selectors and BatchNorm policies, as options freeze and bn take
// them, to the model's tensors. No selectors: everything trains.
func (m *Model) Plan(selectors, policies []string) (*freeze.Plan, error) {
	parsed, err := freeze.Parse(selectors)
	if err != nil {
		return nil, err
	}
	bn, err := freeze.ParseBN(policies)
	if err != nil {
		return nil, err
	}
	net, err := m.Freezable()
	if err != nil {
		return nil, err
	}
	return freeze.New(net, parsed, bn...)
}

// ImageSize rounds a picture's side up to what the network takes: a multiple of
// its largest stride, at least least strides.
func ImageSize(net *yolov5.Network, side, least int) int {
	return RoundSide(side, int(net.MaxStride()), least)
}

// RoundSide rounds a side up to a multiple of stride, at least least strides.
func RoundSide(side, stride, least int) int { return max((side+stride-1)/stride, least) * stride }

// ImageSize is the function ImageSize for training: at least two strides.
func (m *Model) ImageSize(side int) int { return ImageSize(m.Net, side, 2) }

// SourceOf names a weights file and its SHA-256: of a folder, its checkpoint's.
func SourceOf(path string) (artifact.Source, error) {
	file := path
	switch {
	case artifact.Is(path):
		file = filepath.Join(path, artifact.CheckpointFile)
	case artifact.IsOnDevice(path):
		file = filepath.Join(path, artifact.StateFile)
	}
	f, err := os.Open(file)
	if err != nil {
		return artifact.Source{}, fmt.Errorf("hash the weights: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return artifact.Source{}, fmt.Errorf("hash the weights %s: %w", file, err)
	}
	return artifact.Source{File: filepath.Base(filepath.Clean(path)), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// Metadata entries that say what weights were made from and under which plan.
const (
	sourceFileKey = metadataPrefix + "source.file"
	sourceHashKey = metadataPrefix + "source.sha256"
	frozenKey     = metadataPrefix + "frozen"
	bnKey         = metadataPrefix + "bn"
)

// PlanMetadata says, for the metadata of weights and exports, what was frozen
// (yolofreeze.frozen: prefixes that cover exactly the frozen parameters) and how
// BatchNorm normalised (yolofreeze.bn: the policies).
func PlanMetadata(p *freeze.Plan) map[string]string {
	return map[string]string{
		frozenKey: strings.Join(frozenPrefixes(p), ","),
		bnKey:     strings.Join(p.Policies, ","),
	}
}

// frozenPrefixes returns the shortest whole-segment prefixes under which every
// parameter is frozen, in the network's order.
func frozenPrefixes(p *freeze.Plan) []string {
	trains := map[string]bool{} // prefixes of parameters that train
	for _, name := range p.TrainableNames() {
		for prefix := range prefixesOf(name) {
			trains[prefix] = true
		}
	}
	var list []string
	seen := map[string]bool{}
	for _, name := range p.FrozenNames() {
		for prefix := range prefixesOf(name) {
			if !trains[prefix] && strings.Contains(prefix, ".") {
				if !seen[prefix] {
					seen[prefix], list = true, append(list, prefix)
				}
				break
			}
		}
	}
	return list
}

// prefixesOf yields model, model.0, model.0.conv, … up to the name itself.
func prefixesOf(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i, c := range name {
			if c == '.' && !yield(name[:i]) {
				return
			}
		}
		yield(name)
	}
}
