// Package model reads models, whatever file or folder they come in: a network, its
// weights and the names of its classes, ready to be trained, run or described.
package model
