package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// server notes what it is asked, and answers as MLflow does; refuse names a path it refuses.
type server struct {
	*httptest.Server
	asked  []string
	bodies []string
	auth   string
	refuse string
	place  string            // where it wants files
	files  map[string]string // what it was given, by path
}

func newServer(t *testing.T) *server {
	s := &server{files: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/under/here"), "/api/2.0/mlflow/")
		body, _ := io.ReadAll(r.Body)
		s.asked, s.bodies, s.auth = append(s.asked, path), append(s.bodies, string(body)), r.Header.Get("Authorization")
		if r.Method == "PUT" {
			s.files[r.URL.Path] = string(body)
		}
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
			fmt.Fprintf(w, `{"run":{"info":{"run_id":"r1","artifact_uri":%q}}}`, s.place)
		case "runs/get":
			fmt.Fprint(w, `{"run":{"info":{"run_id":"r9","artifact_uri":"mlflow-artifacts:/0/r9/artifacts"}}}`)
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestRun(t *testing.T) {
	s := newServer(t)
	run, err := Start(t.Context(), Config{URI: s.URL + "/", Experiment: "new", Timeout: time.Second, Token: "abc"}, "exp3", "")
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
	if err := run.Params(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	if err := run.Metrics(t.Context(), 4, map[string]float64{"metrics/mAP_0.5:0.95": .5, "nan": math.NaN(), "inf": math.Inf(1)}); err != nil {
		t.Fatal(err)
	}
	if err := run.End(t.Context(), Killed); err != nil {
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
		Params  []struct{ Key, Value string }
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
	if run, err := Start(t.Context(), Config{URI: s.URL}, "exp", "r9"); err != nil || run.ID != "r9" || strings.Join(s.asked, " ") != "runs/update runs/get" {
		t.Errorf("%v after %q", err, s.asked)
	}
	with := strings.Replace(s.URL, "//", "//ann:pw@", 1) + "/under/here/"
	if _, err := Start(t.Context(), Config{URI: with, Experiment: "known & old"}, "exp", ""); err != nil || !strings.Contains(s.bodies[len(s.bodies)-1], `"experiment_id":"7"`) {
		t.Errorf("%v after %q", err, s.bodies)
	}
	if s.auth != "Basic YW5uOnB3" {
		t.Errorf("authorization %q", s.auth)
	}
}

func TestRefusals(t *testing.T) {
	s := newServer(t)
	s.refuse = "runs/create"
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for err := error(nil); err == nil; {
			_, err = w.Write(make([]byte, 1<<16))
		}
	}))
	defer endless.Close()
	answers := func(status int, header, text string) string {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", header)
			w.WriteHeader(status)
			io.WriteString(w, text)
		}))
		t.Cleanup(other.Close)
		return other.URL
	}
	cases := []struct{ uri, want string }{
		{s.URL, "mlflow: runs/create: status 500: no room"},
		{"databricks", `mlflow: tracking address "databricks": want one of http:// or https://`},
		{"http://127.0.0.1:1", "mlflow: runs/create: dial tcp 127.0.0.1:1: "},
		{endless.URL, "mlflow: runs/create: the answer is longer than 1048576 bytes"},
		{answers(200, "", "<html>welcome</html>"), "mlflow: runs/create: the answer is not MLflow's"},
		{answers(301, "https://ann:pw@other.example/login?token=t", ""), "mlflow: runs/create: status 301: it sends on to https://other.example: name that address"},
		{answers(400, "", `{"message":"\u001b[2Jforged\nline `+strings.Repeat("x", 1000)+`"}`), "mlflow: runs/create: status 400:  [2Jforged line xxx"},
	}
	for _, c := range cases {
		_, err := Start(t.Context(), Config{URI: c.uri, Timeout: time.Second}, "exp", "")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: error %v, want %s", c.uri, err, c.want)
		}
	}
}

// TestSecrets: no error repeats a password or a token, however an address is misspelt.
func TestSecrets(t *testing.T) {
	for _, uri := range []string{
		"http://ann:geheim@127.0.0.1:1", "http//ann:geheim@host", "ann:geheim@host:5000", "http://ann:ge@heim@host:x", "http://ann:geheim@host:port/",
		"http://ann:geheim@[::1", "http://ann:%zzgeheim@host", "https:/ann:geheim@host", "ftp://ann:geheim@host", "http://ann:geheim @host",
		"http://127.0.0.1:1/?token=geheim", "://host?token=geheim", "http://ann:geheim@ho\x7fst", "http://host:x#geheim", "http://ann:?geheim@host",
	} {
		_, err := Start(t.Context(), Config{URI: uri, Timeout: 50 * time.Millisecond}, "exp", "")
		if err == nil || strings.Contains(err.Error(), "heim") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestRepeated: an answer that says later is asked for again, until the time is over or the
// run is told to stop.
func TestRepeated(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"run":{"info":{"run_id":"r1"}}}`)
	}))
	defer s.Close()
	if _, err := Start(t.Context(), Config{URI: s.URL}, "exp", ""); err != nil || asked != 3 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // a lost connection is seen behind it
		<-r.Context().Done()
	}))
	defer hangs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if _, err := Start(ctx, Config{URI: hangs.URL, Timeout: time.Minute}, "exp", ""); !errors.Is(err, context.Canceled) || time.Since(start) > 30*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
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
