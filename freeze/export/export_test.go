package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

var smallSource = artifact.Source{File: "small.pt", SHA256: "0123"}

func exported(t *testing.T, m *model.Model, o Options) *onnx.Model {
	t.Helper()
	g, err := ONNX(m, smallSource, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// decoded runs an export on noise of the given size.
func decoded(t *testing.T, g *onnx.Model, n, height, width int64) *onnx.Tensor {
	t.Helper()
	b, err := step.Open(g, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return runNoise(t, b, g.Inputs[0].Type.DType, n, height, width)
}

func runNoise(t *testing.T, b interface {
	Run(map[string]*onnx.Tensor) (map[string]*onnx.Tensor, error)
}, dtype onnx.DType, n, height, width int64) *onnx.Tensor {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	images := onnx.NewTensor(onnx.Float, n, 3, height, width)
	for i := range onnx.Data[float32](images) {
		onnx.Data[float32](images)[i] = random.Float32()
	}
	if dtype == onnx.Float16 {
		images = images.ToFloat16()
	}
	out, err := b.Run(map[string]*onnx.Tensor{"images": images})
	if err != nil {
		t.Fatal(err)
	}
	return out["output0"]
}

// farthest is the largest difference of two tensors of one shape.
func farthest(t *testing.T, got, want *onnx.Tensor) float64 {
	t.Helper()
	if !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
	}
	worst := 0.0
	w := want.Float64s()
	for i, g := range got.Float64s() {
		if d := math.Abs(g - w[i]); d > worst || math.IsNaN(d) {
			worst = d
		}
	}
	return worst
}

// TestExportForms: every form of an export answers as the plain one does.
func TestExportForms(t *testing.T) {
	fixture.NeedORT(t)
	m := fixture.SmallModel(t)
	fixed := func(n, h, w int64) *onnx.Tensor {
		return decoded(t, exported(t, m, Options{Batch: int(n), Height: int(h), Width: int(w)}), n, h, w)
	}
	for _, size := range [][3]int64{{1, 64, 64}, {3, 32, 96}, {2, 128, 64}} {
		want := fixed(size[0], size[1], size[2])
		if rows := 2 * size[1] / 4 * size[2] / 4; want.Shape[1] != rows {
			t.Fatalf("%v: %v, want %d rows", size, want.Shape, rows)
		}
		dynamic := exported(t, m, Options{Dynamic: true})
		if d := farthest(t, decoded(t, dynamic, size[0], size[1], size[2]), want); d > 1e-4 {
			t.Errorf("%v: the dynamic form is off by %g", size, d)
		}
	}
	want := fixed(1, 64, 64)
	for opset := int64(OldestOpset); opset <= NewestOpset; opset++ {
		for _, dynamic := range []bool{false, true} {
			g := exported(t, m, Options{Batch: 1, Height: 64, Width: 64, Dynamic: dynamic, Opset: opset})
			if d := farthest(t, decoded(t, g, 1, 64, 64), want); g.Opset != opset || d > 1e-4 {
				t.Errorf("opset %d, dynamic %t: off by %g", g.Opset, dynamic, d)
			}
		}
	}
	for _, dynamic := range []bool{false, true} {
		g := exported(t, m, Options{Batch: 1, Height: 64, Width: 64, Dynamic: dynamic, Half: true})
		for _, v := range slices.Concat(g.Inputs, g.Outputs) {
			if v.Type.DType != onnx.Float16 {
				t.Errorf("half: %v", v)
			}
		}
		if d := farthest(t, decoded(t, g, 1, 64, 64), want); d > 0.1 { // 64 has steps of 1/16 in float16
			t.Errorf("half, dynamic %t: off by %g", dynamic, d)
		}
	}
}

func TestExportDescribesItself(t *testing.T) {
	dir := writeBundle(t, fixture.SmallModel(t), []string{"2"}, nil)
	m, err := model.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	g, err := ONNX(m, smallSource, Options{Version: "v1", Batch: 1, Height: 64, Width: 64})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"stride": "32", "names": `{0: 'cup', 1: "it's"}`, model.FrozenKey: "model.0,model.1", model.BNKey: "eval",
		model.SourceFileKey: "small.pt", model.SourceHashKey: "0123", model.VersionKey: "v1"}
	for key, value := range want {
		if g.Metadata[key] != value {
			t.Errorf("metadata %s is %q, want %q", key, g.Metadata[key], value)
		}
	}
	if _, ok := g.Metadata[model.ModelKey]; !ok || len(g.Metadata) != len(want)+1 {
		t.Errorf("metadata %v", g.Metadata)
	}
	for _, name := range []string{"model.0.conv.weight", "model.0.conv.bias", "model.1.m.0.cv2.conv.weight", "model.4.m.0.bias"} {
		if g.Initializer(name) == nil {
			t.Errorf("no initializer is called %s", name)
		}
	}
	for _, n := range g.Nodes {
		if n.Op == "BatchNormalization" || n.Domain != "" {
			t.Errorf("node %v", n)
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := wire.Write(path, g); err != nil {
		t.Fatal(err)
	}
	info, err := model.Inspect(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.NC != 2 || len(info.Layers) != 5 || info.Layers[0].Trainable || !info.Layers[3].Trainable || len(info.Anchors[0]) != 2 {
		t.Errorf("inspected: %+v", info)
	}
	// Names must survive even where two convolutions have equal biases.
	if n := len(info.Parameters); n != 2*10 {
		t.Errorf("%d parameters, want kernel and bias of 10 convolutions", n)
	}
}

func TestExportRefuses(t *testing.T) {
	m := fixture.SmallModel(t)
	if _, err := ONNX(m, smallSource, Options{Batch: 1, Height: 64, Width: 64, Opset: 10}); err == nil {
		t.Error("opset 10 was written")
	}
	m.State["model.4.m.0.bias"] = m.State["model.4.m.0.bias"].Clone()
	onnx.Data[float32](m.State["model.4.m.0.bias"])[3] = 70000
	_, err := ONNX(m, smallSource, Options{Batch: 1, Height: 64, Width: 64, Half: true})
	if err == nil || !strings.Contains(err.Error(), "model.4.m.0.bias holds 70000 at 3") {
		t.Errorf("70000 as float16: %v", err)
	}
}

// TestExportKernels: every node of every form has a CUDA kernel at its types.
func TestExportKernels(t *testing.T) {
	table, err := testkit.ReadKernels(shared.Path(t, "reference", "ort-kernels.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Dynamic: true}, {Half: true}, {Dynamic: true, Half: true}} {
		o.Batch, o.Height, o.Width = 1, 64, 64
		g := exported(t, fixture.SmallModel(t), o)
		if err := op.InferTypes(g); err != nil {
			t.Fatal(err)
		}
		if missing := table.Missing(g, "CUDA"); len(missing) > 0 {
			t.Errorf("%+v: %q", o, missing)
		}
		if hazards := testkit.CUDAHazards(g); len(hazards) > 0 {
			t.Errorf("%+v: %q", o, hazards)
		}
	}
}

// TestRecordedExport: the exports of real checkpoints give what YOLOv5's own
// exporter's files give, at sizes that both take.
func TestRecordedExport(t *testing.T) {
	models := shared.Path(t, "models")
	fixture.NeedORT(t)
	data, err := os.ReadFile(filepath.Join(models, "yolov5n-v7.0-export.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	session, err := ort.Open(data, ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	m, err := model.Load(filepath.Join(models, "yolov5n-v7.0.pt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range [][3]int64{{1, 320, 320}, {1, 640, 640}, {2, 448, 672}} {
		for _, dynamic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%dx%dx%d dynamic=%t", size[0], size[1], size[2], dynamic), func(t *testing.T) {
				g := exported(t, m, Options{Batch: int(size[0]), Height: int(size[1]), Width: int(size[2]), Dynamic: dynamic})
				got, want := decoded(t, g, size[0], size[1], size[2]), runNoise(t, session, onnx.Float, size[0], size[1], size[2])
				if d := farthest(t, got, want); d > 2e-3 { // of pixels up to 672: 3e-6
					t.Errorf("off by %g", d)
				}
			})
		}
	}
}
