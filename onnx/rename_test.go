package onnx_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRenameModule: one script gives the module another path, and a copy of it builds then.
func TestRenameModule(t *testing.T) {
	if testing.Short() {
		t.Skip("copies the project and builds some of it")
	}
	for _, tool := range []string{"bash", "sed", "find"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"cmd", "onnx", "freeze", "dataset", "scripts"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command(args[0], args[1:]...)
		c.Dir, c.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, text)
		}
		return string(text)
	}
	const path = "example.org/of/some-one/yolofreeze"
	run("bash", filepath.Join(dir, "scripts", "rename-module.sh"), path)
	for _, line := range strings.Fields(run("go", "list", "-test", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...")) {
		if strings.HasPrefix(line, module) {
			t.Fatalf("%s is still imported", line)
		}
	}
	run("go", "vet", "./onnx", "./onnx/grad", "./freeze")
	run("go", "test", "-run", "Rooms|Layering", "./onnx")
}
