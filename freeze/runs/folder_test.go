package runs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// TestFolderWithoutMark: a run's folder whose mark is lost is known by its files; YOLOv5's is not ours.
func TestFolderWithoutMark(t *testing.T) {
	project := t.TempDir()
	for name, files := range map[string][]string{
		"ours":   {"results.csv", "opt.yaml", "freeze.yaml"},
		"yolov5": {"results.csv", "opt.yaml", "hyp.yaml"},
	} {
		dir := filepath.Join(project, name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		got, err := runs.NewFolder(project, name, true, disk.Inputs{})
		var refused *disk.OutputError
		if name == "ours" && (err != nil || got != dir) || name != "ours" && !errors.As(err, &refused) || disk.Claimed(dir) != (name == "ours") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
