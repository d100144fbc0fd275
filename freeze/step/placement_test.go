package step

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

var emit = flag.String("emit", "", "folder to write the graphs of yolov5n into, for scripts/check-onnx.sh")

var usual = loss.Options{Box: 0.05, Obj: 1, Cls: 0.5, ObjPW: 1, ClsPW: 1, AnchorT: 4}

// specOf is a training step of two pictures of 64×64 under a plan.
func specOf(t *testing.T, m *model.Model, frozen, bn, algorithm string) *Spec {
	t.Helper()
	plan, err := m.Plan([]string{frozen}, []string{bn})
	if err != nil {
		t.Fatal(err)
	}
	return &Spec{Net: m.Net, State: m.State, Plan: plan, Batch: 2, Height: 64, Width: 64, Loss: usual,
		Optimizer: optim.Options{Algorithm: algorithm, WeightDecay: 0.0005, ClipNorm: ClipNorm}}
}

// TestPlacement: every node of every graph that the five models are trained
// and validated with, in float32 and with products in float16 and
// bfloat16, has a kernel on CUDA and on the CPU, needs no host in between, and
// lets its state be replaced in place.
func TestPlacement(t *testing.T) {
	table := fixture.Kernels(t)
	for variant := range testkit.Variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			check := func(name string, m *onnx.Model, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for i, line := range fixture.Misplaced(table, m) {
					if i == 5 {
						break
					}
					t.Errorf("%s: %s", name, line)
				}
				if *emit != "" && variant == "n" {
					write(t, name, m)
				}
			}
			policies := []string{"eval", "batch"}
			if variant == "n" { // the larger ones add nothing here but time
				policies = append(policies, "affine-only")
			}
			m := fixture.Blank(t, testkit.YOLOv5Table(variant, 20))
			graphs(t, m, policies, check)
		})
	}
}

// TestPlacementPadded: so it is of the graphs that are captured, which take a
// fixed number of matches; no shape in them is open.
func TestPlacementPadded(t *testing.T) {
	table, m := fixture.Kernels(t), fixture.Blank(t, testkit.YOLOv5Table("n", 20))
	for _, amp := range []onnx.DType{onnx.Undefined, onnx.Float16, onnx.BFloat16} {
		for _, frozen := range []string{"0", "10"} {
			s := specOf(t, m, frozen, "batch", "SGD")
			s.AMP, s.Loss.Capacity = amp, leastCapacity
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range fixture.Misplaced(table, g.Training) {
				t.Errorf("frozen %s, amp %v: %s", frozen, amp, line)
			}
			for _, n := range g.Training.Nodes {
				for _, out := range n.Outputs {
					if _, ok := out.Type.Static(); !ok {
						t.Errorf("frozen %s, amp %v: %s is %v", frozen, amp, out.Name, out.Type)
					}
				}
			}
		}
	}
}

// mixed are the kinds of graphs in mixed precision.
var mixed = map[string]struct {
	products onnx.DType
	target   pass.Target
}{"half": {onnx.Float16, pass.AnyProvider}, "bfloat16": {onnx.BFloat16, pass.AnyProvider}, "bfloat16-cpu": {onnx.BFloat16, pass.CPUProvider}}

// graphs builds every graph of a model.
func graphs(t *testing.T, m *model.Model, policies []string, check func(name string, m *onnx.Model, err error)) {
	t.Helper()
	for _, frozen := range []string{"0", "10", "24"} {
		for _, bn := range policies {
			s := specOf(t, m, frozen, bn, "SGD")
			g, err := Build(s)
			if err != nil {
				t.Fatalf("frozen %s, bn %s: %v", frozen, bn, err)
			}
			name := fmt.Sprintf("frozen%s-%s", frozen, bn)
			check(name+"-training", g.Training, nil)
			for kind, amp := range mixed {
				mixed := *s
				mixed.AMP, mixed.Target = amp.products, amp.target
				half, err := Build(&mixed)
				if err != nil {
					t.Fatalf("frozen %s, bn %s, %s: %v", frozen, bn, kind, err)
				}
				check(name+"-training-"+kind, half.Training, nil)
			}
			check(name+"-optimizer", g.Optimizer, nil)
			flat := layOut(pass.CUDA, g.Trainable, g.Moving, s.paced(g.Trainable))
			for _, algorithm := range Optimizers {
				for _, scaled := range []bool{false, true} {
					rule := s.Optimizer
					rule.Algorithm, rule.Scaled = algorithm, scaled
					o, err := optim.Build(flat.params, flat.averaged, rule)
					check(fmt.Sprintf("%s-%s-scaled%t", name, algorithm, scaled), o, err)
				}
			}
			norm, err := optim.BuildNorm(flat.params)
			check(name+"-norm", norm, err)
			gather, err := optim.BuildGather(whole(flat.trainable), whole(flat.moving), yolov5.Momentum)
			check(name+"-gather", gather, err)
			zeros, err := optim.BuildClear(whole(flat.trainable))
			check(name+"-clear", zeros, err)
		}
	}
	eval, err := BuildEval(m.Net, m.State)
	check("eval", eval, err)
	for kind, amp := range mixed {
		half, err := buildEvalFor(m.Net, m.State, Cut{}, amp.products, amp.target)
		check("eval-"+kind, half, err)
	}
}

func write(t *testing.T, name string, m *onnx.Model) {
	t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*emit, name+".onnx"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPlacementOfChoices: the same of what other hyperparameters, activations
// and layers add.
func TestPlacementOfChoices(t *testing.T) {
	table := fixture.Kernels(t)
	type list = []any
	replaced := func(key string, value any) map[string]any {
		all := testkit.YOLOv5Table("n", 2)
		all[key] = value
		return all
	}
	backbone := func(layers ...any) map[string]any {
		all := replaced("backbone", layers)
		all["anchors"], all["head"] = list{list{int64(10), int64(13)}}, list{list{list{int64(-1)}, int64(1), "Detect", list{"nc", "anchors"}}}
		return all
	}
	row := func(module string, args ...any) any { return list{int64(-1), int64(2), module, args} }
	for name, c := range map[string]struct {
		table map[string]any
		loss  loss.Options
	}{
		"focal, smoothed, weighted": {testkit.YOLOv5Table("n", 2), loss.Options{Box: 1, Obj: 1, Cls: 1, ObjPW: 0.7, ClsPW: 2, FLGamma: 1.5, LabelSmoothing: 0.1, AnchorT: 4}},
		"one class":                 {testkit.YOLOv5Table("n", 1), usual},
		"ReLU":                      {replaced("activation", "nn.ReLU()"), usual},
		"LeakyReLU":                 {replaced("activation", "nn.LeakyReLU(0.1)"), usual},
		"Hardswish":                 {replaced("activation", "nn.Hardswish()"), usual},
		"Focus, SPP, BottleneckCSP": {backbone(list{int64(-1), int64(1), "Focus", list{int64(16), int64(3)}}, row("BottleneckCSP", int64(16)), row("SPP", int64(16))), usual},
	} {
		t.Run(name, func(t *testing.T) {
			m := fixture.Blank(t, c.table)
			s := specOf(t, m, "0", "batch", "SGD")
			s.Loss = c.loss
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			eval, err := BuildEval(m.Net, m.State)
			if err != nil {
				t.Fatal(err)
			}
			graphs := map[string]*onnx.Model{"training": g.Training, "evaluation": eval}
			for kind, amp := range mixed {
				narrow := *s
				narrow.AMP, narrow.Target = amp.products, amp.target
				if g, err = Build(&narrow); err != nil {
					t.Fatal(err)
				}
				if eval, err = buildEvalFor(m.Net, m.State, Cut{}, amp.products, amp.target); err != nil {
					t.Fatal(err)
				}
				graphs["training, "+kind], graphs["evaluation, "+kind] = g.Training, eval
			}
			for kind, g := range graphs {
				for _, line := range fixture.Misplaced(table, g) {
					t.Errorf("%s: %s", kind, line)
				}
			}
		})
	}
}

// TestPlacementSees: a node that CUDA cannot run does not pass, nor one that runs badly there.
func TestPlacementSees(t *testing.T) {
	table := fixture.Kernels(t)
	m := fixture.Blank(t, testkit.YOLOv5Table("n", 2))
	built := func(amp onnx.DType) (*Graphs, error) {
		s := specOf(t, m, "10", "eval", "SGD")
		s.AMP = amp
		return Build(s)
	}
	kinds := map[string]func() (*onnx.Model, error){
		"training":             func() (*onnx.Model, error) { g, err := built(0); return g.Training, err },
		"training in float16":  func() (*onnx.Model, error) { g, err := built(onnx.Float16); return g.Training, err },
		"training in bfloat16": func() (*onnx.Model, error) { g, err := built(onnx.BFloat16); return g.Training, err },
		"optimizer":            func() (*onnx.Model, error) { g, err := built(0); return g.Optimizer, err },
		"evaluation":           func() (*onnx.Model, error) { return BuildEval(m.Net, m.State) },
		"export":               func() (*onnx.Model, error) { return BuildExport(m.Net, m.State, 1, 64, 64) },
	}
	for want, plant := range map[string]func(b *op.Builder, x *onnx.Value) *onnx.Value{
		`Atan "Atan": CUDA has no kernel`: func(b *op.Builder, x *onnx.Value) *onnx.Value { return b.Op("Atan", nil, x) },
		"is read on the host and is not a constant": func(b *op.Builder, x *onnx.Value) *onnx.Value {
			return b.Op("CumSum", nil, x, b.Input("axis", onnx.Int64, onnx.Dims()))
		},
		"may read it after": func(b *op.Builder, x *onnx.Value) *onnx.Value {
			state := b.Input("state", onnx.Float, onnx.Dims(1))
			b.Output("state.out", b.Neg(state))
			return b.Add(x, state)
		},
	} {
		for kind, build := range kinds {
			graph, err := build()
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if lines := fixture.Misplaced(table, graph); len(lines) > 0 {
				t.Fatalf("%s, before: %q", kind, lines)
			}
			b := op.Extend(graph)
			b.Output("planted", plant(b, graph.Outputs[0]))
			if lines := strings.Join(fixture.Misplaced(table, graph), "\n"); b.Err() != nil || !strings.Contains(lines, want) {
				t.Errorf("%s: %q not in %q (%v)", kind, want, lines, b.Err())
			}
		}
	}
}

// TestPlacementOfGenerations: graphs of networks with convolutions in groups
// have a kernel for every node, too.
func TestPlacementOfGenerations(t *testing.T) {
	table := fixture.Kernels(t)
	type list = []any
	one := int64(1)
	m := fixture.Blank(t, map[string]any{
		"nc": int64(2), "anchors": list{list{int64(10), int64(13), int64(16), int64(30)}},
		"backbone": list{
			list{-one, one, "Conv", list{int64(8), int64(6), int64(2), int64(2)}}, list{-one, one, "GhostConv", list{int64(16), int64(3), int64(2)}},
			list{-one, int64(2), "C3Ghost", list{int64(16)}}, list{-one, one, "GhostBottleneck", list{int64(16), int64(3), int64(2)}},
			list{-one, one, "DWConv", list{int64(32), int64(3), int64(2)}}, list{-one, one, "C3SPP", list{int64(32), list{int64(3), int64(5)}}}},
		"head": list{list{list{-one}, one, "Detect", list{"nc", "anchors"}}},
	})
	for _, bn := range []string{"eval", "batch"} {
		g, err := Build(specOf(t, m, "0", bn, "SGD"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range fixture.Misplaced(table, g.Training) {
			t.Errorf("bn %s: %s", bn, line)
		}
	}
}
