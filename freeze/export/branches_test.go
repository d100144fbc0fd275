package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/yolo"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// withBranches appends branches with fresh heads behind so many layers of a model each.
func withBranches(t *testing.T, m *model.Model, cuts ...int) *model.Model {
	t.Helper()
	for i, first := range cuts {
		own, _, err := m.NewBranch([]string{fmt.Sprintf("new%d", i), fmt.Sprintf("other%d", i), fmt.Sprintf("third%d", i)}, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		if m, err = m.Join(own, first); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// rowsOf runs an export on noise: its rows, and how many values each has.
func rowsOf(t *testing.T, g *onnx.Model, size [3]int64) (rows []float32, width int) {
	t.Helper()
	data, err := wire.Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	session, err := ort.Open(data, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out := runNoise(t, session, g.Inputs[0].Type.DType, size[0], size[1], size[2])
	return onnx.Data[float32](out.AsFloat()), int(g.Outputs[0].Type.Shape[2].Size)
}

// TestBranchesKeepOldRows: the rows of a merged model's oldest branch are those of the model
// that it was made from, to the bit, and each branch has its classes to itself.
func TestBranchesKeepOldRows(t *testing.T) {
	fixture.NeedORT(t)
	old := fixture.SmallModel(t)
	joined := withBranches(t, old, 3, 4, 1) // a branch of its own for each cut
	branches, err := joined.Branches()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Dynamic: true}, {Half: true}, {Opset: 11}} {
		o.Batch, o.Height, o.Width = 1, 64, 96
		size := [3]int64{1, 64, 96}
		rows, width := rowsOf(t, exported(t, joined, o), size)
		if width != 5+2+3*3 {
			t.Fatalf("%+v: rows of %d values, want 5 and 11 classes", o, width)
		}
		before := 0
		for i, b := range branches {
			own, ownWidth := rowsOf(t, exported(t, b, o), size)
			for ; len(own) > 0; own, rows = own[ownWidth:], rows[width:] {
				classes := rows[5:width]
				if !slices.Equal(rows[:5], own[:5]) || !slices.Equal(classes[before:before+ownWidth-5], own[5:ownWidth]) {
					t.Fatalf("%+v, branch %d: row %v, alone it has %v", o, i, rows[:width], own[:ownWidth])
				}
				for c, p := range classes {
					if p != 0 && (c < before || c >= before+ownWidth-5) {
						t.Fatalf("%+v, branch %d: class %d, which it does not know, has %v", o, i, c, p)
					}
				}
			}
			before += ownWidth - 5
		}
		if len(rows) != 0 {
			t.Errorf("%+v: %d values left over", o, len(rows))
		}
	}
}

// TestBranchesThroughFiles: a merged model comes back from every kind of file, and each of
// its branches with it.
func TestBranchesThroughFiles(t *testing.T) {
	joined := withBranches(t, fixture.SmallModel(t), 3, 4)
	dir := t.TempDir()
	plain := filepath.Join(dir, "m.safetensors")
	if err := model.Save(plain, joined); err != nil {
		t.Fatal(err)
	}
	folder := writeBundle(t, joined, nil, nil)
	graph := filepath.Join(dir, "m.onnx")
	if err := wire.Write(graph, exported(t, joined, Options{Batch: 1, Height: 64, Width: 64})); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again.onnx")
	for _, path := range []string{plain, folder, graph, again} {
		m, err := model.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Names, joined.Names) || len(m.Net.Branches) != 3 || m.Net.Branches[1].Shared != 3 || m.Net.Branches[2].Shared != 4 {
			t.Errorf("%s: classes %q, %d branches", path, m.Names, len(m.Net.Branches))
		}
		for name, want := range joined.State {
			if got := m.State[name]; path == plain && (got == nil || !slices.Equal(got.Raw, want.Raw)) {
				t.Errorf("%s: tensor %s is %v", path, name, got)
			}
		}
		if path == graph { // folded weights once more
			if err := wire.Write(again, exported(t, m, Options{Batch: 1, Height: 64, Width: 64})); err != nil {
				t.Fatal(err)
			}
		}
		info, err := model.Inspect(path)
		if err != nil || len(info.Branches) != 3 || info.Branches[2] != (model.BranchInfo{Classes: [2]int{5, 7}, Layers: [2]int{7, 7}, Shared: 4}) {
			t.Errorf("%s: inspected as %+v, %v", path, info, err)
		}
	}
}

// TestBranchesInEveryForm: suppression inside finds what suppression outside finds, and an
// export on integers has the raw outputs of every branch to validate by.
func TestBranchesInEveryForm(t *testing.T) {
	fixture.NeedORT(t)
	joined := withBranches(t, fixture.SmallModel(t), 3)
	o := Options{Batch: 1, Height: 64, Width: 64}
	images := make([]uint8, 3*64*64)
	random := rand.New(rand.NewPCG(3, 3))
	for i := range images {
		images[i] = uint8(random.Uint32())
	}
	dir := t.TempDir()
	found := map[string][]metric.Detection{}
	keep := metric.NMSOptions{Conf: 1e-5, IoU: .45, MaxDet: 1000}
	for form, change := range map[string]func(o *Options){
		"rows": func(*Options) {}, "bytes": func(o *Options) { o.Uint8 = true },
		"nms": func(o *Options) { o.NMS = &NMS{Conf: keep.Conf, IoU: keep.IoU, MaxDet: keep.MaxDet} },
	} {
		with, path := o, filepath.Join(dir, form+".onnx")
		change(&with)
		if err := wire.Write(path, exported(t, joined, with)); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		list, err := d.Detect(images, 1, 64, 64, keep)
		d.Close()
		if err != nil || len(d.Names) != 5 {
			t.Fatalf("%s: classes %q, %v", form, d.Names, err)
		}
		found[form] = list[0]
	}
	if classes := found["rows"]; !slices.ContainsFunc(classes, func(d metric.Detection) bool { return d.Class < 2 }) ||
		!slices.ContainsFunc(classes, func(d metric.Detection) bool { return d.Class >= 2 }) {
		t.Fatalf("not both branches find something: %v", classes)
	}
	for _, form := range []string{"nms", "bytes"} {
		if len(found[form]) != len(found["rows"]) {
			t.Errorf("%s: %d detections, want %d", form, len(found[form]), len(found["rows"]))
			continue
		}
		for i, want := range found["rows"] {
			if got := found[form][i]; got.Class != want.Class || math.Abs(float64(got.Conf-want.Conf)) > 1e-6 {
				t.Errorf("%s: detection %d is %+v, want %+v", form, i, got, want)
			}
		}
	}

	g, names, err := calibrationGraph(joined, dataset.SizeOf(64, 0))
	if err != nil || len(g.Outputs) != 1 {
		t.Fatal(err)
	}
	o.Int8 = Ranges{}
	for _, name := range names {
		o.Int8[name] = Range{Low: -4, High: 4}
	}
	path := filepath.Join(dir, "int8.onnx")
	if err := wire.Write(path, exported(t, joined, o)); err != nil {
		t.Fatal(err)
	}
	m, err := model.LoadForVal(path)
	if err != nil || !m.Quantised() || len(m.QDQ.Outputs) != 2 || len(m.Names) != 5 {
		t.Fatalf("%+v, %v", m, err)
	}
}

// TestRealBranchesKeepOldRows: yolov5n with three branches gives on all 128 photographs, to the
// bit, the rows that it gives without them.
func TestRealBranchesKeepOldRows(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 128 photographs")
	}
	data := shared.Path(t, "data", "coco256")
	fixture.NeedORT(t)
	old := fixture.LoadShared(t, "yolov5n-v7.0.pt")
	const side = 96
	var sessions []*ort.Session
	for _, m := range []*model.Model{old, withBranches(t, old, 24, 10)} {
		text, err := wire.Encode(exported(t, m, Options{Batch: 1, Height: side, Width: side}))
		if err != nil {
			t.Fatal(err)
		}
		s, err := ort.Open(text, ort.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sessions = append(sessions, s)
	}
	set, err := yolo.Open(filepath.Join(data, "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := loader.New(loader.Options{Samples: set.Splits["val"], BatchSize: 1, ImageSize: side, Stride: 32})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for b, err := range pictures.Epoch(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]*onnx.Tensor{"images": scaled(b.Images, 1, side, side)}
		var rows [2][]float32
		for i, s := range sessions {
			out, err := s.Run(in)
			if err != nil {
				t.Fatal(err)
			}
			rows[i] = onnx.Data[float32](out["output0"])
		}
		for ; len(rows[0]) > 0; rows[0], rows[1] = rows[0][85:], rows[1][91:] {
			if !slices.Equal(rows[0][:85], rows[1][:85]) {
				t.Fatalf("picture %d: row %v, want %v", seen, rows[1][:85], rows[0][:85])
			}
		}
		seen++
		pictures.Recycle(b)
	}
	if seen != 128 {
		t.Errorf("%d pictures, want 128", seen)
	}
}
