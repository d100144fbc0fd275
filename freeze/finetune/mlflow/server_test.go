//go:build unix

package mlflow

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServer speaks with MLflow's own server, started by the Python that YOLOFREEZE_MLFLOW
// names, and lets MLflow's own client say what it finds there.
func TestServer(t *testing.T) {
	python := os.Getenv("YOLOFREEZE_MLFLOW")
	if python == "" {
		t.Skip("YOLOFREEZE_MLFLOW names no Python with MLflow: scripts/test.sh sets it")
	}
	for name, flags := range map[string][]string{
		"database, files through the server": {"--backend-store-uri", "sqlite:///runs.db", "--artifacts-destination", "files"},
		"folders, files copied":              {"--backend-store-uri", "runs", "--default-artifact-root", "files", "--no-serve-artifacts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkServer(t, python, startServer(t, python, flags))
		})
	}
}

func startServer(t *testing.T, python string, flags []string) (address string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(python, append([]string{"-m", "mlflow", "server", "--port", fmt.Sprint(port), "--workers", "1"}, flags...)...)
	server.Dir, server.Stdout, server.Stderr = dir, log, log
	server.Env = append(os.Environ(), "HOME="+dir, "MLFLOW_TRACKING_URI=", "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_ALLOW_FILE_STORE=true")
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has workers
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-server.Process.Pid, syscall.SIGTERM)
		server.Wait()
		log.Close()
	})
	address = fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 600 {
		if answer, err := http.Get(address + "/health"); err == nil {
			answer.Body.Close()
			return address
		}
		time.Sleep(200 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("the server does not start: %s", text)
	return ""
}

// whatMLflowFinds prints as JSON what MLflow's client finds of a run and its experiment.
const whatMLflowFinds = `
import json, pathlib, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
run = client.get_run(sys.argv[2])
files = {}
def walk(path):
    for item in client.list_artifacts(run.info.run_id, path):
        if item.is_dir:
            walk(item.path)
        else:
            files[item.path] = pathlib.Path(client.download_artifacts(run.info.run_id, item.path)).stat().st_size
walk("")
print(json.dumps({
    "name": run.info.run_name, "status": run.info.status, "experiment": client.get_experiment(run.info.experiment_id).name,
    "ended": run.info.end_time is not None, "params": run.data.params, "files": files,
    "metrics": {k: [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, k)] for k in run.data.metrics}}))
`

func checkServer(t *testing.T, python, address string) {
	file := filepath.Join(t.TempDir(), "best.onnx")
	if err := os.WriteFile(file, make([]byte, 3<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	c := Config{URI: address, Experiment: "runs/train & more", Timeout: time.Minute}
	id := ""
	for range 2 { // a run that stops and goes on
		run, err := Start(t.Context(), c, "exp3", id)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		if id == "" {
			id, steps = run.ID, 2
			if err := run.Params(t.Context(), map[string]string{"hyp.lr0": "0.01", "classes": strings.Repeat("ä", 400), "empty": ""}); err != nil {
				t.Error(err)
			}
		}
		for step := range steps {
			if err := run.Metrics(t.Context(), step, map[string]float64{"metrics/mAP_0.5:0.95": float64(step) / 4, "x/lr0": 0}); err != nil {
				t.Error(err)
			}
		}
		if err := run.End(t.Context(), Killed); err != nil {
			t.Error(err)
		}
	}
	run, err := Start(t.Context(), c, "exp3", id)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results.png", "weights/best.onnx"} {
		if err := run.Artifact(t.Context(), name, file); err != nil {
			t.Error(err)
		}
	}
	if err := run.End(t.Context(), Finished); err != nil {
		t.Error(err)
	}
	find := exec.Command(python, "-c", whatMLflowFinds, address, id)
	find.Stderr = t.Output()
	text, err := find.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want := `{"ended":true,"experiment":"runs/train \u0026 more","files":{"results.png":3145728,"weights/best.onnx":3145728},` +
		`"metrics":{"metrics/mAP_0.5-0.95":[[0,0],[1,0.25]],"x/lr0":[[0,0],[1,0]]},"name":"exp3",` +
		`"params":{"classes":"` + strings.Repeat("ä", 250) + `","empty":"","hyp.lr0":"0.01"},"status":"FINISHED"}`
	if sorted, _ := json.Marshal(got); string(sorted) != want {
		t.Errorf("MLflow finds\n%s, want\n%s", sorted, want)
	}
}
