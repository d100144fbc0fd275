package export

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/testkit/shared"
	"yolofreeze/onnx/wire"
)

// sumsVersion is the version in the files that testdata/sums.txt has the sums of.
const sumsVersion = "(devel)"

// TestSums: exports and artifacts of real models are, to the byte, what the
// program wrote before. testdata/sums.txt is what sha256sum says of the program's files;
// who changes them on purpose says so and makes the sums anew.
func TestSums(t *testing.T) {
	models := shared.Path(t, "models")
	if testing.Short() {
		t.Skip("writes some 70 files")
	}
	sums := readSums(t)
	found := map[string]string{}
	for name := range sums {
		if base, ok := strings.CutSuffix(name, "-fp32.onnx"); ok {
			m, source := sourced(t, filepath.Join(models, base+".pt"))
			exportAll(t, m, source, base, found)
			artifactsOf(t, m, source, base, found)
		}
		if base, ok := strings.CutSuffix(name, "-again.onnx"); ok {
			m, source := sourced(t, filepath.Join(models, base+".onnx"))
			found[name] = sumOf(t, m, source, Options{Dynamic: true})
		}
	}
	for name, want := range sums {
		if found[name] != want {
			t.Errorf("%s has the sum %q, want %s", name, found[name], want)
		}
	}
}

func sourced(t *testing.T, path string) (*model.Model, artifact.Source) {
	t.Helper()
	m, err := model.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	source, err := model.SourceOf(path)
	if err != nil {
		t.Fatal(err)
	}
	return m, source
}

func readSums(t *testing.T) map[string]string {
	f, err := os.Open(filepath.Join("testdata", "sums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sums := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("line %q", lines.Text())
		}
		sums[name] = sum
	}
	if len(sums) < 70 {
		t.Fatalf("%d sums", len(sums))
	}
	return sums
}

func sumOf(t *testing.T, m *model.Model, source artifact.Source, o Options) string {
	t.Helper()
	o.Version, o.Batch = sumsVersion, 1
	if o.Height = 320; o.Dynamic {
		o.Height = 640
	}
	o.Width = o.Height
	g, err := ONNX(m, source, o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

func exportAll(t *testing.T, m *model.Model, source artifact.Source, base string, found map[string]string) {
	t.Helper()
	for form, o := range map[string]Options{
		"fp32": {}, "dynamic": {Dynamic: true}, "half": {Half: true}, "opset12": {Opset: 12}, "uint8": {Uint8: true},
		"nms": {Dynamic: true, NMS: &NMS{Conf: 0.25, IoU: 0.45, MaxDet: 100}},
	} {
		found[base+"-"+form+".onnx"] = sumOf(t, m, source, o)
	}
	state, err := StateFile(m, false)
	if err != nil {
		t.Fatal(err)
	}
	found[base+"-state.pt"] = fmt.Sprintf("%x", sha256.Sum256(state))
	weights, err := Weights(m, source, Options{Version: sumsVersion})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	if err := model.Save(path, weights); err != nil {
		t.Fatal(err)
	}
	found[base+".safetensors"] = fileSum(t, path)
}

// artifactsOf writes the folder that convert makes, of some models with the backbone frozen afterwards.
func artifactsOf(t *testing.T, m *model.Model, source artifact.Source, base string, found map[string]string) {
	t.Helper()
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := NewBundle(m, plan, source, BundleOptions{sumsVersion, 4, 320, 0, hyp, "SGD"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "art")
	if err := artifact.Write(dir, bundle, false); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(base, "yolov5n") || strings.HasPrefix(base, "custom") {
		again, b, err := model.OpenArtifacts(dir)
		if err != nil {
			t.Fatal(err)
		}
		if plan, err = again.Plan([]string{"10"}, nil); err != nil {
			t.Fatal(err)
		}
		if err := Refreeze(dir, sumsVersion, again, b, plan); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		found[base+"-art/"+f.Name()] = fileSum(t, filepath.Join(dir, f.Name()))
	}
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}
