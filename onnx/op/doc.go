// Package op says what operators mean: for each one that yolofreeze emits or
// reads, the versions of its schema, the types of its outputs, and its
// gradient, one file per family. Builder appends nodes with their types
// inferred, so that formulas stay one-liners:
//
//	b := op.NewBuilder("square")
//	x := b.Input("x", onnx.Float, onnx.Dims(2, 3))
//	b.Output("y", b.ReduceSum(b.Square(x), false)) // b.Err tells what went wrong, b.Model is the graph
//
// Rules follow the ONNX operator schemas (https://onnx.ai/onnx/operators/) at
// the opset named Opset. They never mention an execution provider: what a
// provider cannot run is rewritten by package pass. What an operator computes
// is in package ref.
package op
