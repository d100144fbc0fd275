// Package freeze decides, from names alone, which parameters of a network
// train and why: selectors make a Plan, a schedule makes a Plan per stage, and
// rates scale the learning rate per parameter.
//
// It knows nothing of graphs, tensors' values, files of models or optimizers. Of
// the project it imports how a file is read (onnx/disk) only, and all but reading
// an @file is a pure function of its arguments.
package freeze
