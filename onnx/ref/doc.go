// Package ref runs a graph in float64, each operator by its plain definition
// (https://onnx.ai/onnx/operators/). It is the oracle that gradients and other runtimes
// are held against, and the evaluator behind constant folding.
//
// Every element type is carried as float64, so integers beyond 2⁵³ lose their last
// digits and float32 arithmetic is not rounded. Results in float16 and bfloat16 are,
// once, after a node's sums: so runtimes compute them. It knows no execution provider and is
// made to be right, not fast.
package ref
