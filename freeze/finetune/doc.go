// Package finetune trains: it turns a network, its weights and a freeze plan
// into training, optimizer and evaluation graphs, runs them on ONNX Runtime,
// and keeps the run's folder.
//
// It is where the packages meet; it knows nothing of the command line.
package finetune
