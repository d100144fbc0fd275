// Package synth draws data sets of simple shapes with known boxes, for
// demonstrations and tests that must not need anybody's photographs. A model
// may be trained on one family of shapes and then fine-tuned on another.
//
// Every picture depends on the seed, its split and its number alone. The
// package knows nothing of training.
package synth
