package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yaml"
)

// TestFiniteWeights: NaN and infinity are refused whatever the format, by every way in.
func TestFiniteWeights(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		m := fixture.SmallModel(t)
		table, err := yaml.Encode(m.Net.Table)
		if err == nil {
			err = os.WriteFile(in("m.yaml"), table, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		art := writeBundle(t, fixture.SmallModel(t), nil, nil)
		for _, name := range []string{"model.0.conv.weight", "model.0.bn.running_var"} {
			spoiled := onnx.Data[float32](m.State[name])
			was := spoiled[len(spoiled)-1]
			spoiled[len(spoiled)-1] = bad
			f, err := m.File()
			if err != nil {
				t.Fatal(err)
			}
			graph, err := ONNX(m, artifact.Source{}, Options{Batch: 1, Height: 64, Width: 64, Opset: 17})
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{safetensors.Write(in("m.safetensors"), f),
				WriteTorch(in("m.pt"), m, false, StateFile), wire.Write(in("m.onnx"), graph), safetensors.Write(filepath.Join(art, artifact.CheckpointFile), f)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			fixSum(t, art)
			refused := func(what string, err error) {
				if err == nil || !strings.Contains(err.Error(), "NaN or infinity in ") {
					t.Errorf("%s with %v in %s: error %v", what, bad, name, err)
				}
			}
			for _, file := range []string{in("m.safetensors"), in("m.onnx"), art} {
				_, err := model.Load(file)
				refused(file, err)
				_, err = model.LoadForVal(file)
				refused("for val, "+file, err)
			}
			for _, file := range []string{in("m.pt")} {
				_, err := model.LoadAs(file, in("m.yaml"))
				refused(file, err)
			}
			_, _, err = model.OpenArtifacts(art)
			refused("OpenArtifacts", err)
			_, err = Open(in("m.onnx"), ort.Options{})
			refused("OpenExported", err)
			spoiled[len(spoiled)-1] = was
		}
	}
}

// fixSum writes the manifest anew for a checkpoint that was changed.
func fixSum(t *testing.T, dir string) {
	t.Helper()
	var manifest map[string]any
	path := filepath.Join(dir, artifact.ManifestFile)
	if err := json.Unmarshal(fixture.MustRead(t, path), &manifest); err != nil {
		t.Fatal(err)
	}
	data := fixture.MustRead(t, filepath.Join(dir, artifact.CheckpointFile))
	sum := sha256.Sum256(data)
	entry := manifest["files"].(map[string]any)[artifact.CheckpointFile].(map[string]any)
	entry["size"], entry["sha256"] = len(data), hex.EncodeToString(sum[:])
	text, err := json.Marshal(manifest)
	if err == nil {
		err = os.WriteFile(path, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesSteerNothing: names with control characters are refused as a model is read.
func TestNamesSteerNothing(t *testing.T) {
	m := fixture.SmallModel(t)
	m.Names = []string{"cup", "\x1b[2J\nok"}
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := model.Save(path, m); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Load(path); err == nil || !strings.Contains(err.Error(), `class 1: "\x1b[2J\nok" is not a name`) {
		t.Errorf("error %v", err)
	}
}

// TestExportedBounds: pictures that no memory holds are refused before anything runs.
func TestExportedBounds(t *testing.T) {
	m := fixture.SmallModel(t)
	for _, shape := range [][]int64{{1, 3, 1 << 31, 64}, {1, 3, 64, 1 << 40}, {1 << 40, 3, 64, 64}, {1 << 20, 3, 640, 640}} {
		graph, err := ONNX(m, artifact.Source{}, Options{Batch: 1, Height: 64, Width: 64, Opset: 17})
		if err != nil {
			t.Fatal(err)
		}
		graph.Inputs[0].Type.Shape = onnx.Dims(shape...)
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := wire.Write(path, graph); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, ort.Options{}); err == nil || !strings.Contains(err.Error(), "pixels a side or ") {
			t.Errorf("%v: error %v", shape, err)
		}
	}
}

// TestFindSpoiled: what panics in a goroutine of its own comes out where it is waited for.
func TestFindSpoiled(t *testing.T) {
	rows := onnx.NewTensor(onnx.Float, 1, 2, 6)
	rows.Shape[1] = 4 // more than there is
	if err := workers.Try(func() { (&Detector{}).find(rows, 1, metric.NMSOptions{}) }); err == nil {
		t.Error("rows that are not there are found")
	}
}
