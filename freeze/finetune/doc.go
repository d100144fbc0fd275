// Package finetune trains: it is the loop over epochs and batches around a step,
// with validation, checkpoints, the run's folder and who hears of it.
package finetune
