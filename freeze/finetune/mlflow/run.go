package mlflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config says where the server is and who speaks.
type Config struct {
	URI                string // http:// or https://
	Username, Password string // basic authentication, unless Token is set
	Token              string // bearer authentication
	Experiment         string // made where it is missing
	Timeout            time.Duration
}

// FromEnvironment reads what MLflow's own clients read, MLFLOW_TRACKING_URI
// and so on, through getenv. ok is false where no server is named.
func FromEnvironment(getenv func(string) string) (c Config, ok bool) {
	c = Config{URI: getenv("MLFLOW_TRACKING_URI"), Username: getenv("MLFLOW_TRACKING_USERNAME"), Password: getenv("MLFLOW_TRACKING_PASSWORD"),
		Token: getenv("MLFLOW_TRACKING_TOKEN"), Experiment: getenv("MLFLOW_EXPERIMENT_NAME"), Timeout: 5 * time.Second}
	return c, c.URI != ""
}

// Run is one run on a server. It is not safe for concurrent use.
type Run struct {
	ID     string
	config Config
	client http.Client
}

// How a run ended.
const (
	Finished = "FINISHED"
	Failed   = "FAILED"
	Killed   = "KILLED"
)

// The server's limits on one request, and on the length of a value.
const (
	batchParams  = 100
	batchMetrics = 1000
	valueBytes   = 500
)

// Start makes a run of the given name, or takes up the one of an id.
func Start(c Config, name, id string) (*Run, error) {
	u, err := url.Parse(c.URI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("mlflow: tracking address %q: want one of http:// or https://", c.URI)
	}
	if u.User != nil && c.Username == "" {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	u.User = nil
	c.URI = strings.TrimRight(u.String(), "/")
	r := &Run{ID: id, config: c, client: http.Client{Timeout: c.Timeout}}
	if id != "" {
		return r, r.update("RUNNING", nil)
	}
	experiment, err := r.experiment()
	if err != nil {
		return nil, err
	}
	var made struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := r.post("runs/create", map[string]any{"experiment_id": experiment, "run_name": name, "start_time": millis()}, &made); err != nil {
		return nil, err
	}
	if r.ID = made.Run.Info.ID; r.ID == "" {
		return nil, fmt.Errorf("mlflow: %s made a run without an id", c.URI)
	}
	return r, nil
}

// experiment finds or makes the experiment.
func (r *Run) experiment() (string, error) {
	if r.config.Experiment == "" {
		return "0", nil // MLflow's default one
	}
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
		ID string `json:"experiment_id"`
	}
	err := r.call(http.MethodGet, "experiments/get-by-name?experiment_name="+url.QueryEscape(r.config.Experiment), nil, &found)
	var refused *Refusal
	if errors.As(err, &refused) && refused.Code == "RESOURCE_DOES_NOT_EXIST" {
		err = r.post("experiments/create", map[string]any{"name": r.config.Experiment}, &found)
		return found.ID, err
	}
	return found.Experiment.ID, err
}

type entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Params writes parameters; long values are cut.
func (r *Run) Params(params map[string]string) error {
	var list []entry
	for _, name := range slices.Sorted(maps.Keys(params)) {
		v := params[name]
		list = append(list, entry{key(name), strings.ToValidUTF8(v[:min(len(v), valueBytes)], "")})
	}
	for part := range slices.Chunk(list, batchParams) {
		if err := r.post("runs/log-batch", map[string]any{"run_id": r.ID, "params": part}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Metrics writes the numbers of a step; what is no number is left out.
func (r *Run) Metrics(step int, values map[string]float64) error {
	type metric struct {
		Key   string  `json:"key"`
		Value float64 `json:"value"`
		Time  int64   `json:"timestamp"`
		Step  int     `json:"step"`
	}
	var list []metric
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if v := values[name]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			list = append(list, metric{key(name), v, millis(), step})
		}
	}
	for part := range slices.Chunk(list, batchMetrics) {
		if err := r.post("runs/log-batch", map[string]any{"run_id": r.ID, "metrics": part}, nil); err != nil {
			return err
		}
	}
	return nil
}

// End says how the run ended.
func (r *Run) End(status string) error { return r.update(status, millis()) }

func (r *Run) update(status string, end any) error {
	body := map[string]any{"run_id": r.ID, "status": status}
	if end != nil {
		body["end_time"] = end
	}
	return r.post("runs/update", body, nil)
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

func (r *Run) post(path string, body, answer any) error {
	return r.call(http.MethodPost, path, body, answer)
}

// Refusal is the server's answer to what it would not do.
type Refusal struct {
	Status  int    `json:"-"`
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

func (e *Refusal) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s %s", e.Status, e.Code, e.Message))
}

const mostAnswer = 1 << 20

func (r *Run) call(method, path string, body, answer any) error {
	fault := func(err error) error { return fmt.Errorf("mlflow: %s: %w", path, err) }
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fault(err)
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequest(method, r.config.URI+"/api/2.0/mlflow/"+path, content)
	if err != nil {
		return fault(err)
	}
	request.Header.Set("Content-Type", "application/json")
	switch {
	case r.config.Token != "":
		request.Header.Set("Authorization", "Bearer "+r.config.Token)
	case r.config.Username != "":
		request.SetBasicAuth(r.config.Username, r.config.Password)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return fault(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return fault(err)
	}
	if response.StatusCode != http.StatusOK {
		refused := &Refusal{Status: response.StatusCode}
		_ = json.Unmarshal(data, refused) // an answer of another form keeps the status
		return fault(refused)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fault(err)
	}
	return nil
}
