// Package checkpoint keeps the state of a run, from which it goes on to the bytes that it would
// have come to: weights, moments, gradients, its place and its options.
package checkpoint
