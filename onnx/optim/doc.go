// Package optim writes update rules as graphs: SGD with Nesterov's momentum,
// Adam and AdamW, clipping by the global norm, and the exponential moving
// average of the weights.
//
//	m, err := optim.Build([]optim.Param{{Name: "w", Size: 100, Group: optim.Weights}}, nil, optim.Options{Algorithm: "SGD"})
//
// A state tensor X enters the graph as input X and leaves it as output X.out;
// both may be bound to the same memory. The package knows what it updates, a tensor
// or flat memory of many, by name, size and group only.
package optim
