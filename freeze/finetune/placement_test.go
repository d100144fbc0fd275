package finetune

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

var emit = flag.String("emit", "", "folder to write the graphs of yolov5n into, for scripts/check-onnx.sh")

// blank is a model whose tensors are zeros that share their memory.
func blank(t *testing.T, table map[string]any) *Model {
	t.Helper()
	net, err := yolov5.ParseTable(table, 0)
	if err != nil {
		t.Fatal(err)
	}
	params, err := net.Params()
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	for _, p := range params {
		largest = max(largest, onnx.NumElements(p.Shape))
	}
	zeros := make([]byte, 4*largest)
	m := &Model{Path: "blank", Net: net, State: map[string]*onnx.Tensor{}}
	for _, p := range params {
		m.State[p.Name] = &onnx.Tensor{DType: onnx.Float, Shape: p.Shape, Raw: zeros[:4*onnx.NumElements(p.Shape)]}
	}
	if err := m.checkNames(); err != nil {
		t.Fatal(err)
	}
	return m
}

var usual = yolov5.LossOptions{Box: 0.05, Obj: 1, Cls: 0.5, ObjPW: 1, ClsPW: 1, AnchorT: 4}

// specOf is a training step of two pictures of 64×64 under a plan.
func specOf(t *testing.T, m *Model, frozen, bn, algorithm string) *Spec {
	t.Helper()
	plan, err := m.Plan([]string{frozen}, []string{bn})
	if err != nil {
		t.Fatal(err)
	}
	return &Spec{Net: m.Net, State: m.State, Plan: plan, Batch: 2, Height: 64, Width: 64, Loss: usual,
		Optimizer: optim.Options{Algorithm: algorithm, WeightDecay: 0.0005, ClipNorm: clipNorm}}
}

// excused says which operators may lack a kernel of a provider, and why.
var excused = map[string]map[string]string{
	"CUDA": {},
	"CPU":  {"HardSwish": "the runtime puts its definition, HardSigmoid and Mul, in its place"},
}

// misplaced reports nodes that would not run where they should, and what else is
// wrong with an emitted graph.
func misplaced(table testkit.KernelTable, m *onnx.Model) (lines []string) {
	for provider, operators := range excused {
		if provider == "CPU" && inBFloat16(m) { // it is given another graph
			continue
		}
		for _, line := range table.Missing(m, provider) {
			if provider == "CPU" && strings.Contains(line, "takes no tensor(float16)") {
				continue // the runtime computes in float32 between casts of its own
			}
			if operator, _, _ := strings.Cut(line, " "); operators[operator] == "" {
				lines = append(lines, line)
			}
		}
	}
	lines = append(lines, testkit.CUDAHazards(m)...)
	lines = append(lines, testkit.InPlaceHazards(m, optim.Out)...)
	if err := testkit.Sound(m); err != nil {
		lines = append(lines, err.Error())
	}
	for domain := range m.Domains {
		lines = append(lines, "operators of "+domain)
	}
	return lines
}

// inBFloat16 reports whether a product of the graph is in bfloat16.
func inBFloat16(m *onnx.Model) bool {
	return slices.ContainsFunc(m.Nodes, func(n *onnx.Node) bool {
		return (n.Op == "Conv" || n.Op == "MatMul") && n.Inputs[0].Type.DType == onnx.BFloat16
	})
}

func kernels(t *testing.T) testkit.KernelTable {
	t.Helper()
	table, err := testkit.ReadKernels(shared.Path(t, "reference", "ort-kernels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestPlacement: every node of every graph that the five models are trained,
// validated and exported with, in float32 and with products in float16 and
// bfloat16, has a kernel on CUDA and on the CPU, needs no host in between, and
// lets its state be replaced in place.
func TestPlacement(t *testing.T) {
	table := kernels(t)
	for variant := range testkit.Variants {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			check := func(name string, m *onnx.Model, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for i, line := range misplaced(table, m) {
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
			exports := []ExportOptions{{Batch: 1, Height: 64, Width: 96}, {Batch: 1, Height: 64, Width: 96, Half: true}}
			if variant == "n" { // the larger ones add nothing here but time
				policies = append(policies, "affine-only")
				exports = append(exports, ExportOptions{Dynamic: true}, ExportOptions{Dynamic: true, Half: true})
			}
			m := blank(t, testkit.YOLOv5Table(variant, 20))
			if variant == "n" {
				exports = append(exports, ExportOptions{Dynamic: true, Int8: someRanges(t, m)})
			}
			graphs(t, m, policies, exports, check)
		})
	}
}

// TestPlacementPadded: so it is of the graphs that are captured, which take a
// fixed number of matches; no shape in them is open.
func TestPlacementPadded(t *testing.T) {
	table, m := kernels(t), blank(t, testkit.YOLOv5Table("n", 20))
	for _, amp := range []onnx.DType{onnx.Undefined, onnx.Float16, onnx.BFloat16} {
		for _, frozen := range []string{"0", "10"} {
			s := specOf(t, m, frozen, "batch", "SGD")
			s.AMP, s.Device, s.Loss.Capacity = amp, "cuda", leastCapacity
			g, err := Build(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range misplaced(table, g.Training) {
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
	device   string
}{"half": {onnx.Float16, ""}, "bfloat16": {onnx.BFloat16, "cuda"}, "bfloat16-cpu": {onnx.BFloat16, "cpu"}}

// graphs builds every graph of a model.
func graphs(t *testing.T, m *Model, policies []string, exports []ExportOptions, check func(name string, m *onnx.Model, err error)) {
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
				mixed.AMP, mixed.Device = amp.products, amp.device
				half, err := Build(&mixed)
				if err != nil {
					t.Fatalf("frozen %s, bn %s, %s: %v", frozen, bn, kind, err)
				}
				check(name+"-training-"+kind, half.Training, nil)
			}
			for _, algorithm := range Optimizers {
				for _, scaled := range []bool{false, true} {
					rule := s.Optimizer
					rule.Algorithm, rule.Scaled = algorithm, scaled
					o, err := optim.Build(optimParams(g.Trainable), optimParams(g.Moving), rule)
					check(fmt.Sprintf("%s-%s-scaled%t", name, algorithm, scaled), o, err)
				}
			}
			norm, err := optim.BuildNorm(optimParams(g.Trainable))
			check(name+"-norm", norm, err)
			zeros, err := optim.BuildClear(optimParams(g.Trainable))
			check(name+"-clear", zeros, err)
		}
	}
	eval, err := BuildEval(m.Net, m.State)
	check("eval", eval, err)
	for kind, amp := range mixed {
		half, err := buildEvalFor(m.Net, m.State, Cut{}, amp.products, amp.device)
		check("eval-"+kind, half, err)
	}
	for _, o := range exports {
		exported, err := Export(m, artifact.Source{File: "blank.pt"}, o)
		check(fmt.Sprintf("export-dynamic%t-half%t-int8%t", o.Dynamic, o.Half, o.Int8 != nil), exported, err)
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
	table := kernels(t)
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
		loss  yolov5.LossOptions
	}{
		"focal, smoothed, weighted": {testkit.YOLOv5Table("n", 2), yolov5.LossOptions{Box: 1, Obj: 1, Cls: 1, ObjPW: 0.7, ClsPW: 2, FLGamma: 1.5, LabelSmoothing: 0.1, AnchorT: 4}},
		"one class":                 {testkit.YOLOv5Table("n", 1), usual},
		"ReLU":                      {replaced("activation", "nn.ReLU()"), usual},
		"LeakyReLU":                 {replaced("activation", "nn.LeakyReLU(0.1)"), usual},
		"Hardswish":                 {replaced("activation", "nn.Hardswish()"), usual},
		"Focus, SPP, BottleneckCSP": {backbone(list{int64(-1), int64(1), "Focus", list{int64(16), int64(3)}}, row("BottleneckCSP", int64(16)), row("SPP", int64(16))), usual},
	} {
		t.Run(name, func(t *testing.T) {
			m := blank(t, c.table)
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
				narrow.AMP, narrow.Device = amp.products, amp.device
				if g, err = Build(&narrow); err != nil {
					t.Fatal(err)
				}
				if eval, err = buildEvalFor(m.Net, m.State, Cut{}, amp.products, amp.device); err != nil {
					t.Fatal(err)
				}
				graphs["training, "+kind], graphs["evaluation, "+kind] = g.Training, eval
			}
			for kind, g := range graphs {
				for _, line := range misplaced(table, g) {
					t.Errorf("%s: %s", kind, line)
				}
			}
		})
	}
}

// TestPlacementSees: a node that CUDA cannot run does not pass, nor one that runs badly there.
func TestPlacementSees(t *testing.T) {
	table := kernels(t)
	m := blank(t, testkit.YOLOv5Table("n", 2))
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
			if lines := misplaced(table, graph); len(lines) > 0 {
				t.Fatalf("%s, before: %q", kind, lines)
			}
			b := op.Extend(graph)
			b.Output("planted", plant(b, graph.Outputs[0]))
			if lines := strings.Join(misplaced(table, graph), "\n"); b.Err() != nil || !strings.Contains(lines, want) {
				t.Errorf("%s: %q not in %q (%v)", kind, want, lines, b.Err())
			}
		}
	}
}
