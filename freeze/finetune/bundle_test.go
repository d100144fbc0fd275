package finetune

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// smallModel is a network of one level with fresh weights: layers 0 to 2 are its backbone.
func smallModel(t *testing.T) *Model {
	t.Helper()
	row := func(cells ...any) any { return cells }
	list := func(v ...any) []any { return v }
	table := map[string]any{
		"nc": int64(2), "depth_multiple": 1.0, "width_multiple": 1.0,
		"anchors":  list(list(int64(10), int64(13), int64(16), int64(30))),
		"backbone": list(row(int64(-1), int64(1), "Conv", list(int64(8), int64(6), int64(2), int64(2))), row(int64(-1), int64(1), "C3", list(int64(8))), row(int64(-1), int64(1), "SPPF", list(int64(16), int64(5)))),
		"head":     list(row(int64(-1), int64(1), "Conv", list(int64(8), int64(3), int64(2))), row(list(int64(-1)), int64(1), "Detect", list("nc", "anchors"))),
	}
	net, err := yolov5.ParseTable(table, 0)
	if err != nil {
		t.Fatal(err)
	}
	state, err := net.Init(1)
	if err != nil {
		t.Fatal(err)
	}
	return &Model{Path: "small", Net: net, State: state, Names: []string{"cup", "it's"}}
}

func writeBundle(t *testing.T, m *Model, selectors, policies []string) string {
	t.Helper()
	plan, err := m.Plan(selectors, policies)
	if err != nil {
		t.Fatal(err)
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBundle(m, plan, artifact.Source{File: "small.pt", SHA256: "0123"}, BundleOptions{"test", 4, 64, hyp, "SGD"})
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
	m := smallModel(t)
	dir := writeBundle(t, m, []string{"backbone"}, []string{"batch"})
	got, err := LoadModel(dir)
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
	want := map[string]string{frozenKey: "model.0,model.1,model.2", bnKey: "batch", sourceFileKey: "small.pt", sourceHashKey: "0123"}
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
	first := writeBundle(t, smallModel(t), nil, nil)
	m, b, err := OpenArtifacts(first)
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
	fresh := writeBundle(t, smallModel(t), []string{"2"}, nil)
	for _, name := range []string{artifact.TrainingFile, artifact.OptimizerFile, artifact.EvalFile, artifact.CheckpointFile, artifact.PlanFile, artifact.ManifestFile} {
		got, err1 := os.ReadFile(filepath.Join(first, name))
		want, err2 := os.ReadFile(filepath.Join(fresh, name))
		if err := errors.Join(err1, err2); err != nil || string(got) != string(want) {
			t.Errorf("%s differs from a fresh folder's (%v)", name, err)
		}
	}
	graphs, err := artifact.Read(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range graphs.Training.Nodes {
		for _, frozen := range []string{"grad/model.0", "grad/model.1"} {
			if strings.HasPrefix(n.Name, frozen+".") || strings.HasPrefix(n.Name, frozen+"/") {
				t.Errorf("node %s stands behind the freezing", n.Name)
			}
		}
	}
	needORT(t)
	for _, g := range []string{artifact.TrainingFile, artifact.OptimizerFile, artifact.EvalFile} {
		model, err := wire.Read(filepath.Join(first, g))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := open(model, ort.Options{})
		if err != nil {
			t.Errorf("%s: %v", g, err)
			continue
		}
		opened.close()
	}
}

func TestFrozenPrefixes(t *testing.T) {
	m := smallModel(t)
	for selectors, want := range map[string]string{
		"0":                      "",
		"1":                      "model.0",
		"backbone,!model.1.cv1":  "model.0,model.1.cv2,model.1.m,model.1.cv3,model.2",
		"*.bias":                 "model.0.bn.bias,model.1.cv1.bn.bias,model.1.cv2.bn.bias,model.1.m.0.cv1.bn.bias,model.1.m.0.cv2.bn.bias,model.1.cv3.bn.bias,model.2.cv1.bn.bias,model.2.cv2.bn.bias,model.3.bn.bias,model.4.m.0.bias",
		"0-3,model.4.m.0.weight": "model.0,model.1,model.2,model.3,model.4.m.0.weight",
	} {
		plan, err := m.Plan([]string{selectors}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := PlanMetadata(plan)[frozenKey]; got != want {
			t.Errorf("%s: %s, want %s", selectors, got, want)
		}
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
		m := smallModel(t)
		plan, err := m.Plan(c.freeze, c.bn)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBundle(m, plan, artifact.Source{}, BundleOptions{"test", 2, 64, hyp, c.optimizer})
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
