package export

import (
	"fmt"
	"maps"
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/yaml"
)

// BundleOptions say what training graphs are written for.
type BundleOptions struct {
	Version   string // of the program
	Batch     int
	ImageSize int // side of the pictures, a multiple of the largest stride; their width where Height says another
	Height    int // 0: ImageSize
	Hyp       dataset.Hyp
	Optimizer string // SGD, Adam or AdamW
}

func (o BundleOptions) size() dataset.Size { return dataset.SizeOf(o.ImageSize, o.Height) }

// NewBundle builds the graphs of a model under a plan: of several branches the newest
// trains, and the evaluation graph has the raw outputs of all. Source names the
// weights that the model was made from.
func NewBundle(m *model.Model, plan *freeze.Plan, source artifact.Source, o BundleOptions) (*artifact.Bundle, error) {
	const most = 1 << 16 // far more than any device takes; a manifest may say anything
	size := o.size()
	if o.Batch < 1 || o.Batch > most || min(size.Height, size.Width) < 1 || size.Longer() > loader.MaxImageSize {
		return nil, fmt.Errorf("batches of %d pictures of %v pixels: want 1 to %d, and 1 to %d", o.Batch, size, most, loader.MaxImageSize)
	}
	kept, own, shared, err := m.Split()
	if err != nil {
		return nil, err
	}
	if err := own.CheckShared(plan, shared); err != nil {
		return nil, err
	}
	decay := step.Recipe{Hyp: o.Hyp, BatchSize: o.Batch}.WeightDecay()
	spec := &step.Spec{
		Net: own.Net, State: own.State, Plan: plan, Batch: o.Batch, Height: size.Height, Width: size.Width,
		Loss:      step.LossOf(o.Hyp).ScaledTo(own.Net, int64(size.Height), int64(size.Width)),
		Optimizer: optim.Options{Algorithm: o.Optimizer, WeightDecay: decay, ClipNorm: step.ClipNorm},
	}
	graphs, err := step.Build(spec)
	if err != nil {
		return nil, err
	}
	eval, err := step.BuildEval(m.Net, m.State)
	if err != nil {
		return nil, err
	}
	hyp, err := hypMap(o.Hyp)
	if err != nil {
		return nil, err
	}
	copied := *own
	copied.Metadata = maps.Clone(own.Metadata)
	if copied.Metadata == nil {
		copied.Metadata = map[string]string{}
	}
	maps.Copy(copied.Metadata, model.PlanMetadata(plan))
	copied.Metadata[model.SourceFileKey], copied.Metadata[model.SourceHashKey] = source.File, source.SHA256
	checkpoint, err := copied.FileBeside(kept, shared)
	if err != nil {
		return nil, err
	}
	return &artifact.Bundle{
		Manifest: artifact.Manifest{
			Version: o.Version, Source: source, Batch: o.Batch, ImgSize: size.Width, Height: size.Other(), Hyp: hyp,
			Optimizer: artifact.Optimizer{Name: o.Optimizer, WeightDecay: decay, ClipNorm: step.ClipNorm},
		},
		Plan: plan, Checkpoint: checkpoint,
		Training: graphs.Training, Optimizer: graphs.Optimizer, Eval: eval,
	}, nil
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

// HypOf is hypMap's inverse.
func HypOf(named map[string]float64) (h dataset.Hyp, err error) {
	text, err := yaml.Encode(named)
	if err == nil {
		err = yaml.Decode(text, &h)
	}
	if err != nil {
		return h, fmt.Errorf("hyperparameters: %w", err)
	}
	return h, nil
}

// Refreeze rewrites an artifacts folder under another plan: its graphs are
// built anew for the batch, the picture size, the hyperparameters and the
// optimizer that its manifest states.
func Refreeze(dir, version string, m *model.Model, b *artifact.Bundle, plan *freeze.Plan) error {
	hyp, err := HypOf(b.Manifest.Hyp)
	if err != nil {
		return &disk.InputError{Path: filepath.Join(dir, artifact.ManifestFile), Err: err}
	}
	fresh, err := NewBundle(m, plan, b.Manifest.Source, BundleOptions{version, b.Manifest.Batch, b.Manifest.ImgSize, b.Manifest.Height, hyp, b.Manifest.Optimizer.Name})
	if err != nil {
		return fmt.Errorf("rebuild %s: %w", dir, err)
	}
	return artifact.Write(dir, fresh, true)
}
