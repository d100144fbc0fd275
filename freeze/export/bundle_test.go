package export

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

func writeBundle(t *testing.T, m *model.Model, selectors, policies []string) string {
	t.Helper()
	plan, err := m.Plan(selectors, policies)
	if err != nil {
		t.Fatal(err)
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle(m, plan, artifact.Source{File: "small.pt", SHA256: "0123"}, BundleOptions{"test", 4, 64, 0, hyp, "SGD"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "art")
	if err := artifact.Write(dir, b, false); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBundle(t *testing.T) {
	m := fixture.SmallModel(t)
	dir := writeBundle(t, m, []string{"backbone"}, []string{"batch"})
	got, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Names, m.Names) || got.Path != dir || len(got.State) != len(m.State) {
		t.Errorf("names %q, path %s, %d tensors", got.Names, got.Path, len(got.State))
	}
	for name, want := range m.State {
		if !slices.Equal(got.State[name].Raw, want.Raw) {
			t.Errorf("tensor %s changed", name)
		}
	}
	want := map[string]string{model.FrozenKey: "model.0,model.1,model.2", model.BNKey: "batch", model.SourceFileKey: "small.pt", model.SourceHashKey: "0123"}
	if !maps.Equal(got.Metadata, want) {
		t.Errorf("metadata %v, want %v", got.Metadata, want)
	}
	plan, err := got.Plan(got.Freeze, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := artifact.Open(dir); err != nil || string(plan.YAML()) != string(first.Plan.YAML()) {
		t.Errorf("the folder's plan is not repeated: %v\n%s", err, plan.YAML())
	}
}

// TestRefreeze: another plan gives the graphs that a fresh folder has under it.
func TestRefreeze(t *testing.T) {
	first := writeBundle(t, fixture.SmallModel(t), nil, nil)
	m, b, err := model.OpenArtifacts(first)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan([]string{"2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Refreeze(first, "test", m, b, plan); err != nil {
		t.Fatal(err)
	}
	fresh := writeBundle(t, fixture.SmallModel(t), []string{"2"}, nil)
	for _, name := range []string{artifact.TrainingFile, artifact.OptimizerFile, artifact.EvalFile, artifact.CheckpointFile, artifact.PlanFile, artifact.ManifestFile} {
		got, err1 := os.ReadFile(filepath.Join(first, name))
		want, err2 := os.ReadFile(filepath.Join(fresh, name))
		if err := errors.Join(err1, err2); err != nil || string(got) != string(want) {
			t.Errorf("%s differs from a fresh folder's (%v)", name, err)
		}
	}
	training, err := wire.Read(filepath.Join(first, artifact.TrainingFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range training.Nodes {
		for _, frozen := range []string{"grad/model.0", "grad/model.1"} {
			if strings.HasPrefix(n.Name, frozen+".") || strings.HasPrefix(n.Name, frozen+"/") {
				t.Errorf("node %s stands behind the freezing", n.Name)
			}
		}
	}
	fixture.NeedORT(t)
	for _, g := range []string{artifact.TrainingFile, artifact.OptimizerFile, artifact.EvalFile} {
		model, err := wire.Read(filepath.Join(first, g))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := step.Open(model, ort.Options{})
		if err != nil {
			t.Errorf("%s: %v", g, err)
			continue
		}
		opened.Close()
	}
}

// TestGraphsFitDevices: every node of every graph has a CUDA kernel at its
// types, and no state is overwritten before its last reader.
func TestGraphsFitDevices(t *testing.T) {
	table, err := testkit.ReadKernels(shared.Path(t, "reference", "ort-kernels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		freeze, bn []string
		optimizer  string
	}{{nil, nil, "SGD"}, {[]string{"3"}, nil, "Adam"}, {[]string{"3"}, []string{"batch"}, "AdamW"}, {[]string{"4"}, []string{"affine-only"}, "SGD"}} {
		m := fixture.SmallModel(t)
		plan, err := m.Plan(c.freeze, c.bn)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBundle(m, plan, artifact.Source{}, BundleOptions{"test", 2, 64, 0, hyp, c.optimizer})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*onnx.Model{b.Training, b.Optimizer, b.Eval} {
			lines := append(table.Missing(g, "CUDA"), testkit.CUDAHazards(g)...)
			lines = append(lines, testkit.InPlaceHazards(g, optim.Out)...)
			if len(lines) > 0 {
				t.Errorf("%v %s: %d lines, the first: %q", c, g.Name, len(lines), lines[:min(3, len(lines))])
			}
		}
	}
}
