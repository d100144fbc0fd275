package export

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/wire"
)

// damage spoils a good file. Each must be an error.
type damage struct {
	ext, name string
	spoil     func(good []byte) []byte
}

// TestMalformedFiles: files of each kind that a model is read from, spoilt in
// many ways, are errors of one line that names the file, soon and in little
// memory. What the readers say of each is tested beside them.
func TestMalformedFiles(t *testing.T) {
	good := goodFiles(t)
	kinds := concat(anyDamages(), torchDamages(t), safetensorsDamages(), onnxDamages(t))
	if len(kinds) < 40 {
		t.Errorf("only %d kinds of damage", len(kinds))
	}
	t.Logf("%d kinds of damage", len(kinds))
	for _, d := range kinds {
		t.Run(d.ext+"/"+d.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad."+d.ext)
			if err := os.WriteFile(path, d.spoil(bytes.Clone(good[d.ext])), 0o644); err != nil {
				t.Fatal(err)
			}
			refused(t, path)
		})
	}
}

// refused reads a file that is to be an error.
func refused(t *testing.T, path string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	_, err := model.LoadForVal(path)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	switch {
	case err == nil:
		t.Fatal("was read")
	case !strings.Contains(err.Error(), filepath.Base(path)) || strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 1000:
		t.Errorf("not a line that names the file: %q", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 200e6 { // more than what was in use at once
		t.Errorf("%d MB were allocated", used/1e6)
	}
	if took > 5*time.Second { // one second, but on a machine that does nothing else
		t.Errorf("took %v", took)
	}
}

// goodFiles are a model in each format.
func goodFiles(t *testing.T) map[string][]byte {
	t.Helper()
	m, dir := fixture.SmallModel(t), t.TempDir()
	n := fixture.Blank(t, testkit.YOLOv5Table("n", 2)) // a state dict is known by its layout, which is not the small one's
	if err := WriteTorch(filepath.Join(dir, "good.pt"), n, false, StateFile); err != nil {
		t.Fatal(err)
	}
	if err := model.Save(filepath.Join(dir, "good.safetensors"), m); err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(filepath.Join(dir, "good.onnx"), exported(t, m, Options{Batch: 1, Height: 64, Width: 64})); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, ext := range []string{"pt", "safetensors", "onnx"} {
		data, err := os.ReadFile(filepath.Join(dir, "good."+ext))
		if err != nil {
			t.Fatal(err)
		}
		files[ext] = data
		if _, err := model.Load(filepath.Join(dir, "good."+ext)); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// anyDamages are those of files of any format.
func anyDamages() (list []damage) {
	for _, ext := range []string{"pt", "safetensors", "onnx"} {
		fixed := func(name, text string) {
			list = append(list, damage{ext, name, func([]byte) []byte { return []byte(text) }})
		}
		fixed("empty", "")
		fixed("a web page", "<!DOCTYPE html><html><body>404</body></html>")
		fixed("a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7921434\n")
		fixed("prose", "chapter one")
		fixed("zeros", strings.Repeat("\x00", 1000))
		fixed("ones", strings.Repeat("\xff", 1000))
		list = append(list,
			damage{ext, "cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
			damage{ext, "cut by a byte", func(b []byte) []byte { return b[:len(b)-1] }},
			damage{ext, "its beginning lost", func(b []byte) []byte { return b[100:] }},
			damage{ext, "line ends converted", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) }})
		if ext == "pt" {
			continue // a zip archive is found behind and before other bytes, and has checksums
		}
		list = append(list,
			damage{ext, "twice", func(b []byte) []byte { return append(b, b...) }},
			damage{ext, "something appended", func(b []byte) []byte { return append(b, "hello"...) }})
	}
	return list
}

// rezip packs an archive anew, with its records changed; nil leaves one out.
func rezip(t *testing.T, good []byte, method uint16, change func(name string, data []byte) []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range r.File {
		record, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(record)
		if err != nil {
			t.Fatal(err)
		}
		if data = change(f.Name, data); data == nil {
			continue
		}
		to, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		to.Write(data)
	}
	w.Close()
	return out.Bytes()
}

func torchDamages(t *testing.T) (list []damage) {
	add := func(name string, spoil func(good []byte) []byte) {
		list = append(list, damage{"pt", name, spoil})
	}
	records := func(name string, method uint16, change func(name string, data []byte) []byte) {
		add(name, func(good []byte) []byte { return rezip(t, good, method, change) })
	}
	pickle := func(name string, change func(p []byte) []byte) {
		records(name, zip.Store, func(record string, data []byte) []byte {
			if strings.HasSuffix(record, "data.pkl") {
				return change(data)
			}
			return data
		})
	}
	first := func(name string, change func(data []byte) []byte) {
		records(name, zip.Store, func(record string, data []byte) []byte {
			if strings.HasSuffix(record, "data/0") {
				return change(data)
			}
			return data
		})
	}
	for i := range 4 { // a flipped bit anywhere is found by a checksum or the directory
		add(fmt.Sprintf("a bit flipped in part %d", i), func(b []byte) []byte { b[len(b)*(2*i+1)/8] ^= 4; return b })
	}
	first("a tensor too short", func(b []byte) []byte { return b[4:] })
	first("a tensor too long", func(b []byte) []byte { return append(b, 0, 0, 0, 0) })
	first("a tensor missing", func([]byte) []byte { return nil })
	first("not numbers", func(b []byte) []byte { return bytes.Repeat([]byte{0, 0, 0xc0, 0x7f}, len(b)/4) })
	records("a record that unpacks to 1 GB", zip.Deflate, func(name string, data []byte) []byte {
		if strings.HasSuffix(name, "data/0") {
			return make([]byte, 1<<30)
		}
		return data
	})
	pickle("no pickle", func([]byte) []byte { return nil })
	pickle("the pickle cut", func(p []byte) []byte { return p[:len(p)/2] })
	for _, hostile := range []string{"os\nsystem", "builtins\neval", "subprocess\nPopen", "torch\nload", "numpy.testing._private.utils\nrunstring"} {
		pickle("calls "+strings.ReplaceAll(hostile, "\n", "."), func([]byte) []byte {
			return []byte("\x80\x02c" + hostile + "\nX\x02\x00\x00\x00id\x85R.")
		})
	}
	pickle("lists in lists", func([]byte) []byte {
		return []byte("\x80\x02" + strings.Repeat("]", 1<<20) + strings.Repeat("a", 1<<20-1) + ".")
	})
	pickle("a list of itself", func([]byte) []byte { return []byte("\x80\x02]q\x00h\x00a.") })
	pickle("laughs by the billion", func([]byte) []byte {
		return []byte("\x80\x02]q\x00" + strings.Repeat("2\x86", 64) + ".")
	})
	pickle("a text of 2⁶² bytes", func([]byte) []byte { return []byte("\x80\x04\x8d\x00\x00\x00\x00\x00\x00\x00\x40x.") })
	pickle("an unknown opcode", func([]byte) []byte { return []byte("\x80\x02\xfe.") })
	pickle("a stack that is empty", func([]byte) []byte { return []byte("\x80\x02a.") })
	pickle("another protocol", func(p []byte) []byte { p[1] = 99; return p })
	records("TorchScript", zip.Store, func(name string, data []byte) []byte {
		if strings.HasSuffix(name, "data.pkl") {
			return []byte("\x80\x02c__torch__.models.yolo\nModel\n)\x81.")
		}
		return data
	})
	return list
}

func concat(lists ...[]damage) (all []damage) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func safetensorsDamages() (list []damage) {
	add := func(name string, spoil func(header string, data []byte) []byte) {
		list = append(list, damage{"safetensors", name, func(good []byte) []byte {
			n := binary.LittleEndian.Uint64(good)
			return spoil(string(good[8:8+n]), good[8+n:])
		}})
	}
	header := func(name string, change func(header string) string) {
		add(name, func(h string, data []byte) []byte {
			h = change(h)
			return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...), data...)
		})
	}
	length := func(name string, n uint64) {
		add(name, func(h string, data []byte) []byte {
			return append(append(binary.LittleEndian.AppendUint64(nil, n), h...), data...)
		})
	}
	replace := func(name, from, to string) {
		header(name, func(h string) string { return strings.Replace(h, from, to, 1) })
	}
	length("a header beyond the file", 1<<30)
	length("a header of 2⁶³ bytes", 1<<63)
	length("a header of no bytes", 0)
	header("no JSON", func(h string) string { return h[:len(h)/2] })
	header("a list", func(string) string { return "[]" })
	header("lists in lists", func(string) string { return strings.Repeat("[", 1<<20) })
	replace("an unknown type", `"F32"`, `"F33"`)
	replace("another type", `"F32"`, `"F64"`)
	replace("a negative size", `"shape":[`, `"shape":[-1,`)
	replace("a size of 2⁶²", `"shape":[`, `"shape":[4611686018427387904,`)
	replace("a gap", `"data_offsets":[0,`, `"data_offsets":[4,`)
	replace("a negative offset", `"data_offsets":[0,`, `"data_offsets":[-4,`)
	replace("a tensor missing", `"model.0.conv.weight"`, `"model.0.conv.waste"`)
	replace("metadata that is no JSON", `\"table\"`, `\"table`)
	replace("a table of other layers", `SPPF`, `CPPF`)
	add("data lost", func(h string, _ []byte) []byte {
		return append(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h...)
	})
	return list
}

func onnxDamages(t *testing.T) (list []damage) {
	graph := func(name string, change func(m *onnx.Model)) {
		list = append(list, damage{"onnx", name, func(good []byte) []byte {
			m, err := wire.Decode(good)
			if err != nil {
				t.Fatal(err)
			}
			change(m)
			data, err := wire.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}})
	}
	replace := func(name, from, to string, times int) { // texts of one length
		list = append(list, damage{"onnx", name, func(good []byte) []byte {
			if len(from) != len(to) || !bytes.Contains(good, []byte(from)) {
				t.Fatalf("%q for %q", to, from)
			}
			return bytes.Replace(good, []byte(from), []byte(to), times)
		}})
	}
	firstConv := func(m *onnx.Model) *onnx.Node {
		for _, n := range m.Nodes {
			if n.Op == "Conv" {
				return n
			}
		}
		t.Fatal("no Conv")
		return nil
	}
	kernel := func(name string, shape ...int64) {
		graph(name, func(m *onnx.Model) {
			w := firstConv(m).Inputs[1]
			w.Const = onnx.NewTensor(onnx.Float, shape...)
			w.Type = onnx.TypeOf(w.Const)
		})
	}
	replace("an operator of no one", "Sigmoid", "Sigmold", -1)
	replace("a name that is nowhere", "model.0.conv.weight", "model.0.conv.waste!", 1)
	graph("operators of another domain", func(m *onnx.Model) {
		m.Domains = map[string]int64{"com.microsoft": 1}
		firstConv(m).Domain = "com.microsoft"
	})
	graph("no outputs", func(m *onnx.Model) { m.Outputs = nil })
	graph("an output of the backbone", func(m *onnx.Model) {
		m.Outputs = []*onnx.Value{firstConv(m).Outputs[0]}
		m.Outputs[0].Type = onnx.Type{DType: onnx.Float, Shape: onnx.Dims(1, 8, 32, 32)}
	})
	graph("names that are none", func(m *onnx.Model) { delete(m.Metadata, model.ModelKey); m.Metadata["names"] = "{0: 'cup'" })
	graph("too few names", func(m *onnx.Model) { delete(m.Metadata, model.ModelKey); m.Metadata["names"] = "{0: 'cup'}" })
	graph("a table that is no JSON", func(m *onnx.Model) { m.Metadata[model.ModelKey] = "{" })
	graph("a table of another model", func(m *onnx.Model) {
		m.Metadata[model.ModelKey] = strings.Replace(m.Metadata[model.ModelKey], "SPPF", "Conv", 1)
	})
	graph("pictures of no size", func(m *onnx.Model) { m.Inputs[0].Type.Shape = onnx.Dims(1, 3, 0, 0) })
	graph("pictures without end", func(m *onnx.Model) { m.Inputs[0].Type.Shape = onnx.Dims(1, 3, 1<<40, 1<<40) })
	graph("a batch without end", func(m *onnx.Model) { m.Inputs[0].Type.Shape = onnx.Dims(1<<40, 3, 64, 64) })
	kernel("a kernel of two dimensions", 8, 108)
	kernel("a kernel of other channels", 8, 5, 6, 6)
	kernel("a kernel of no channels", 0, 3, 6, 6)
	graph("sums that double a thousand times", func(m *onnx.Model) {
		conv := firstConv(m)
		x := conv.Outputs[0]
		x.Type = onnx.Type{DType: onnx.Float, Shape: onnx.Dims(1, 8, 32, 32)}
		for i := range 1000 {
			y := &onnx.Value{Name: fmt.Sprint("sum", i), Type: x.Type}
			y.Node = &onnx.Node{Name: y.Name, Op: "Add", Inputs: []*onnx.Value{x, x}, Outputs: []*onnx.Value{y}}
			m.Nodes, x = append(m.Nodes, y.Node), y
		}
		m.Outputs = []*onnx.Value{x}
	})
	graph("a scale of two dimensions", func(m *onnx.Model) {
		w := firstConv(m).Inputs
		scale := &onnx.Value{Name: "scale", Const: onnx.NewTensor(onnx.Float, 2, 2)}
		integers := &onnx.Value{Name: "integers", Const: onnx.NewTensor(onnx.Int8, w[1].Const.Shape...)}
		scale.Type, integers.Type = onnx.TypeOf(scale.Const), onnx.TypeOf(integers.Const)
		m.Initializers = append(m.Initializers, scale, integers)
		out := &onnx.Value{Name: "dequantised", Type: w[1].Type}
		out.Node = &onnx.Node{Name: "dq", Op: "DequantizeLinear", Inputs: []*onnx.Value{integers, scale}, Outputs: []*onnx.Value{out}}
		m.Nodes = append([]*onnx.Node{out.Node}, m.Nodes...)
		w[1] = out
	})
	return list
}
