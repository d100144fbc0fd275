// Package mlflow tells an MLflow tracking server of a run: its parameters, its
// metrics by step, how it ended.
//
// It speaks MLflow's REST API 2.0; it knows nothing of training.
package mlflow
