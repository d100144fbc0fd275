// Package step is one training step as a library: it writes forward pass, loss,
// gradients and update of a network under a freeze plan as graphs, opens them in
// ONNX Runtime, and runs them batch by batch on a state that stays where the
// device works. It knows no files and no loop.
package step
