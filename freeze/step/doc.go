// Package step is one training step as a library: it writes forward pass, loss,
// gradients and update of a network under a freeze plan as graphs, opens them in
// ONNX Runtime, and runs them batch by batch on a state that stays where the
// device works. It knows no files and no loop.
//
//	e, err := step.NewEngine(&step.Spec{Net: net, State: weights, Plan: plan, Batch: 16, Height: 640, Width: 640,
//		Loss: loss, Optimizer: optim.Options{Algorithm: "SGD"}}, ort.Options{})
//	defer e.Close()
//	losses, err := e.Accumulate(images, matches) // RGB planes [16 3 640 640]; net.Assign makes matches of targets
//	norm, err := e.Step(step.Rates{LR: [3]float64{0.01, 0.01, 0.01}, Momentum: 0.937})
//	trained := e.Weights(false)
package step
