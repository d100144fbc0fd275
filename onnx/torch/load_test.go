package torch

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/testkit/shared"
)

// What each shared checkpoint is known to hold; tensors counts PyTorch's state_dict.
func TestRecordedCheckpoints(t *testing.T) {
	cases := []struct {
		file, class, third string
		tensors, nc        int
		name               string
		best               float64
		opt                bool
	}{
		{"yolov5n-v7.0.pt", "models.yolo.Model", "models.common.C3", 349, 80, "person", 0, false},
		{"yolov5n-v6.0.pt", "models.yolo.Model", "models.common.C3", 350, 80, "person", 0.29209399836305827, false},
		{"yolov5s-v6.0.pt", "models.yolo.Model", "models.common.C3", 350, 80, "person", 0.38119651815217215, false},
		{"focus-spp-v5style-H2B-2class.pt", "models.yolo.Model", "models.common.C3", 362, 2, "Apoptosis", 0.9218803048562604, false},
		{"custom-2class-waste-v7-optgit.pt", "models.yolo.DetectionModel", "models.common.C3", 349, 2, "Biodegradable", 0, true},
		{"coco-variant-c3x-crossconv.pt", "models.yolo.Model", "models.common.C3x", 353, 80, "person", 0, false},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			got, err := Load(shared.Path(t, "models", c.file))
			if err != nil {
				t.Fatal(err)
			}
			if got.Source != "model" || got.Model.Class() != c.class || len(got.State) != c.tensors || got.NC != c.nc ||
				len(got.Names) != c.nc || got.Names[0] != c.name || got.BestFitness != c.best || got.Epoch != -1 {
				t.Errorf("got %s %v, %d tensors, %d classes %.3q, fitness %v, epoch %d",
					got.Source, got.Model, len(got.State), got.NC, got.Names, got.BestFitness, got.Epoch)
			}
			if (got.Opt != nil) != c.opt || (got.Git != nil) != c.opt {
				t.Errorf("opt %v, git %v", got.Opt, got.Git)
			}
			if len(got.Layers) != 25 || got.Layers[2].Class != c.third || !slices.Equal(got.Layers[24].From, []int{17, 20, 23}) {
				t.Errorf("%d layers, the third %v, the last from %v", len(got.Layers), got.Layers[2].Class, got.Layers[24].From)
			}
			if !slices.Equal(got.Strides, []float64{8, 16, 32}) || !slices.Equal(got.Anchors.Shape, []int64{3, 3, 2}) {
				t.Errorf("strides %v, anchors %v", got.Strides, got.Anchors.Shape)
			}
			if a := got.Anchors.Float64s(); got.NC == 80 && (a[0] != 1.25 || a[1] != 1.625) { // 10, 13 pixels at stride 8
				t.Errorf("first anchor %v, %v", a[0], a[1])
			}
			if b, _ := got.YAML["backbone"].([]any); len(b) != 10 || got.YAML["nc"] != any(int64(c.nc)) {
				t.Errorf("layer table %v", got.YAML)
			}
			checkAttributes(t, got)
		})
	}
}

// checkAttributes looks at the first convolution the way a builder of graphs does.
func checkAttributes(t *testing.T, c *Checkpoint) {
	first := c.Layers[0].Object
	if c.Layers[0].Class == "models.common.Focus" {
		first = first.Child("conv")
	}
	conv, bn := first.Child("conv"), first.Child("bn")
	kernel, _ := conv.Ints("kernel_size")
	groups, _ := conv.Int("groups")
	eps, _ := bn.Float("eps")
	momentum, _ := bn.Float("momentum")
	if len(kernel) != 2 || groups != 1 || eps != 0.001 || momentum != 0.03 || first.Child("act").Class() != "torch.nn.modules.activation.SiLU" {
		t.Errorf("kernel %v, groups %d, eps %v, momentum %v, activation %v", kernel, groups, eps, momentum, first.Child("act"))
	}
	w := conv.Tensor("weight")
	if w == nil || w.DType != onnx.Float16 || w.Shape[2] != kernel[0] || !c.State[0].Parameter ||
		!strings.HasSuffix(c.State[0].Name, "conv.weight") || c.State[0].Tensor != w {
		t.Errorf("first tensor %s is not the convolution's weight", c.State[0].Name)
	}
}

func TestRecordedBadFiles(t *testing.T) {
	for file, want := range map[string]string{
		"git-lfs-pointer.pt":           "a Git LFS pointer; real file is 14808437 bytes, run git lfs pull",
		"git-lfs-pointer.onnx":         "a Git LFS pointer; real file is 7921434 bytes, run git lfs pull",
		"html-404-saved-as.pt":         "not a checkpoint: looks like an HTML page",
		"truncated-download-915353.pt": "no zip end record, 915353 bytes: the download is incomplete",
	} {
		t.Run(file, func(t *testing.T) {
			path := shared.Path(t, "bad", file)
			_, err := Load(path)
			var bad *FormatError
			if !errors.As(err, &bad) || bad.Reason != want || bad.Path != path || !bad.BadInput() {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLoadSystemErrors(t *testing.T) {
	var bad *FormatError
	if _, err := Load(filepath.Join(t.TempDir(), "none.pt")); !errors.Is(err, os.ErrNotExist) || errors.As(err, &bad) {
		t.Errorf("missing file: %v", err)
	}
	var refused *disk.Error
	if _, err := Load(t.TempDir()); !errors.As(err, &refused) || refused.Reason != "not a regular file but a folder" {
		t.Errorf("folder: %v", err)
	}
}

func TestModel(t *testing.T) {
	c, err := decode(zipped(t, smallModelRecords()...))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range c.State {
		names = append(names, n.Name)
		if n.Parameter != (n.Name == "model.0.conv.weight") {
			t.Errorf("%s: parameter is %v", n.Name, n.Parameter)
		}
	}
	if want := []string{"model.0.conv.weight", "model.0.bn.running_mean", "model.1.anchors"}; !slices.Equal(names, want) {
		t.Errorf("state %q, want %q", names, want)
	}
	w := c.State[0].Tensor
	if !slices.Equal(w.Float64s(), []float64{1, 3, 2, 4}) || w.DType != onnx.Float16 { // transposed in its storage
		t.Errorf("weight %v of %v", w.Float64s(), w.DType)
	}
	if v := c.State[1].Tensor.Float64s(); v[0] != 9 {
		t.Errorf("running_mean %v", v)
	}
	if c.Source != "ema" || c.Epoch != 12 || c.BestFitness != 1 || c.Date != "today" || c.Git != nil ||
		!slices.Equal(c.Names, []string{"cat", "dog"}) || c.NC != 2 || !slices.Equal(c.Strides, []float64{32}) {
		t.Errorf("got %+v", c)
	}
	wantTable := map[string]any{"nc": int64(2), "backbone": []any{[]any{int64(-1), int64(1), "Conv", []any{int64(64), nil, true, 0.5}}}}
	if !reflect.DeepEqual(c.YAML, wantTable) || !reflect.DeepEqual(c.Opt, map[string]any{"epochs": int64(3)}) {
		t.Errorf("yaml %v, opt %v", c.YAML, c.Opt)
	}
	if !slices.Equal(c.Layers[1].From, []int{0, -1}) || c.Layers[1].Class != "models.yolo.Detect" {
		t.Errorf("layer 1: %+v", c.Layers[1])
	}
	conv := c.Layers[0].Object.Child("conv")
	mode, _ := conv.Text("padding_mode")
	transposed, isBool := conv.Bool("transposed")
	momentum, _ := c.Layers[0].Object.Child("bn").Float("momentum")
	if mode != "zeros" || transposed || !isBool || momentum != 1 || conv.Child("none") != nil || conv.Tensor("bias") != nil {
		t.Errorf("attributes: %q %v %v %v", mode, transposed, isBool, momentum)
	}
	if v, ok := conv.Attr("kernel_size"); !ok || !reflect.DeepEqual(v, []any{int64(2), int64(2)}) {
		t.Errorf("kernel_size %v", v)
	}
	if _, ok := conv.Attr("none"); ok {
		t.Error("an attribute that is not there")
	}
}

func TestStateDict(t *testing.T) {
	for name, records := range map[string][]record{
		"any prefix": smallRecords(),
		"no prefix":  {{"data.pkl", smallState()}, {"data/0", floats(1, 2, 3, 4, 5, 6)}, {"data/1", little(7, 8)}},
		"under a key": {{"x/data.pkl", proto(dct(str("epoch"), num(3), str("state_dict"), smallState()[2:len(smallState())-1]))},
			{"x/data/0", floats(1, 2, 3, 4, 5, 6)}, {"x/data/1", little(7, 8)}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := decode(zipped(t, records...))
			if err != nil {
				t.Fatal(err)
			}
			if c.Source != "state_dict" || c.Model != nil || c.YAML != nil || len(c.State) != 2 {
				t.Fatalf("got %+v", c)
			}
			w, n := c.State[0], c.State[1]
			if w.Name != "w" || !w.Parameter || !slices.Equal(onnx.Data[float32](w.Tensor), []float32{1, 2, 3, 4, 5, 6}) ||
				!slices.Equal(w.Tensor.Shape, []int64{2, 3}) {
				t.Errorf("w is %+v", w)
			}
			if n.Name != "n" || n.Parameter || onnx.Data[int64](n.Tensor)[0] != 7 {
				t.Errorf("n is %+v", n)
			}
		})
	}
}

func TestStateDictHead(t *testing.T) {
	pickle := proto(odict(
		str("model.24.anchors"), rebuilt(pid("FloatStorage", "0", 24), 0, nums(3, 3, 2), nums(6, 2, 1)),
		str("model.24.m.0.weight"), rebuilt(pid("FloatStorage", "0", 24), 0, nums(24, 1, 1, 1), nums(1, 1, 1, 1))))
	c, err := decode(zipped(t, record{"a/data.pkl", pickle}, record{"a/data/0", strings.Repeat(floats(1), 24)}))
	if err != nil {
		t.Fatal(err)
	}
	if c.NC != 3 || c.Anchors == nil || c.State[0].Parameter || !c.State[1].Parameter {
		t.Errorf("got %d classes, anchors %v", c.NC, c.Anchors)
	}
}

func TestNotCheckpoints(t *testing.T) {
	tar := make([]byte, 512)
	copy(tar[257:], "ustar")
	for data, want := range map[string]string{
		"":                                   "empty file",
		"P":                                  "no zip end record, 1 bytes",
		"PK\x03":                             "no zip end record, 3 bytes",
		"PK\x03\x04":                         "no zip end record, 4 bytes",
		string(tar):                          "tar archive",
		"\ufeff <!DOCTYPE HTML>":             "looks like an HTML page",
		`{"message":"Not Found"}`:            "looks like JSON",
		"<?xml version":                      "looks like XML",
		"\x1f\x8b\x08\x00":                   "gzip data",
		"\x89HDF\r\n":                        "HDF5",
		"\x02\x00\x00\x00\x00\x00\x00\x00{}": "looks like safetensors",
		"\x08\x07\x12\x07pytorch":            `begins with "\b\a\x12\apyto"`,
		lfsHead + "v1\nsize 12x\n":           "real file is of unknown size",
		"\x80\x02K\x01.":                     "a bare pickle of an int",
		"\x80\x02]q\x00h\x00a.":              "a bare pickle of a list",
	} {
		_, err := decode([]byte(data))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", data, err, want)
		}
	}
}

func TestWrongContent(t *testing.T) {
	sequential := func(children string) string {
		return str("model") + mod("torch.nn.modules.container", "Sequential", "", "", children)
	}
	leaf := mod("models.common", "Concat", "", "", "")
	root := func(children string, attrs ...string) string {
		return proto(mod("models.yolo", "Model", "", "", children, attrs...))
	}
	deep := strings.Repeat("]", 200) + strings.Repeat("a", 199)
	endless := "]q\x07h\x07a" // a list that holds itself
	loop := glob("models.common", "C3") + ")\x81q\x09" + dct(str("_modules"), odict(str("m"), "h\x09")) + "b"
	doubled := leaf // each level holds the one below twice
	for i := range 20 {
		id := string(rune(i))
		doubled = cat(doubled, "q", id, "0", mod("models.common", "C3", "", "", str("a")+"h"+id+str("b")+"h"+id))
	}
	cases := []struct{ name, pickle, want string }{
		{"a module in itself", root(sequential(str("0") + loop)), "modules nested deeper than 64"},
		{"modules without number", root(sequential(str("0") + doubled)), "more than 20000 modules"},
		{"a name of much", root(sequential(str(strings.Repeat("x", 600)) + leaf)), "a name longer than 512"},
		{"a tensor name of much", proto(mod("models.yolo", "Model", str(strings.Repeat("x", 600))+num(1), "", "")), "tensor \"xxxx"},
		{"a list of pairs", proto(dct(str("model"), lst(num(1), num(2)))), "neither a model nor a state dict"},
		{"opt holds itself", proto(dct(str("model"), mod("models.yolo", "Model", "", "", sequential(str("0")+leaf)), str("opt"), dct(str("a"), endless))), "opt: a: nested deeper"},
		{"a number", proto(num(3)), "holds an int"},
		{"empty dict", proto(dct()), "a dict of nothing"},
		{"other dict", proto(dct(str("a"), num(1), num(2), num(3))), `a dict of "a", "2"`},
		{"dict of many", proto(dct(cat(str("a"), "N", str("b"), "N", str("c"), "N", str("d"), "N", str("e"), "N", str("f"), "N"))), `"e", …`},
		{"no layers called model", root(""), "has no list of layers called model"},
		{"empty list of layers", root(sequential("")), "has no layers"},
		{"layers out of order", root(sequential(str("1") + leaf)), `layer model.1 comes after 0 layers`},
		{"child is a number", root(sequential(str("0") + num(1))), `module model.0 is an int`},
		{"parameter is a str", proto(mod("models.yolo", "Model", str("w")+str("x"), "", sequential(str("0")+leaf))), `tensor w is a str`},
		{"name for class missing", root(sequential(str("0")+leaf), str("names"), dct(num(1), str("a"))), "none for class 0"},
		{"table holds itself", root(sequential(str("0")+leaf), str("yaml"), dct(str("backbone"), endless)), `yaml: backbone: nested deeper than 64`},
		{"table too deep", root(sequential(str("0")+leaf), str("yaml"), dct(str("head"), deep)), "nested deeper than 64"},
		{"names hold themselves", root(sequential(str("0")+leaf), str("names"), endless), "names: nested deeper"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(zipped(t, record{"a/data.pkl", c.pickle}))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestClassNames: names that PyYAML took for something else are what Python prints.
func TestClassNames(t *testing.T) {
	for want, v := range map[string]any{"猫": "猫", "17": int64(17), "True": true, "False": false, "None": nil,
		"1.0": 1.0, "1.5": 1.5, "1e-07": 1e-7, `it's "so"`: `it's "so"`} {
		if got := printed(v); got != want {
			t.Errorf("%v is called %q, want %q", v, got, want)
		}
	}
}
