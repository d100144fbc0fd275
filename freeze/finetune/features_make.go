package finetune

import (
	"context"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/step"
)

// makeFeatures runs the frozen layers on the pictures of as many epochs as there are views.
func (t *training) makeFeatures(ctx context.Context, dir string) (err error) {
	f := t.features
	n := step.ChunkOn(t.o.Runtime.Device)
	x, err := step.NewExtractor(t.model.Net, t.model.State, f.cut, n, t.side, t.o.Runtime)
	if err != nil {
		return err
	}
	defer x.Close()
	w, err := newFeatureWriter(dir, f.layout)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.abandon()
		}
	}()
	done, told := 0, 0
	for view := range f.layout.Views {
		index := 0
		for b, err := range t.loader.EpochFrom(ctx, view, 0) {
			if err != nil {
				return err
			}
			if view == 0 {
				t.drawTrainSheet(index, b)
			}
			if err := w.extract(x, b, view); err != nil {
				return err
			}
			t.loader.Recycle(b)
			if err := ctx.Err(); err != nil {
				return err
			}
			index, done = index+1, done+b.Size
			if tenth := 10 * done / f.layout.records(); tenth > told {
				told = tenth
				t.r.Logf("feature cache: %d %%", 10*tenth)
			}
		}
	}
	return w.finish()
}

// extract writes what the layers put out for each picture of a batch, with its objects.
func (w *featureWriter) extract(x *step.Extractor, b *loader.Batch, view int) error {
	targets := make([][]loader.Target, b.Size)
	for _, o := range b.Targets {
		targets[o.Image] = append(targets[o.Image], o)
	}
	area, all := 3*b.Width*b.Height, int(x.Images.Shape[0])
	for first := 0; first < b.Size; first += all {
		n := copy(x.Images.Raw, b.Images[first*area:]) / area // what is left of an earlier run fills the rest
		if err := x.Run(); err != nil {
			return err
		}
		for i := range min(n, b.Size-first) {
			parts := make([][]byte, len(x.Outputs))
			for k, out := range x.Outputs {
				size := len(out.Raw) / all
				parts[k] = out.Raw[i*size : (i+1)*size]
			}
			if err := w.put(view, b.Samples[first+i], parts, targets[first+i]); err != nil {
				return err
			}
		}
	}
	return nil
}
