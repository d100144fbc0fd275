package finetune

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/artifact"
)

// TestAutoAnchor runs on drawn shapes that the small model's anchors fit, or do
// not under a strict threshold.
func TestAutoAnchor(t *testing.T) {
	cases := []struct {
		name    string
		change  func(*options.Options)
		line    string
		changed bool
	}{
		{"replaced under a new head", func(o *options.Options) { o.Hyp.AnchorT = 1.3 }, "BPR with new anchors", true},
		{"switched off", func(o *options.Options) { o.Hyp.AnchorT, o.NoAutoAnchor = 1.3, true }, "", false},
		{"good as they are", func(o *options.Options) { o.Hyp.AnchorT = 1000 }, "1.000 best possible recall", false},
		{"asked for by hyp", func(o *options.Options) { o.Hyp.AnchorT, o.Hyp.Anchors = 1000, 2.4 }, "BPR with new anchors", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := smallRun(t)
			o.Epochs = 1
			c.change(&o)
			q := &quiet{t: t}
			report := mustRun(t, o, q)
			if c.line != "" && !q.heard(c.line) || c.line == "" && q.heard("AutoAnchor:") {
				t.Errorf("lines %q", q.lines)
			}
			before, err := model.Load(o.Weights)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{report.Best, report.Last} {
				after, err := model.Load(path)
				if err != nil {
					t.Fatal(err)
				}
				if changed := !reflect.DeepEqual(before.Net.Anchors, after.Net.Anchors); changed != c.changed {
					t.Errorf("%s: anchors changed: %t, want %t: %v", path, changed, c.changed, after.Net.Anchors)
				}
				if last := -1.; c.changed {
					for _, level := range after.Net.Anchors {
						for _, a := range level {
							if a[0]*a[1] < last {
								t.Errorf("anchors do not grow: %v", after.Net.Anchors)
							}
							last = a[0] * a[1]
						}
					}
				}
			}
		})
	}
}

// TestAutoAnchorKeepsHead: a head that keeps its weights keeps its anchors unless told.
func TestAutoAnchorKeepsHead(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.Hyp.AnchorT, o.NoAutoAnchor = 1, 1.3, true
	o.Weights = mustRun(t, o, &quiet{t: t}).Best
	o.NoAutoAnchor = false
	q := &quiet{t: t}
	mustRun(t, o, q)
	if !q.heard("`autoanchor` makes new ones") || q.heard("new anchors [") {
		t.Errorf("lines %q", q.lines)
	}
	o.AutoAnchor = true
	if mustRun(t, o, q); !q.heard("new anchors [") {
		t.Errorf("lines %q", q.lines)
	}
	o.Hyp.Anchors = 7
	if _, err := Run(t.Context(), o, q); err == nil || !strings.Contains(err.Error(), "hyp: anchors 7: the model has 2 a level") {
		t.Errorf("error %v", err)
	}
}

// TestAutoAnchorOfNewHead: a head that convert made anew gets anchors for the data, as train's own
// does, from artifacts folders and exports alike; weights that were trained lose the mark.
func TestAutoAnchorOfNewHead(t *testing.T) {
	o := smallRun(t)
	m, err := model.Load(o.Weights)
	if err != nil {
		t.Fatal(err)
	}
	m, fresh, err := m.ForClasses([]string{"circle", "square", "triangle"}, 0)
	if err != nil || len(fresh) == 0 {
		t.Fatal(fresh, err)
	}
	o.Epochs, o.Hyp.AnchorT, o.Freeze = 1, 1.3, nil
	o.Weights = writeArtifacts(t, m, []string{"1"}, nil)
	q := &quiet{t: t}
	report := mustRun(t, o, q)
	if !q.heard("new anchors [") || q.heard("reinitialised") {
		t.Errorf("lines %q", q.lines)
	}
	if m, err = model.Load(report.Best); err != nil || m.FreshHead() {
		t.Errorf("a trained head counts as new: %v, %v", m.Metadata, err)
	}
}

// writeArtifacts writes an artifacts folder of the model.
func writeArtifacts(t *testing.T, m *model.Model, selectors, policies []string) string {
	t.Helper()
	plan, err := m.Plan(selectors, policies)
	if err != nil {
		t.Fatal(err)
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	b, err := export.NewBundle(m, plan, artifact.Source{File: "small.pt", SHA256: "0123"}, export.BundleOptions{Version: "test", Batch: 4, ImageSize: 64, Hyp: hyp, Optimizer: "SGD"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "art")
	if err := artifact.Write(dir, b, false); err != nil {
		t.Fatal(err)
	}
	return dir
}
