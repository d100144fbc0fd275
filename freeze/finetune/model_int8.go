package finetune

import (
	"fmt"
	"path/filepath"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// LoadForVal is LoadModel that takes exports on 8-bit integers too. These keep
// the graph of their file to be validated by; they cannot be trained.
func LoadForVal(path string) (*Model, error) {
	if filepath.Ext(path) != ".onnx" {
		return LoadModel(path)
	}
	g, err := wire.Read(path)
	if err != nil {
		return nil, err
	}
	floats, err := dequantised(path, g)
	if err != nil {
		return nil, err
	}
	m, err := modelOfONNX(path, floats)
	if err != nil || floats == g {
		return m, err
	}
	heads, err := yolov5.Heads(floats)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	if err := toEval(g, heads); err != nil {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("take the graph apart: %w", err)}
	}
	m.quantised = g
	return m, nil
}

// dequantised is a copy of a graph without its integers, or the graph itself if it has none.
func dequantised(path string, g *onnx.Model) (*onnx.Model, error) {
	if !slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "DequantizeLinear" && n.Domain == "" }) {
		return g, nil
	}
	data, err := wire.Encode(g)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	floats, err := wire.Decode(data)
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	if err := pass.Dequantise(floats); err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	return floats, nil
}

// Quantised reports whether the model computes on 8-bit integers.
func (m *Model) Quantised() bool { return m.quantised != nil }

// toEval makes an export's graph an evaluation graph as BuildEval has it: planes
// of bytes of any size to the raw outputs, which are the values called as heads are.
func toEval(g *onnx.Model, heads []string) error {
	values := map[string]*onnx.Value{}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				values[v.Name] = v
			}
		}
	}
	if len(g.Inputs) != 1 || len(g.Inputs[0].Type.Shape) != 4 {
		return fmt.Errorf("want one input, pictures")
	}
	images, nodes := g.Inputs[0], g.Nodes
	g.Inputs, g.Outputs, g.Nodes = nil, nil, nil
	images.Name += "/scaled" // no longer an input, and its name is wanted
	b := op.Extend(g)
	raw := b.Input("images", onnx.Uint8, anyPictures())
	var x *onnx.Value
	b.In("pixels", func() {
		if images.Type.DType == onnx.Uint8 {
			x = b.Transpose(raw, 0, 2, 3, 1)
			return
		}
		x = b.Div(b.Cast(raw, onnx.Float), b.Float(255))
		if images.Type.DType != onnx.Float {
			x = b.Cast(x, images.Type.DType)
		}
	})
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if in == images {
				n.Inputs[i] = x
			}
		}
	}
	g.Nodes = append(g.Nodes, nodes...)
	for i, name := range heads {
		v := values[name]
		if v == nil {
			return fmt.Errorf("%q, a raw output, is nowhere", name)
		}
		if v.Type.DType == onnx.Float16 {
			v = b.Cast(v, onnx.Float)
		}
		b.Output(fmt.Sprintf("head%d", i), v)
	}
	if b.Err() != nil {
		return b.Err()
	}
	if err := pass.DropUnused(g); err != nil {
		return err
	}
	return op.InferTypes(g)
}

// detector opens the model's evaluation graph: its file's own if that is quantised.
func (m *Model) detector(c Cut, products onnx.DType, o ort.Options) (*Detector, error) {
	if m.quantised != nil {
		return openDetector(m.Net, m.quantised, o)
	}
	return newDetector(m.Net, m.State, c, products, o)
}
