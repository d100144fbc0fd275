package mlflow

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestArtifact: files go where the server says, and nowhere that it should not say.
func TestArtifact(t *testing.T) {
	s := newServer(t)
	root := t.TempDir()
	file := filepath.Join(root, "best.onnx")
	if err := os.WriteFile(file, []byte("model"), 0o666); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(root, "store", "0", "r1", "artifacts")
	for _, c := range []struct{ place, at, fails string }{
		{place: "mlflow-artifacts:/0/r1/artifacts", at: "/api/2.0/mlflow-artifacts/artifacts/0/r1/artifacts/weights/best.onnx"},
		{place: "mlflow-artifacts://" + s.Listener.Addr().String() + "/0/r1/artifacts", at: "/api/2.0/mlflow-artifacts/artifacts/0/r1/artifacts/weights/best.onnx"},
		{place: s.URL + "/api/2.0/mlflow-artifacts/artifacts/0/r1", at: "/api/2.0/mlflow-artifacts/artifacts/0/r1/weights/best.onnx"},
		{place: "mlflow-artifacts://other.example/0", fails: "the server wants files at mlflow-artifacts://other.example, not at itself"},
		{place: "s3://bucket/0", fails: "the server keeps files at s3://, which only it can reach: start it with --serve-artifacts"},
		{place: "", fails: "the server names no place for files"},
		{place: own},
		{place: "file://" + own},
		{place: filepath.Join(root, "other"), fails: "which is no folder of this run"},
		{place: own + "/../../../..", fails: "which is no folder of this run"},
		{place: "store/0/r1/artifacts", fails: "which is no folder of this run"},
	} {
		clear(s.files)
		if err := os.RemoveAll(filepath.Join(root, "store")); err != nil {
			t.Fatal(err)
		}
		s.place = c.place
		run, err := Start(t.Context(), Config{URI: s.URL, Timeout: time.Second}, "exp", "")
		if err != nil {
			t.Fatal(err)
		}
		err = run.Artifact(t.Context(), "weights/best.onnx", file)
		switch copied, _ := os.ReadFile(filepath.Join(own, "weights", "best.onnx")); {
		case c.fails != "":
			if err == nil || !strings.HasPrefix(err.Error(), "mlflow: artifact weights/best.onnx: ") || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: error %v, want %s", c.place, err, c.fails)
			}
		case err != nil:
			t.Errorf("%s: %v", c.place, err)
		case c.at != "":
			if s.files[c.at] != "model" {
				t.Errorf("%s: the server got %q", c.place, s.files)
			}
		case string(copied) != "model":
			t.Errorf("%s: copied %q", c.place, copied)
		}
	}
	run := &Run{ID: "r1", artifacts: own, client: newClient(mustParse(t, "http://192.0.2.1"), Config{})}
	if err := run.Artifact(t.Context(), "x", file); err == nil || !strings.Contains(err.Error(), "a folder of its own machine: start it with --serve-artifacts") {
		t.Errorf("a folder of another machine: %v", err)
	}
	run.artifacts, run.client = "mlflow-artifacts:/0", newClient(mustParse(t, s.URL), Config{Timeout: time.Second})
	if err := run.Artifact(t.Context(), "x", filepath.Join(root, "absent")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
