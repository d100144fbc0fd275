package finetune

import (
	"context"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/features"
	"yolofreeze/freeze/step"
)

// make runs the frozen layers on the pictures of as many epochs as there are views.
func (c *featureCache) make(ctx context.Context, dir string, l *loop) (err error) {
	n := step.ChunkOn(c.o.Runtime.Device)
	x, err := step.NewExtractor(c.model.Net, c.model.State, c.cut, n, c.size.Height, c.size.Width, c.o.Runtime)
	if err != nil {
		return err
	}
	defer x.Close()
	w, err := features.Create(dir, c.layout)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.Abandon()
		}
	}()
	done, told := 0, 0
	for view := range c.layout.Views {
		index := 0
		for b, err := range l.pictures.EpochFrom(ctx, view, 0) {
			if err != nil {
				return err
			}
			if view == 0 {
				l.artist.trainSheet(index, b)
			}
			if err := extract(w, x, b, view); err != nil {
				return err
			}
			l.pictures.Recycle(b)
			if err := ctx.Err(); err != nil {
				return err
			}
			index, done = index+1, done+b.Size
			if tenth := 10 * done / c.layout.Records(); tenth > told {
				told = tenth
				c.r.Logf("feature cache: %d %%", 10*tenth)
			}
		}
	}
	return w.Finish()
}

// extract writes what the layers put out for each picture of a batch, with its objects.
func extract(w *features.Writer, x *step.Extractor, b *loader.Batch, view int) error {
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
			if err := w.Put(view, b.Samples[first+i], parts, targets[first+i]); err != nil {
				return err
			}
		}
	}
	return nil
}
