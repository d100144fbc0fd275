// Package wire reads and writes .onnx files: protobuf's wire format on one side,
// onnx.Model on the other (messages and field numbers: onnx/onnx.proto,
// https://github.com/onnx/onnx). It holds the file against itself — lengths, names,
// order of nodes — and refuses what a Model cannot carry.
//
//	m, err := wire.Read("yolov5n.onnx")
//	data, err := wire.Encode(m) // the same model, the same bytes
//
// It does not know what operators mean, nor which of them exist.
package wire
