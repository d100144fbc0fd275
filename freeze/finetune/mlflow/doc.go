// Package mlflow tells an MLflow tracking server of a run: its parameters, its
// metrics by step, its files, how it ended.
//
// It speaks the few calls of MLflow's REST API 2.0 that this takes; it knows
// nothing of training.
package mlflow
