package mlflow

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/databricks/databricks-sdk-go/service/ml"
)

// server notes what it is asked, and answers as MLflow does; refuse names a path it refuses.
type server struct {
	*httptest.Server
	asked  []string
	bodies []string
	auth   string
	refuse string
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/under/here"), "/api/2.0/mlflow/")
		body, _ := io.ReadAll(r.Body)
		s.asked, s.bodies, s.auth = append(s.asked, path), append(s.bodies, string(body)), r.Header.Get("Authorization")
		switch path {
		case s.refuse:
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"error_code":"INTERNAL_ERROR","message":"no room"}`)
		case "experiments/get-by-name":
			if r.URL.Query().Get("experiment_name") == "known & old" {
				fmt.Fprint(w, `{"experiment":{"experiment_id":"7"}}`)
				return
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"none"}`)
		case "experiments/create":
			fmt.Fprint(w, `{"experiment_id":"8"}`)
		case "runs/create":
			fmt.Fprint(w, `{"run":{"info":{"run_id":"r1"}}}`)
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRun(t *testing.T) {
	s := newServer(t)
	run, err := Start(Config{URI: s.URL + "/", Experiment: "new", Timeout: time.Second, Token: "abc"}, "exp3", "")
	if err != nil || run.ID != "r1" {
		t.Fatal(run, err)
	}
	if s.auth != "Bearer abc" {
		t.Errorf("authorization %q", s.auth)
	}
	params := map[string]string{"long": strings.Repeat("ä", 400)}
	for i := range 100 {
		params[fmt.Sprint("p", i)] = "1"
	}
	if err := run.Params(params); err != nil {
		t.Fatal(err)
	}
	if err := run.Metrics(4, map[string]float64{"metrics/mAP_0.5:0.95": .5, "nan": math.NaN(), "inf": math.Inf(1)}); err != nil {
		t.Fatal(err)
	}
	if err := run.End(Killed); err != nil {
		t.Fatal(err)
	}
	want := "experiments/get-by-name experiments/create runs/create runs/log-batch runs/log-batch runs/log-batch runs/update"
	if got := strings.Join(s.asked, " "); got != want {
		t.Fatalf("asked %s, want %s", got, want)
	}
	if !strings.Contains(s.bodies[2], `"experiment_id":"8"`) || !strings.Contains(s.bodies[2], `"run_name":"exp3"`) {
		t.Errorf("run made with %s", s.bodies[2])
	}
	var batch struct {
		Params  []ml.Param
		Metrics []struct {
			Key   string
			Value float64
			Step  int
		}
	}
	if err := json.Unmarshal([]byte(s.bodies[3]), &batch); err != nil || len(batch.Params) != 100 || len(batch.Params[0].Value) != 500 {
		t.Errorf("%v: %d params, the first %d long", err, len(batch.Params), len(batch.Params[0].Value))
	}
	if err := json.Unmarshal([]byte(s.bodies[5]), &batch); err != nil || len(batch.Metrics) != 1 || batch.Metrics[0].Key != "metrics/mAP_0.5-0.95" ||
		batch.Metrics[0].Value != .5 || batch.Metrics[0].Step != 4 {
		t.Errorf("%v: metrics %+v", err, batch.Metrics)
	}
	if !strings.Contains(s.bodies[6], `"status":"KILLED"`) || !strings.Contains(s.bodies[6], "end_time") {
		t.Errorf("ended with %s", s.bodies[6])
	}
}

// TestTakeUp: a run with an id goes on; a known experiment is not made again.
func TestTakeUp(t *testing.T) {
	s := newServer(t)
	if run, err := Start(Config{URI: s.URL}, "exp", "r9"); err != nil || run.ID != "r9" || strings.Join(s.asked, " ") != "runs/update" {
		t.Errorf("%v after %q", err, s.asked)
	}
	with := strings.Replace(s.URL, "//", "//ann:pw@", 1) + "/under/here/"
	if _, err := Start(Config{URI: with, Experiment: "known & old"}, "exp", ""); err != nil || !strings.Contains(s.bodies[len(s.bodies)-1], `"experiment_id":"7"`) {
		t.Errorf("%v after %q", err, s.bodies)
	}
	if s.auth != "Basic YW5uOnB3" {
		t.Errorf("authorization %q", s.auth)
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	s.refuse = "runs/create"
	cases := []struct{ uri, want string }{
		{s.URL, "mlflow: runs/create: status 500: no room"},
		{"databricks", `mlflow: tracking address "databricks": want one of http:// or https://`},
		{"http://127.0.0.1:1", "mlflow: runs/create: "},
	}
	for _, c := range cases {
		if _, err := Start(Config{URI: c.uri, Timeout: time.Second}, "exp", ""); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.uri, err, c.want)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	env := map[string]string{}
	if _, ok := FromEnvironment(func(k string) string { return env[k] }); ok {
		t.Error("a server without an address")
	}
	env["MLFLOW_TRACKING_URI"], env["MLFLOW_EXPERIMENT_NAME"] = "http://x", "e"
	if c, ok := FromEnvironment(func(k string) string { return env[k] }); !ok || c.URI != "http://x" || c.Experiment != "e" {
		t.Errorf("%+v", c)
	}
}
