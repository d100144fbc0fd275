package finetune

import (
	"path/filepath"

	"yolofreeze/freeze/export"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
)

// ArtifactsOptions are the options of a run from an artifacts folder: the picture
// size, batch, optimizer and hyperparameters that its graphs were written for.
func ArtifactsOptions(dir string) (options.Options, error) {
	o := options.Defaults()
	b, err := artifact.Open(dir)
	if err != nil {
		return o, err
	}
	m := b.Manifest
	o.ImageSize, o.ImageHeight, o.BatchSize, o.Optimizer = m.ImgSize, m.Height, m.Batch, m.Optimizer.Name
	if o.Hyp, err = export.HypOf(m.Hyp); err != nil {
		return o, &disk.InputError{Path: filepath.Join(dir, artifact.ManifestFile), Err: err}
	}
	return o, nil
}
