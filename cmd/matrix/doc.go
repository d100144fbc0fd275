// Package matrix makes the runs that compare starts, one a cell of weights, plans,
// hyperparameters and seeds, and trains each in a process of its own.
package matrix
