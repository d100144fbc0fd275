package model

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/branch"
)

// evaluateONNX is loadONNX for exports on 8-bit integers too.
func evaluateONNX(path string) (*Model, error) {
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
	graphs, err := branch.Alone(floats, len(m.Net.Branches))
	if err != nil {
		return nil, &disk.InputError{Path: path, Err: err}
	}
	var heads []string
	for _, one := range graphs {
		names, err := yolov5.Heads(one)
		if err != nil {
			return nil, &disk.InputError{Path: path, Err: err}
		}
		heads = append(heads, names...)
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
	if !hasIntegers(g) {
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

// hasIntegers reports whether a graph computes on 8-bit integers.
func hasIntegers(g *onnx.Model) bool {
	return slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return n.Op == "DequantizeLinear" && n.Domain == "" })
}

// Quantised reports whether the model computes on 8-bit integers.
func (m *Model) Quantised() bool { return m.QDQ != nil }
