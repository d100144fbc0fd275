// Package tensorboard writes event files that TensorBoard shows: numbers and
// pictures by step.
//
// It knows the file's framing and the few protobuf messages it needs; it knows
// nothing of training.
package tensorboard
