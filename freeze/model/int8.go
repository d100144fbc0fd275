package model

import (
	"fmt"
	"path/filepath"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// LoadForVal is LoadModel that takes exports on 8-bit integers too. These keep
// the graph of their file to be validated by; they cannot be trained.
func LoadForVal(path string) (*Model, error) {
	if filepath.Ext(path) != ".onnx" {
		return Load(path)
	}
	return checked(loadForVal(path))
}

func loadForVal(path string) (*Model, error) {
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
	if err := op.InferTypes(g); err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	if err := pass.Run(g, pass.Evaluate(heads)); err != nil {
		return nil, &disk.InputError{Path: path, Err: fmt.Errorf("take the graph apart: %w", err)}
	}
	m.QDQ = g
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
func (m *Model) Quantised() bool { return m.QDQ != nil }
