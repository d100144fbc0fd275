package mlflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/databricks/databricks-sdk-go/apierr"
	"github.com/databricks/databricks-sdk-go/service/ml"
)

// Config says where the server is and who speaks.
type Config struct {
	URI                string        // http:// or https://
	Username, Password string        // basic authentication, unless Token is set
	Token              string        // bearer authentication
	Experiment         string        // made where it is missing
	Timeout            time.Duration // of a request with its repetitions, 5 s unless set
}

// FromEnvironment reads what MLflow's own clients read, MLFLOW_TRACKING_URI
// and so on, through getenv. ok is false where no server is named.
func FromEnvironment(getenv func(string) string) (c Config, ok bool) {
	c = Config{URI: getenv("MLFLOW_TRACKING_URI"), Username: getenv("MLFLOW_TRACKING_USERNAME"), Password: getenv("MLFLOW_TRACKING_PASSWORD"),
		Token: getenv("MLFLOW_TRACKING_TOKEN"), Experiment: getenv("MLFLOW_EXPERIMENT_NAME")}
	return c, c.URI != ""
}

// Run is one run on a server. It is not safe for concurrent use.
type Run struct {
	ID      string
	api     *ml.ExperimentsAPI
	timeout time.Duration
}

// How a run ended.
const (
	Finished = ml.UpdateRunStatusFinished
	Failed   = ml.UpdateRunStatusFailed
	Killed   = ml.UpdateRunStatusKilled
)

// The server's limits on one request, and on the length of a value.
const (
	batchParams  = 100
	batchMetrics = 1000
	valueBytes   = 500
)

// Start makes a run of the given name, or takes up the one of an id.
func Start(c Config, name, id string) (*Run, error) {
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	api, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("mlflow: %w", err)
	}
	r := &Run{ID: id, api: api, timeout: c.Timeout}
	if id != "" {
		return r, r.update(ml.UpdateRun{RunId: id, Status: ml.UpdateRunStatusRunning})
	}
	experiment, err := r.experiment(c.Experiment)
	if err != nil {
		return nil, err
	}
	err = r.ask("runs/create", func(ctx context.Context) error {
		made, err := api.CreateRun(ctx, ml.CreateRun{ExperimentId: experiment, RunName: name, StartTime: millis()})
		if err == nil && (made.Run == nil || made.Run.Info == nil || made.Run.Info.RunId == "") {
			return errors.New("the server made a run without an id")
		}
		if err == nil {
			r.ID = made.Run.Info.RunId
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// experiment finds or makes the experiment.
func (r *Run) experiment(name string) (id string, err error) {
	if name == "" {
		return "0", nil // MLflow's default one
	}
	err = r.ask("experiments/get-by-name", func(ctx context.Context) error {
		found, err := r.api.GetByName(ctx, ml.GetByNameRequest{ExperimentName: name})
		if errors.Is(err, apierr.ErrResourceDoesNotExist) {
			return nil
		}
		if err == nil && found.Experiment != nil {
			id = found.Experiment.ExperimentId
		}
		return err
	})
	if err != nil || id != "" {
		return id, err
	}
	err = r.ask("experiments/create", func(ctx context.Context) error {
		made, err := r.api.CreateExperiment(ctx, ml.CreateExperiment{Name: name})
		if err == nil {
			id = made.ExperimentId
		}
		return err
	})
	return id, err
}

// Params writes parameters; long values are cut.
func (r *Run) Params(params map[string]string) error {
	var list []ml.Param
	for _, name := range slices.Sorted(maps.Keys(params)) {
		v := params[name]
		list = append(list, ml.Param{Key: key(name), Value: strings.ToValidUTF8(v[:min(len(v), valueBytes)], ""), ForceSendFields: []string{"Value"}})
	}
	for part := range slices.Chunk(list, batchParams) {
		if err := r.log(ml.LogBatch{RunId: r.ID, Params: part}); err != nil {
			return err
		}
	}
	return nil
}

// Metrics writes the numbers of a step; what is no number is left out.
func (r *Run) Metrics(step int, values map[string]float64) error {
	var list []ml.Metric
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if v := values[name]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			list = append(list, ml.Metric{Key: key(name), Value: v, Timestamp: millis(), Step: int64(step), ForceSendFields: []string{"Value", "Step"}})
		}
	}
	for part := range slices.Chunk(list, batchMetrics) {
		if err := r.log(ml.LogBatch{RunId: r.ID, Metrics: part}); err != nil {
			return err
		}
	}
	return nil
}

// End says how the run ended.
func (r *Run) End(status ml.UpdateRunStatus) error {
	return r.update(ml.UpdateRun{RunId: r.ID, Status: status, EndTime: millis()})
}

func (r *Run) log(batch ml.LogBatch) error {
	return r.ask("runs/log-batch", func(ctx context.Context) error { return r.api.LogBatch(ctx, batch) })
}

func (r *Run) update(u ml.UpdateRun) error {
	return r.ask("runs/update", func(ctx context.Context) error {
		_, err := r.api.UpdateRun(ctx, u)
		return err
	})
}

// ask makes a request within the time, and says of an error in which one it came.
func (r *Run) ask(path string, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	err := request(ctx)
	var refused *apierr.APIError
	if errors.As(err, &refused) {
		return fmt.Errorf("mlflow: %s: status %d: %s", path, refused.StatusCode, cmp.Or(refused.Message, http.StatusText(refused.StatusCode)))
	}
	if err != nil {
		return fmt.Errorf("mlflow: %s: %w", path, err)
	}
	return nil
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
