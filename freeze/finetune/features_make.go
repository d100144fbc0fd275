package finetune

import (
	"context"
	"fmt"

	"yolofreeze/dataset"
	"yolofreeze/onnx"
)

// makeFeatures runs the frozen layers on the pictures of as many epochs as there are views.
func (t *training) makeFeatures(ctx context.Context, dir string) (err error) {
	f := t.features
	n := chunkOn(t.engine.Device())
	m, err := BuildFeatures(t.model.Net, t.model.State, f.cut, onnx.Dims(int64(n), 3, int64(t.side), int64(t.side)))
	if err != nil {
		return err
	}
	graph, err := open(m, t.o.runtime())
	if err != nil {
		return fmt.Errorf("open the graph of frozen layers: %w", err)
	}
	defer graph.close()
	x := &extractor{graph: graph, n: n, images: onnx.NewTensor(onnx.Uint8, int64(n), 3, int64(t.side), int64(t.side))}
	if err := x.bind(m); err != nil {
		return err
	}
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
			if err := x.batch(b, view, w); err != nil {
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

// extractor runs frozen layers on n pictures at once.
type extractor struct {
	graph   *bound
	n       int
	images  *onnx.Tensor
	outputs []*onnx.Tensor // in the order of the cut's layers
}

func (x *extractor) bind(m *onnx.Model) error {
	v, err := x.graph.value(imagesName, x.images)
	if err == nil {
		err = x.graph.binding.Input(imagesName, v)
	}
	for _, out := range m.Outputs {
		shape, _ := out.Type.Static()
		to := onnx.NewTensor(out.Type.DType, shape...)
		x.outputs = append(x.outputs, to)
		if err == nil {
			if v, err = x.graph.value(out.Name, to); err == nil {
				err = x.graph.binding.Output(out.Name, v)
			}
		}
	}
	return err
}

// batch writes what the layers put out for each picture of a batch, with its objects.
func (x *extractor) batch(b *dataset.Batch, view int, w *featureWriter) error {
	targets := make([][]dataset.Target, b.Size)
	for _, o := range b.Targets {
		targets[o.Image] = append(targets[o.Image], o)
	}
	area := 3 * b.Width * b.Height
	for first := 0; first < b.Size; first += x.n {
		n := copy(x.images.Raw, b.Images[first*area:]) / area // what is left of an earlier run fills the rest
		if err := x.graph.binding.Run(); err != nil {
			return fmt.Errorf("run the graph of frozen layers: %w", err)
		}
		for i := range min(n, b.Size-first) {
			parts := make([][]byte, len(x.outputs))
			for k, out := range x.outputs {
				size := len(out.Raw) / x.n
				parts[k] = out.Raw[i*size : (i+1)*size]
			}
			if err := w.put(view, b.Samples[first+i], parts, targets[first+i]); err != nil {
				return err
			}
		}
	}
	return nil
}
