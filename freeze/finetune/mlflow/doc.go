// Package mlflow tells an MLflow tracking server of a run: its parameters, its
// metrics by step, how it ended.
//
// It speaks MLflow's REST API 2.0 through the client of Databricks, which makes
// MLflow, without that client's ways to find and log in to Databricks itself; it
// knows nothing of training.
package mlflow
