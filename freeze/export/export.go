package export

import (
	"fmt"
	"maps"

	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
)

// Options say what a model is exported as.
type Options struct {
	Version       string // of the program
	Batch         int
	Height, Width int   // multiples of the largest stride
	Dynamic       bool  // batch, height and width are left to the run
	Half          bool  // float16 throughout, inputs and output too
	Opset         int64 // 11 to 20; 0: op.Opset
	Uint8         bool  // images are uint8 [N,H,W,3], scaled inside
	NMS           *NMS
	Int8          Ranges // of the activations: convolutions on 8-bit integers, in QDQ form
}

// The opsets that an export can be written in.
const (
	OldestOpset = pass.OldestOpset
	NewestOpset = pass.NewestOpset
)

// ONNX writes the model as YOLOv5's own exporter lays it out: images
// [N,3,H,W], RGB in 0…1, to output0 [N, rows, 5+nc] as Decode has it, Conv and
// BatchNorm folded; stride and names in the metadata as YOLOv5 writes them,
// and yolofreeze.* entries of what the weights come from. source names the
// weights. Uint8 and NMS change the input and the outputs.
func ONNX(m *model.Model, source artifact.Source, o Options) (*onnx.Model, error) {
	if o.Opset == 0 {
		o.Opset = op.Opset
	}
	batch, height, width := o.Batch, o.Height, o.Width
	if o.Dynamic {
		batch, height, width = int(onnx.Unknown), int(onnx.Unknown), int(onnx.Unknown)
	}
	g, err := step.BuildExport(m.Net, m.State, batch, height, width)
	if err != nil {
		return nil, err
	}
	if err := pass.Run(g, pass.NameFolded); err != nil {
		return nil, err
	}
	if o.Int8 != nil {
		if err := toInt8(g, o); err != nil {
			return nil, fmt.Errorf("export as int8: %w", err)
		}
	}
	if o.Half {
		if err := pass.Run(g, pass.Half); err != nil {
			return nil, fmt.Errorf("export as float16: %w", err)
		}
	}
	if o.Dynamic {
		g.Inputs[0].Type.Shape = pass.AnyPictures()
		if err := op.InferTypes(g); err != nil {
			return nil, err
		}
		g.Outputs[0].Type.Shape = []onnx.Dim{onnx.Sym("batch"), onnx.Sym("anchors"), {Size: m.Net.Outputs()}}
	}
	if o.NMS != nil {
		if err := addNMS(g, *o.NMS); err != nil {
			return nil, fmt.Errorf("export with suppression: %w", err)
		}
	}
	if o.Uint8 {
		if err := pass.Run(g, pass.TakePixels); err != nil {
			return nil, fmt.Errorf("export for pixels: %w", err)
		}
	}
	if err := pass.Run(g, pass.Restate(o.Opset)); err != nil {
		return nil, err
	}
	if g.Metadata, err = m.ExportMetadata(source, o.Version); err != nil {
		return nil, err
	}
	return g, nil
}

// Weights returns the model as SaveModel takes it, with an export's metadata.
func Weights(m *model.Model, source artifact.Source, o Options) (*model.Model, error) {
	all, err := m.ExportMetadata(source, o.Version)
	if err != nil {
		return nil, err
	}
	out := *m
	out.Metadata, out.State = all, maps.Clone(m.State)
	for name, t := range out.State {
		if !o.Half {
			break
		}
		if out.State[name], err = pass.HalfTensor(name, t); err != nil {
			return nil, fmt.Errorf("export as float16: %w", err)
		}
	}
	return &out, nil
}
