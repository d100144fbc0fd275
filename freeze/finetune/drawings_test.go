package finetune

import (
	"image"
	_ "image/jpeg"
	_ "image/png"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/onnx/disk"
)

// pictures are what a run draws; of the sheets, those of sets so small.
var pictures = []string{"labels.jpg", "labels_correlogram.jpg", "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg",
	"val_batch0_labels.jpg", "val_batch0_pred.jpg", "results.png", "PR_curve.png", "P_curve.png", "R_curve.png", "F1_curve.png",
	"confusion_matrix.png"}

func TestPictures(t *testing.T) {
	o := smallRun(t)
	o.NoPlots = false
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	for _, name := range pictures {
		f, err := os.Open(filepath.Join(report.RunDir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, _, err := image.Decode(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
	if q.heard("warning: draw") || !q.heard("Validating ") || !q.heard("                   all          6") {
		t.Errorf("lines %q", q.lines)
	}
	for _, row := range q.rows {
		if row.Epoch == report.Metrics.Epoch && row.MAP != report.Metrics.MAP {
			t.Errorf("the last validation has changed the report: %v", report.Metrics)
		}
	}
}

// TestNothingDrawn: option noplots draws nothing, and where pictures cannot be
// written a run warns and goes on.
func TestNothingDrawn(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.Name = 1, "none"
	dir := mustRun(t, o, &quiet{t: t}).RunDir
	for _, name := range pictures {
		if disk.IsFile(filepath.Join(dir, name)) {
			t.Errorf("%s was drawn", name)
		}
	}
	o.Name, o.ExistOK, o.NoPlots = "blocked", true, false
	if err := disk.Claim(filepath.Join(o.Project, o.Name), disk.Inputs{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range pictures {
		if err := os.MkdirAll(filepath.Join(o.Project, o.Name, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	q := &quiet{t: t}
	if report := mustRun(t, o, q); report.Epochs != 1 || report.Best == "" {
		t.Errorf("report %+v", report)
	}
	for _, name := range []string{"labels.jpg", "train_batch0.jpg", "val_batch0_pred.jpg", "results.png", "confusion_matrix.png"} {
		if !q.heard(name + ": is a directory") {
			t.Errorf("no warning of %s in %q", name, q.lines)
		}
	}
}
