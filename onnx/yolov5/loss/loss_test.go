package loss_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// plain are YOLOv5's usual gains.
var plain = loss.Options{Box: 0.05, Obj: 1, Cls: 0.5, ObjPW: 1, ClsPW: 1, AnchorT: 4}

// twoLevels is a network of two levels without layers, one anchor on the first.
func twoLevels(nc int) *yolov5.Network {
	return &yolov5.Network{
		Layers: []yolov5.Layer{{Kind: "Detect"}}, NC: nc,
		Anchors: [][][2]float64{{{10, 13}}, {{30, 61}, {62, 45}}}, Strides: []int64{8, 16},
	}
}

// rawOutputs draws what Forward would return for n pictures.
func rawOutputs(random *rand.Rand, net *yolov5.Network, n, height, width int64) []*onnx.Tensor {
	heads := make([]*onnx.Tensor, len(net.Anchors))
	for i, anchors := range net.Anchors {
		heads[i] = testkit.Random(random, n, int64(len(anchors))*net.Outputs(), height/net.Strides[i], width/net.Strides[i])
	}
	return heads
}

// lossCase is a batch whose loss is computed by the graph and by Sum.
type lossCase struct {
	name    string
	nc      int
	o       loss.Options
	targets []yolov5.Target
	taught  *taught // nil: without a teacher
}

func lossCases() []lossCase {
	random := rand.New(rand.NewPCG(8, 9))
	targets := make([]yolov5.Target, 12)
	for i := range targets {
		targets[i] = yolov5.Target{Image: random.IntN(2), Class: random.IntN(3), X: random.Float64(), Y: random.Float64(), W: 0.2 + 0.8*random.Float64(), H: 0.2 + 0.8*random.Float64()}
	}
	targets = append(targets, targets[0], targets[1]) // exact duplicates
	targets[12].Class = 2
	one := slices.Clone(targets)
	for i := range one {
		one[i].Class = 0
	}
	weighted, smooth, focal, joined := plain, plain, plain, plain
	weighted.ObjPW, weighted.ClsPW = 0.7, 1.8
	smooth.LabelSmoothing = 0.1
	joined.Weight = 4
	focal.FLGamma, focal.LabelSmoothing, focal.ObjPW = 1.5, 0.05, 1.2
	few := []yolov5.Target{{X: 0.4, Y: 0.6, W: 0.2, H: 0.2}}
	return []lossCase{
		{"plain", 3, plain, targets, nil}, {"positive weights", 3, weighted, targets, nil}, {"label smoothing", 3, smooth, targets, nil},
		{"focal", 3, focal, targets, nil}, {"one class", 1, plain, one, nil}, {"one class, focal", 1, focal, one, nil}, {"weight of the whole", 3, joined, targets, nil},
		{"no targets", 3, plain, nil, nil}, {"no targets, focal", 3, focal, nil, nil}, {"one class, no targets", 1, plain, nil, nil},
		{"one level without a match", 3, plain, few, nil},
		{"teacher", 3, plain, one, &taught{columns: []int{1, 2}, weight: 1}},
		{"teacher of classes that are labelled, too", 3, joined, targets, &taught{columns: []int{2, -1}, weight: 0.3}},
		{"teacher, focal", 3, focal, one, &taught{columns: []int{2, 1}, weight: 2}},
		{"teacher, no targets", 3, weighted, nil, &taught{columns: []int{2, 1}, weight: 1}},
		{"teacher, one level without a match", 3, weighted, few, &taught{columns: []int{1, 2}, weight: 0}},
		{"teacher that sees nothing", 3, plain, one, &taught{columns: []int{1, 2}, weight: 1, shift: -200}},
	}
}

const lossHeight, lossWidth = 32, 48

// lossOf builds the loss of raw outputs, and the feeds for it.
func lossOf(t *testing.T, net *yolov5.Network, c lossCase, heads []*onnx.Tensor) (*op.Builder, []*onnx.Value, loss.Losses, map[string]*ref.Array) {
	t.Helper()
	b, feeds := op.NewBuilder("loss"), map[string]*ref.Array{}
	x := make([]*onnx.Value, len(heads))
	for i, h := range heads {
		x[i] = b.Input(fmt.Sprintf("head%d", i), onnx.Float, onnx.Dims(h.Shape...))
		feeds[x[i].Name] = ref.FromTensor(h)
	}
	loss, err := loss.Build(b, net, x, c.o, c.taught.graph(b, feeds))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range net.Assign(c.targets, lossHeight, lossWidth, c.o.AnchorT) {
		if c.o.Capacity > 0 {
			m = m.Pad(c.o.Capacity)
		}
		for name, v := range m.Tensors(i) {
			feeds[name] = ref.FromTensor(v)
		}
	}
	return b, x, loss, feeds
}

func run(t *testing.T, b *op.Builder, feeds map[string]*ref.Array) map[string]*ref.Array {
	t.Helper()
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	if err := testkit.Sound(b.Model); err != nil {
		t.Fatal(err)
	}
	out, err := ref.Run(b.Model, feeds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLoss: the graph's parts are those of Sum, which knows no graph.
func TestLoss(t *testing.T) {
	for _, c := range lossCases() {
		t.Run(c.name, func(t *testing.T) {
			net := twoLevels(c.nc)
			heads := rawOutputs(rand.New(rand.NewPCG(1, 2)), net, 2, lossHeight, lossWidth)
			b, _, made, feeds := lossOf(t, net, c, heads)
			b.Output("total", made.Total)
			b.Output("box", made.Box)
			b.Output("obj", made.Obj)
			b.Output("cls", made.Cls)
			got := run(t, b, feeds)
			sums, err := loss.Sum(net, heads, net.Assign(c.targets, lossHeight, lossWidth, c.o.AnchorT), c.o)
			if err != nil {
				t.Fatal(err)
			}
			box, obj, cls := sums.Parts(net, c.o)
			if c.taught != nil {
				box, obj, cls = c.taught.parts(net, heads, net.Assign(c.targets, lossHeight, lossWidth, c.o.AnchorT), c.o)
			}
			for name, want := range map[string]float64{"box": box, "obj": obj, "cls": cls, "total": 2 * max(c.o.Weight, 1) * (box + obj + cls)} {
				if v := got[name].Data[0]; !(math.Abs(v-want) <= 1e-6*max(want, 1e-3)) {
					t.Errorf("%s is %v, want %v", name, v, want)
				}
			}
			if len(c.targets) == 0 && c.taught == nil && (got["box"].Data[0] != 0 || got["cls"].Data[0] != 0 || !(got["obj"].Data[0] > 0)) {
				t.Errorf("without targets: box %v, cls %v, obj %v", got["box"].Data, got["cls"].Data, got["obj"].Data)
			}
		})
	}
}

// TestLossGradients: against central differences, with what is detached held fast.
func TestLossGradients(t *testing.T) {
	for _, c := range lossCases() {
		t.Run(c.name, func(t *testing.T) {
			net := twoLevels(c.nc)
			heads := rawOutputs(rand.New(rand.NewPCG(3, 4)), net, 2, lossHeight, lossWidth)
			got := gradients(t, net, c, heads)
			differences(t, net, c, heads, got)
			for i := range heads {
				if slices.ContainsFunc(got[fmt.Sprintf("d%d", i)].Data, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
					t.Errorf("gradient %d is not finite", i)
				}
			}
		})
	}
}

// gradients computes the loss, its gradients d0, d1, … by the raw outputs, and
// what is detached, held0, held1, ….
func gradients(t *testing.T, net *yolov5.Network, c lossCase, heads []*onnx.Tensor) map[string]*ref.Array {
	t.Helper()
	b, x, made, feeds := lossOf(t, net, c, heads)
	grads, err := grad.Build(b, made.Total, x, made.Detached)
	if err != nil {
		t.Fatal(err)
	}
	b.Output("total", made.Total)
	for i, g := range grads {
		b.Output(fmt.Sprintf("d%d", i), g)
	}
	for i, v := range made.Detached {
		b.Output(fmt.Sprintf("held%d", i), v)
	}
	return run(t, b, feeds)
}

// TestPaddedLoss: with matches padded to a capacity, loss and gradients are what
// they are without, in float64 and so to the last digits.
func TestPaddedLoss(t *testing.T) {
	for _, c := range lossCases() {
		t.Run(c.name, func(t *testing.T) {
			net := twoLevels(c.nc)
			heads := rawOutputs(rand.New(rand.NewPCG(3, 4)), net, 2, lossHeight, lossWidth)
			want := gradients(t, net, c, heads)
			most := 0
			for _, m := range net.Assign(c.targets, lossHeight, lossWidth, c.o.AnchorT) {
				most = max(most, len(m.Row))
			}
			for _, capacity := range []int{most, most + 1, 3*most + 5} {
				c.o.Capacity = capacity
				got := gradients(t, net, c, heads)
				for _, name := range []string{"total", "d0", "d1"} {
					for i, w := range want[name].Data {
						if v := got[name].Data[i]; !(math.Abs(v-w) <= 1e-12*max(math.Abs(w), 1e-3)) {
							t.Fatalf("capacity %d for %d: %s is %v at %d, want %v", capacity, most, name, v, i, w)
						}
					}
				}
			}
		})
	}
}

// differences holds the gradients d0, d1, … against central differences of the
// loss in which inputs stand for what is detached: held0, held1, ….
func differences(t *testing.T, net *yolov5.Network, c lossCase, heads []*onnx.Tensor, got map[string]*ref.Array) {
	t.Helper()
	b, x, made, feeds := lossOf(t, net, c, heads)
	for i, v := range made.Detached {
		held := b.Input(fmt.Sprintf("held%d", i), v.Type.DType, v.Type.Shape)
		feeds[held.Name] = got[held.Name]
		for _, n := range b.Model.Nodes {
			for k := range n.Inputs {
				if n.Inputs[k] == v {
					n.Inputs[k] = held
				}
			}
		}
	}
	b.Output("total", made.Total)
	random := rand.New(rand.NewPCG(5, 6))
	const h = 1e-5
	for i, head := range heads {
		direction := ref.FromTensor(testkit.Random(random, head.Shape...))
		at := func(step float64) float64 {
			moved := ref.FromTensor(head)
			for k, v := range direction.Data {
				moved.Data[k] += step * v
			}
			fed := maps.Clone(feeds)
			fed[x[i].Name] = moved
			return run(t, b, fed)["total"].Data[0]
		}
		want, along, size := (at(h)-at(-h))/(2*h), 0.0, 1e-6
		for k, v := range direction.Data {
			along += v * got[fmt.Sprintf("d%d", i)].Data[k]
			size += math.Abs(v * got[fmt.Sprintf("d%d", i)].Data[k])
		}
		if !(math.Abs(along-want) <= 1e-6*size) {
			t.Errorf("level %d: gradient %.9g along a direction, by differences %.9g", i, along, want)
		}
	}
}

func TestScaled(t *testing.T) {
	got := plain.Scaled(twoLevels(20), 320)
	want := plain
	want.Box, want.Cls, want.Obj = plain.Box*1.5, plain.Cls/4*1.5, plain.Obj/4*1.5
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestLossRefuses(t *testing.T) {
	net := twoLevels(3)
	b := op.NewBuilder("loss")
	var heads []*onnx.Value
	for i, c := range []int64{8, 16} {
		heads = append(heads, b.Input(fmt.Sprintf("head%d", i), onnx.Float, []onnx.Dim{onnx.Sym("batch"), {Size: c}, {Size: 4}, {Size: 4}}))
	}
	if _, err := loss.Build(b, net, heads, plain, nil); err == nil || err.Error() != "loss/level0: the loss needs static shapes, not float32[batch 8 4 4]" {
		t.Error(err)
	}
}
