// Package testkit holds what tests of several packages share: gradients held
// against central differences, tables of the kernels that ONNX Runtime's
// providers have, and what else decides whether a node runs where it should.
//
// Only tests import it. It knows nothing of YOLOv5, of files of weights or of
// the runtime itself.
package testkit
