// Package validate measures what a model finds on a split: losses, precision, recall and
// average precision, picture by picture while the next ones run.
package validate
