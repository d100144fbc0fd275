package export

import (
	"context"
	"fmt"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
)

// OldestInt8Opset is the first opset with a scale for each channel.
const OldestInt8Opset = 13

// Ranges are what a network's activations lie between, by name, as Calibrate found them.
type Ranges map[string]Range

// Range is what one activation lies between.
type Range = pass.Range

// Calibrate runs a network on up to n pictures, spread over samples, and notes
// between which values its activations lie: for each picture the least and the
// largest, and of these the means, so that a single odd picture does not spread
// a range over what others need.
func Calibrate(ctx context.Context, m *model.Model, size dataset.Size, samples []dataset.Sample, n int, o ort.Options) (Ranges, error) {
	if len(samples) == 0 || n < 1 {
		return nil, fmt.Errorf("calibrate: no pictures")
	}
	g, names, err := calibrationGraph(m, size)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	session, err := step.Open(g, o)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	defer session.Close()
	n = min(n, len(samples))
	chosen := make([]dataset.Sample, n)
	for i := range chosen {
		chosen[i] = samples[i*len(samples)/n]
	}
	loader, err := loader.New(loader.Options{Samples: chosen, BatchSize: 1, ImageSize: size.Width, Height: size.Other(), Stride: int(m.Net.MaxStride())})
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	sums, seen := make([]float64, len(names)*2), 0
	for b, err := range loader.Epoch(ctx, 0) {
		if err != nil {
			return nil, err
		}
		out, err := session.Run(map[string]*onnx.Tensor{"images": scaled(b.Images, 1, b.Height, b.Width)})
		if err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
		for i, v := range onnx.Data[float32](out["extremes"]) {
			sums[i] += float64(v)
		}
		seen++
		loader.Recycle(b)
	}
	if seen == 0 {
		return nil, fmt.Errorf("calibrate: none of the %d pictures could be read, the first: %w", n, loader.Bad()[0].Err)
	}
	ranges := Ranges{}
	for i, name := range names {
		ranges[name] = Range{Low: -sums[2*i] / float64(seen), High: sums[2*i+1] / float64(seen)}
	}
	ranges["images"] = Range{Low: 0, High: 1} // whatever the pictures: steps of 1/255
	return ranges, nil
}

// calibrationGraph is an export that gives, instead of detections, for each
// activation the largest of -x and of x.
func calibrationGraph(m *model.Model, size dataset.Size) (*onnx.Model, []string, error) {
	g, err := step.BuildExport(m.Net, m.State, 1, size.Height, size.Width)
	if err != nil {
		return nil, nil, err
	}
	if err := pass.Run(g, pass.NameFolded); err != nil {
		return nil, nil, err
	}
	activations := pass.Activations(g)
	names, extremes := make([]string, len(activations)), make([]*onnx.Value, 0, 2*len(activations))
	g.Outputs = nil
	b := op.Extend(g)
	most := func(x *onnx.Value) *onnx.Value { return b.Reshape(b.Op("ReduceMax", nil, x), -1) }
	b.In("calibration", func() {
		for i, v := range activations {
			names[i] = v.Name
			extremes = append(extremes, most(b.Neg(v)), most(v))
		}
		b.Output("extremes", b.Concat(0, extremes...))
	})
	if b.Err() != nil {
		return nil, nil, b.Err()
	}
	return g, names, pass.DropUnused(g)
}

// toInt8 writes an export's convolutions, and what lies between them, for integers.
func toInt8(g *onnx.Model, o Options) error {
	if o.Half || o.Opset < OldestInt8Opset {
		return fmt.Errorf("float16 is %t, opset %d: want float32 beside it, and opset %d or newer", o.Half, o.Opset, OldestInt8Opset)
	}
	if err := op.InferTypes(g); err != nil {
		return err
	}
	return pass.Quantise(g, o.Int8)
}
