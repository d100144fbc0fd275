package step

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/ref"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/yolov5"
)

// taughtSpec is a step of the small model grown by a class, with the small model as its teacher.
func taughtSpec(t *testing.T, frozen string) *Spec {
	t.Helper()
	old := fixture.SmallModel(t)
	m, _, err := model.WithClasses(old, []string{"cup", "it's", "new"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	s := specOf(t, m, frozen, "eval", "SGD")
	s.Teacher = &Teacher{Net: old.Net, State: old.State, Columns: []int{0, 1}, Weight: 1}
	return s
}

// TestTeacher: a step with a teacher has in ONNX Runtime the losses and gradients that its graph
// has in float64, with layers that both share and without, as far as float32 goes (some 10⁴
// roundings of 2⁻²⁴, about at random).
func TestTeacher(t *testing.T) {
	fixture.NeedORT(t)
	for _, frozen := range []string{"0", "2", "4"} {
		s := taughtSpec(t, frozen)
		e, err := NewEngine(s, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		random := rand.New(rand.NewPCG(1, 2))
		images := make([]byte, 2*3*64*64)
		for i := range images {
			images[i] = byte(random.Uint32())
		}
		matches := s.Net.Assign([]yolov5.Target{{Class: 2, X: .4, Y: .6, W: .2, H: .3}, {Image: 1, Class: 2, X: .7, Y: .2, W: .3, H: .3}}, 64, 64, 4)
		got, err := e.Accumulate(images, matches)
		if err != nil {
			t.Fatal(err)
		}
		graphs, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		feeds := map[string]*ref.Array{}
		for _, in := range graphs.Training.Inputs {
			shape, static := in.Type.Static()
			if static {
				feeds[in.Name] = ref.FromTensor(onnx.NewTensor(in.Type.DType, shape...))
			}
			if own := s.State[in.Name]; own != nil {
				feeds[in.Name] = ref.FromTensor(own)
			}
		}
		feeds[ImagesName] = ref.FromTensor(onnx.Of(images, 2, 3, 64, 64))
		for level, m := range matches {
			for name, v := range m.Tensors(level) {
				feeds[name] = ref.FromTensor(v)
			}
		}
		out, err := ref.Run(graphs.Training, feeds)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]float64{OutTotal: got.Total, OutBox: got.Box, OutObj: got.Obj, OutCls: got.Cls} {
			if want := out[name].Data[0]; !(math.Abs(v-want) <= 1e-5*want) {
				t.Errorf("frozen %s: %s is %g, in float64 %g", frozen, name, v, want)
			}
		}
		for name, g := range e.Gradients {
			want, norm, off := out[name+".out"].Data, 0.0, 0.0
			for i, v := range onnx.Data[float32](g) {
				norm, off = norm+want[i]*want[i], off+math.Pow(float64(v)-want[i], 2)
			}
			if !(math.Sqrt(off) <= 1e-4*math.Sqrt(norm)) {
				t.Errorf("frozen %s: %s is off by %g of %g", frozen, name, math.Sqrt(off), math.Sqrt(norm))
			}
		}
	}
}

// TestTeacherShares: frozen layers of the same bytes run once, or behind a cut not at all; a layer that
// trains, has moved or is another is the teacher's own.
func TestTeacherShares(t *testing.T) {
	names := func(s *Spec) (own []string) {
		g, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Training.Initializers {
			if strings.HasPrefix(v.Name, teacherScope) {
				own = append(own, v.Name)
			}
		}
		return own
	}
	layers := func(s *Spec) string {
		seen := map[string]bool{}
		for _, name := range names(s) {
			seen[strings.Split(name, ".")[1]] = true
		}
		return fmt.Sprint(slices.Sorted(maps.Keys(seen)))
	}
	for frozen, want := range map[string]string{"0": "[0 1 2 3 4]", "2": "[2 3 4]", "4": "[4]", "1-3": "[0 1 2 3 4]"} {
		if got := layers(taughtSpec(t, frozen)); got != want {
			t.Errorf("frozen %s: the teacher runs layers %s, want %s", frozen, got, want)
		}
	}
	s := taughtSpec(t, "3")
	moved := s.State["model.1.cv1.conv.weight"].Clone()
	moved.Raw[0]++
	s.State = maps.Clone(s.State)
	s.State["model.1.cv1.conv.weight"] = moved
	if got := layers(s); got != "[1 2 3 4]" {
		t.Errorf("with another layer 1 the teacher runs layers %s", got)
	}
	s.Cut = Cut{2, onnx.Float}
	if _, err := Build(s); err == nil || err.Error() != "the teacher shares 1 first layers, and 2 are cut off" {
		t.Error(err)
	}
	s = taughtSpec(t, "3")
	s.Cut = Cut{3, onnx.Float16}
	if got := layers(s); got != "[3 4]" {
		t.Errorf("behind a cut the teacher runs layers %s", got)
	}
}

// TestTeacherPlacement: what a teacher adds has a place on CUDA and the CPU, in mixed precision, too.
func TestTeacherPlacement(t *testing.T) {
	table := fixture.Kernels(t)
	old := fixture.Blank(t, testkit.YOLOv5Table("n", 20))
	m, _, err := model.WithClasses(old, append(slices.Clone(old.Names), "new"), 0)
	if err != nil {
		t.Fatal(err)
	}
	columns := make([]int, 20)
	for i := range columns {
		columns[i] = i
	}
	for _, products := range []onnx.DType{onnx.Undefined, onnx.Float16, onnx.BFloat16} {
		s := specOf(t, m, "10", "eval", "SGD")
		s.Teacher = &Teacher{Net: old.Net, State: old.State, Columns: columns, Weight: 0.5}
		s.AMP, s.Target = products, TargetOf(ort.Device{Kind: ort.CUDA})
		g, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range fixture.Misplaced(table, g.Training) {
			t.Errorf("products in %v: %s", products, line)
		}
	}
}
