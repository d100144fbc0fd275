package onnx_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room says what a package's own files may import of this module and beyond.
// "x/..." is x and all below it. Tests may import any package,
// those of cmd only within cmd.
type room struct {
	allows   []string
	but      []string // taken from what allows says
	standard bool     // nothing beyond the standard library and this module
}

// ground are the packages that all may know.
var ground = []string{"onnx/disk", "onnx/yaml", "onnx/workers", "onnx/machine"}

// rooms is the table of onnx/DESIGN.md: which package may know which.
var rooms = map[string]room{
	"onnx/disk":                   {},
	"onnx/yaml":                   {},
	"onnx/workers":                {standard: true},
	"onnx/machine":                {},
	"onnx":                        {standard: true},
	"freeze":                      {standard: true},
	"onnx/wire":                   {allows: []string{"onnx"}},
	"onnx/op":                     {allows: []string{"onnx"}},
	"onnx/torch":                  {allows: []string{"onnx"}},
	"onnx/safetensors":            {allows: []string{"onnx"}},
	"onnx/ref":                    {allows: []string{"onnx", "onnx/op"}},
	"onnx/grad":                   {allows: []string{"onnx", "onnx/op"}},
	"onnx/optim":                  {allows: []string{"onnx", "onnx/op"}},
	"onnx/pass":                   {allows: []string{"onnx", "onnx/op", "onnx/ref"}},
	"onnx/yolov5":                 {allows: []string{"onnx", "onnx/op", "onnx/torch", "onnx/yolov5/layouts"}},
	"onnx/yolov5/module":          {allows: []string{"onnx", "onnx/op", "onnx/torch", "onnx/yolov5"}},
	"onnx/yolov5/names":           {},
	"onnx/yolov5/layouts":         {},
	"onnx/yolov5/branch":          {allows: []string{"onnx", "onnx/yolov5"}},
	"onnx/yolov5/loss":            {allows: []string{"onnx", "onnx/op", "onnx/yolov5"}},
	"onnx/artifact":               {allows: []string{"onnx", "onnx/wire", "onnx/safetensors", "freeze"}},
	"onnx/ort":                    {allows: []string{"onnx", "onnx/wire", "onnx/ort/native", "onnx/ort/packages"}},
	"onnx/ort/packages":           {standard: true},
	"onnx/fetch":                  {},
	"onnx/ort/native":             {standard: true},
	"onnx/collective":             {allows: []string{"onnx/ort/packages"}, standard: true},
	"onnx/testkit":                {allows: []string{"onnx/...", "freeze"}},
	"onnx/testkit/recorded":       {allows: []string{"onnx", "onnx/safetensors", "onnx/yolov5", "onnx/testkit/shared"}},
	"onnx/testkit/shared":         {standard: true},
	"onnx/testkit/hostile":        {standard: true},
	"onnx/testkit/standin":        {standard: true},
	"dataset/...":                 {allows: []string{"dataset/..."}},
	"freeze/runs":                 {},
	"freeze/model":                {allows: []string{"onnx/...", "freeze"}, but: []string{"onnx/grad", "onnx/ort", "onnx/testkit/..."}},
	"freeze/weights":              {allows: []string{"onnx/torch", "onnx/fetch"}},
	"freeze/step":                 {allows: []string{"onnx/...", "freeze", "dataset", "dataset/loader", "dataset/metric"}, but: []string{"onnx/torch", "onnx/safetensors", "onnx/testkit/..."}},
	"freeze/options":              {allows: []string{"freeze", "freeze/step", "dataset", "dataset/loader", "onnx", "onnx/ort", "onnx/collective"}},
	"freeze/export":               {allows: []string{"onnx/...", "freeze", "freeze/model", "freeze/step", "freeze/runs", "dataset", "dataset/loader", "dataset/metric"}, but: []string{"onnx/grad", "onnx/ref", "onnx/testkit/..."}},
	"freeze/detect":               {allows: []string{"freeze/model", "freeze/step", "freeze/export", "freeze/runs", "dataset", "dataset/picture", "dataset/loader", "dataset/metric", "onnx", "onnx/ort"}},
	"freeze/compare":              {allows: []string{"freeze", "freeze/model", "freeze/runs"}},
	"freeze/fixture":              {allows: []string{"onnx/...", "freeze", "freeze/model"}},
	"freeze/finetune":             {allows: []string{"onnx/...", "freeze/...", "dataset/..."}, but: []string{"onnx/op", "onnx/grad", "onnx/ref", "onnx/torch", "onnx/testkit/...", "freeze/compare", "freeze/detect", "freeze/fixture", "freeze/weights"}},
	"dataset/picture":             {},
	"freeze/checkpoint":           {allows: []string{"freeze/model", "freeze/options", "freeze/runs", "freeze/step", "onnx", "onnx/artifact", "onnx/optim", "onnx/safetensors"}},
	"freeze/features":             {allows: []string{"dataset", "dataset/loader", "onnx", "onnx/safetensors"}},
	"freeze/validate":             {allows: []string{"freeze/model", "freeze/step", "freeze/runs", "dataset", "dataset/loader", "dataset/metric", "onnx", "onnx/ort", "onnx/collective", "onnx/pass", "onnx/yolov5", "onnx/yolov5/loss"}},
	"freeze/finetune/plot":        {allows: []string{"dataset", "dataset/loader", "dataset/picture", "dataset/metric"}},
	"freeze/finetune/tensorboard": {},
	"freeze/finetune/mlflow":      {standard: true},
	"cmd/yolofreeze": {allows: []string{"onnx/...", "freeze/...", "dataset/...", "cmd/..."},
		but: []string{"onnx/op", "onnx/grad", "onnx/optim", "onnx/pass", "onnx/testkit/...", "freeze/fixture"}},
	"cmd/term":     {},
	"cmd/flags":    {allows: []string{"cmd/term", "dataset", "dataset/loader", "freeze/options", "freeze/step", "onnx", "onnx/ort"}},
	"cmd/setup":    {allows: []string{"onnx/fetch", "onnx/ort/packages"}},
	"cmd/datasets": {allows: []string{"cmd/term", "cmd/flags", "dataset/...", "freeze/finetune/plot"}},
	"cmd/matrix":   {allows: []string{"cmd/term", "cmd/flags", "freeze/options"}},
	"scripts/...":  {allows: []string{"onnx/...", "freeze/...", "dataset/..."}},
}

// owners are the only packages that may import what is named here.
var owners = map[string][]string{
	"github.com/yalue/onnxruntime_go": {"onnx/ort"},
	"C":                               {"onnx/ort/...", "onnx/collective"},
	"github.com/urfave/cli":           {"cmd/..."},
	"go.yaml.in/yaml":                 {"onnx/yaml"},
	"github.com/goccy/go-yaml":        {"onnx/yaml"},
	"gopkg.in/yaml.v3":                {"onnx/yaml"},
}

// module is this module's path, which scripts/rename-module.sh changes.
var module = func() string {
	text, _ := os.ReadFile("../go.mod")
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimPrefix(first, "module ")
}()

// goFiles calls visit for each Go file of the module: its place below the root, and its text.
// Runs of the program and inputs of tests are none of it.
func goFiles(t *testing.T, visit func(place string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir("..", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, place := entry.Name(), strings.TrimPrefix(filepath.ToSlash(file), "../")
		if entry.IsDir() && (name == "testdata" || place == "runs" || len(name) > 2 && name[0] == '.') {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) { // an editor's temporary file
			return nil
		}
		if err == nil {
			visit(place, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ownFiles is goFiles without tests.
func ownFiles(t *testing.T, visit func(place string, text []byte)) {
	t.Helper()
	goFiles(t, func(place string, text []byte) {
		if !strings.HasSuffix(place, "_test.go") {
			visit(place, text)
		}
	})
}

func TestLayering(t *testing.T) {
	files := 0
	goFiles(t, func(place string, text []byte) {
		syntax, err := parser.ParseFile(token.NewFileSet(), place, text, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		files++
		for _, spec := range syntax.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if why := forbidden(place, imported); why != "" {
				t.Errorf("%s imports %s: %s", place, imported, why)
			}
		}
	})
	if files < 3 {
		t.Errorf("only %d Go files found", files)
	}
}

// forbidden says why a file may not import a package, "" when it may.
func forbidden(file, imported string) string {
	dir := path.Dir(file)
	key, ok := roomOf(dir)
	if !ok {
		return "package " + dir + " is not in the table of rooms"
	}
	r := rooms[key]
	inner, internal := strings.CutPrefix(imported, module+"/")
	test := strings.HasSuffix(file, "_test.go")
	for name, list := range owners {
		if (imported == name || strings.HasPrefix(imported, name+"/")) && !anyWithin(dir, list) {
			return "only " + strings.Join(list, ", ") + " may"
		}
	}
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case internal && test:
		if within(inner, "cmd/...") && !within(dir, "cmd/...") {
			return "nothing outside may know cmd"
		}
	case internal && !slices.Contains(ground, inner) && (!anyWithin(inner, r.allows) || anyWithin(inner, r.but)):
		return dir + " may know only " + strings.Join(r.allows, ", ")
	case !internal && r.standard && !test && strings.Contains(first, "."):
		return dir + " may know only the standard library"
	}
	return ""
}

// roomOf finds a package's row of the table: its own, or the nearest "x/..." above it.
func roomOf(dir string) (string, bool) {
	if _, ok := rooms[dir]; ok {
		return dir, true
	}
	for up := dir; up != "."; up = path.Dir(up) {
		if _, ok := rooms[up+"/..."]; ok {
			return up + "/...", true
		}
	}
	return "", false
}

func within(dir, pattern string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == root || strings.HasPrefix(dir, root+"/")
	}
	return dir == pattern
}

func anyWithin(dir string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return within(dir, p) })
}

func TestForbidden(t *testing.T) {
	cases := []struct {
		file, imported string
		ok             bool
	}{
		{"onnx/model.go", "slices", true},
		{"onnx/model.go", "yolofreeze/onnx/op", false},
		{"onnx/model.go", "golang.org/x/sync/errgroup", false},
		{"freeze/plan.go", "yolofreeze/onnx", false},
		{"freeze/plan_test.go", "yolofreeze/onnx/testkit", true},
		{"freeze/finetune/run.go", "yolofreeze/dataset/metric", true},
		{"freeze/finetune/run.go", "yolofreeze/cmd/yolofreeze", false},
		{"freeze/finetune/run_test.go", "yolofreeze/cmd/term", false},
		{"cmd/yolofreeze/app_test.go", "yolofreeze/cmd/term", true},
		{"cmd/term/term.go", "yolofreeze/freeze/finetune", false},
		{"freeze/detect/run.go", "yolofreeze/freeze/finetune", false},
		{"freeze/finetune/run.go", "yolofreeze/onnx/grad", false},
		{"freeze/finetune/run_test.go", "yolofreeze/freeze/fixture", true},
		{"freeze/step/build.go", "yolofreeze/onnx/grad", true},
		{"freeze/step/build.go", "yolofreeze/freeze/model", false},
		{"freeze/weights/fetch.go", "yolofreeze/onnx/disk", true},
		{"freeze/weights/fetch.go", "yolofreeze/freeze/model", false},
		{"freeze/model/model.go", "yolofreeze/freeze/step", false},
		{"freeze/compare/read.go", "yolofreeze/freeze/finetune", false},
		{"onnx/grad/conv.go", "yolofreeze/onnx/op", true},
		{"onnx/grad/conv.go", "yolofreeze/onnx/ref", false},
		{"onnx/pass/fold.go", "yolofreeze/onnx/ref", true},
		{"onnx/ref/run.go", "yolofreeze/onnx/testkit", false},
		{"onnx/wire/decode.go", "google.golang.org/protobuf/encoding/protowire", true},
		{"onnx/ort/session.go", "github.com/yalue/onnxruntime_go", true},
		{"onnx/ort/device.go", "C", true},
		{"onnx/op/conv.go", "C", false},
		{"onnx/collective/mpi.go", "C", true},
		{"onnx/collective/mpi.go", "yolofreeze/onnx", false},
		{"onnx/ort/native/native.go", "C", true},
		{"onnx/ort/native/native.go", "yolofreeze/onnx", false},
		{"onnx/ref/run_test.go", "github.com/yalue/onnxruntime_go", false},
		{"dataset/voc/read.go", "yolofreeze/dataset", true},
		{"dataset/voc/read.go", "yolofreeze/onnx", false},
		{"dataset/voc/read.go", "yolofreeze/onnx/disk", true},
		{"onnx/disk/disk.go", "yolofreeze/onnx", false},
		{"dataset/yolo/yaml.go", "go.yaml.in/yaml/v4", false},
		{"freeze/yaml.go", "yolofreeze/onnx/yaml", true},
		{"cmd/yolofreeze/app.go", "github.com/urfave/cli/v2", true},
		{"freeze/finetune/run.go", "github.com/urfave/cli/v2", false},
		{"cmd/yolofreeze/app.go", "yolofreeze/onnx/wire", true},
		{"cmd/yolofreeze/app.go", "yolofreeze/onnx/grad", false},
		{"scripts/bench/step/main.go", "yolofreeze/freeze/finetune", true},
		{"onnx/novel/x.go", "fmt", false},
		{"util/x.go", "fmt", false},
	}
	for _, c := range cases {
		if why := forbidden(c.file, c.imported); (why == "") != c.ok {
			t.Errorf("%s imports %s: allowed %t, want %t (%s)", c.file, c.imported, why == "", c.ok, why)
		}
	}
}
