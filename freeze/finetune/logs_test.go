package finetune

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLoggers runs with an MLflow server that answers until fails, and looks
// for TensorBoard's file.
func TestLoggers(t *testing.T) {
	cases := []struct {
		name  string
		fails string // the path that the server refuses
		lines []string
	}{
		{"well", "", nil},
		{"start", "/api/2.0/mlflow/runs/create", []string{"the run is not logged to MLflow"}},
		{"later", "/api/2.0/mlflow/runs/log-batch", []string{"the run is not logged to MLflow"}},
		{"end", "/api/2.0/mlflow/runs/update", []string{"runs/update: status 418: I'm a teapot; no more is logged there"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := smallRun(t)
			var bodies []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, r.URL.Path+string(body))
				if r.URL.Path == c.fails {
					w.WriteHeader(http.StatusTeapot)
				}
				io.WriteString(w, `{"experiment":{"experiment_id":"1"},"run":{"info":{"run_id":"r1"}}}`)
			}))
			defer server.Close()
			t.Setenv("MLFLOW_TRACKING_URI", server.URL)
			q := &quiet{t: t}
			report := mustRun(t, o, q)
			if files, _ := filepath.Glob(filepath.Join(report.RunDir, "events.out.tfevents.*")); len(files) != 1 {
				t.Errorf("event files %q", files)
			}
			for _, want := range c.lines {
				if !q.heard(want) {
					t.Errorf("no line says %q: %q", want, q.lines)
				}
			}
			if c.fails != "" {
				return
			}
			all := strings.Join(bodies, "\n")
			for _, want := range []string{`"metrics/mAP_0.5-0.95"`, `"step":2`, `"status":"FINISHED"`, `{"key":"hyp.lr0","value":"0.01"}`} {
				if !strings.Contains(all, want) {
					t.Errorf("the server heard no %s", want)
				}
			}
		})
	}
}

// TestLogsGoOn: a run that is interrupted and resumed stays one run at the server.
func TestLogsGoOn(t *testing.T) {
	o := smallRun(t)
	var ends []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, word := range []string{"RUNNING", "KILLED", "FINISHED", "FAILED", "run_name"} {
			if strings.Contains(string(body), `"`+word+`"`) {
				ends = append(ends, word)
			}
		}
		io.WriteString(w, `{"experiment":{"experiment_id":"1"},"run":{"info":{"run_id":"r1"}}}`)
	}))
	defer server.Close()
	t.Setenv("MLFLOW_TRACKING_URI", server.URL)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	q := &quiet{t: t, onBatch: func(n int) {
		if n == 4 {
			cancel(stopped)
		}
	}}
	if _, err := Run(ctx, o, q); !errors.Is(err, stopped) {
		t.Fatal(err)
	}
	dir := filepath.Join(o.Project, o.Name)
	mustRun(t, resumed(t, dir), q)
	if want := []string{"run_name", "KILLED", "RUNNING", "FINISHED"}; !slices.Equal(ends, want) {
		t.Errorf("the server heard %q, want %q", ends, want)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*")); len(files) != 2 {
		t.Errorf("event files %q", files)
	}
}
