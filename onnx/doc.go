// Package onnx holds a model as data: graph, nodes, values, tensors and their
// types, as the ONNX specification names them (https://onnx.ai/onnx/repo-docs/IR.html).
//
// It knows nothing of what an operator means (package op), of bytes on disk
// (package wire) or of a runtime (package ort), and imports the standard
// library only. DESIGN.md beside this file answers the "why" questions.
package onnx
