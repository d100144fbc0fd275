// Package testkit holds what tests of several packages share: gradients held
// against central differences, tables of the kernels that ONNX Runtime's
// providers have and of what else decides whether a node runs where it should,
// state that is replaced in place, YOLOv5's layer tables.
//
// Only tests import it. It knows nothing of files of weights or of the runtime
// itself.
package testkit
