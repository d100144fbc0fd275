package mlflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Run is one run on a server. It is not safe for concurrent use.
type Run struct {
	ID        string
	client    *client
	artifacts string // where the server wants files
}

// Status is how a run ended.
type Status string

// The statuses of a run.
const (
	running  Status = "RUNNING"
	Finished Status = "FINISHED"
	Failed   Status = "FAILED"
	Killed   Status = "KILLED"
)

// The server's limits on one request, and on the length of a value.
const (
	batchParams  = 100
	batchMetrics = 1000
	valueBytes   = 500
)

// runInfo is what the server says of a run.
type runInfo struct {
	Run struct {
		Info struct {
			ID        string `json:"run_id"`
			Artifacts string `json:"artifact_uri"`
		}
	}
}

// Start makes a run of the given name, or takes up the one of an id.
func Start(ctx context.Context, c Config, name, id string) (*Run, error) {
	api, err := c.client()
	if err != nil {
		return nil, fmt.Errorf("mlflow: %w", err)
	}
	r := &Run{ID: id, client: api}
	var info runInfo
	if id != "" {
		if err := r.update(ctx, running); err != nil {
			return nil, err
		}
		if err := api.call(ctx, "GET", "runs/get", url.Values{"run_id": {id}}, &info); err != nil {
			return nil, err
		}
		r.artifacts = info.Run.Info.Artifacts
		return r, nil
	}
	experiment, err := r.experiment(ctx, c.Experiment)
	if err != nil {
		return nil, err
	}
	made := map[string]any{"experiment_id": experiment, "run_name": name, "start_time": millis()}
	if err := api.call(ctx, "POST", "runs/create", made, &info); err != nil {
		return nil, err
	}
	r.ID, r.artifacts = info.Run.Info.ID, info.Run.Info.Artifacts
	if r.ID == "" || key(r.ID) != r.ID {
		return nil, errors.New("mlflow: runs/create: the server made a run without an id")
	}
	return r, nil
}

// experiment finds or makes the experiment.
func (r *Run) experiment(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "0", nil // MLflow's default one
	}
	id, err := r.findExperiment(ctx, name)
	if !hasCode(err, resourceMissing) {
		return id, err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	err = r.client.call(ctx, "POST", "experiments/create", map[string]any{"name": name}, &made)
	if hasCode(err, resourceThere) { // another run has made it meanwhile
		return r.findExperiment(ctx, name)
	}
	return made.ID, err
}

func (r *Run) findExperiment(ctx context.Context, name string) (string, error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		}
	}
	err := r.client.call(ctx, "GET", "experiments/get-by-name", url.Values{"experiment_name": {name}}, &found)
	return found.Experiment.ID, err
}

type param struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

// Params writes parameters; long values are cut.
func (r *Run) Params(ctx context.Context, params map[string]string) error {
	var list []param
	for _, name := range slices.Sorted(maps.Keys(params)) {
		v := params[name]
		list = append(list, param{key(name), strings.ToValidUTF8(v[:min(len(v), valueBytes)], "")})
	}
	for part := range slices.Chunk(list, batchParams) {
		if err := r.log(ctx, "params", part); err != nil {
			return err
		}
	}
	return nil
}

// Metrics writes the numbers of a step; what is no number is left out.
func (r *Run) Metrics(ctx context.Context, step int, values map[string]float64) error {
	var list []metric
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if v := values[name]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			list = append(list, metric{key(name), v, millis(), int64(step)})
		}
	}
	for part := range slices.Chunk(list, batchMetrics) {
		if err := r.log(ctx, "metrics", part); err != nil {
			return err
		}
	}
	return nil
}

// End says how the run ended.
func (r *Run) End(ctx context.Context, status Status) error { return r.update(ctx, status) }

func (r *Run) log(ctx context.Context, what string, list any) error {
	return r.client.call(ctx, "POST", "runs/log-batch", map[string]any{"run_id": r.ID, what: list}, nil)
}

func (r *Run) update(ctx context.Context, status Status) error {
	in := map[string]any{"run_id": r.ID, "status": status}
	if status != running {
		in["end_time"] = millis()
	}
	return r.client.call(ctx, "POST", "runs/update", in, nil)
}

// key keeps what MLflow allows in names on every system.
func key(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-. /", c) {
			return c
		}
		return '-'
	}, name)
}

func millis() int64 { return time.Now().UnixMilli() }
