package onnx_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"testing"
)

// doors are package os's ways to open files. Package disk has them, and knows of links, pipes and
// halves; nobody else may use them, but for these.
var (
	doors = []string{"Open", "ReadFile", "Create", "OpenFile", "WriteFile", "CreateTemp", "OpenInRoot"}
	ways  = map[string][]string{
		"onnx/ort/cuda.go":                      {"ReadFile"},   // of /proc
		"freeze/finetune/tensorboard/writer.go": {"OpenFile"},   // a new file or none (O_EXCL)
		"freeze/validate/held.go":               {"CreateTemp"}, // in a folder of this user's
		"freeze/features/writer.go":             {"Create"},     // in a folder that it has just made
	}
)

// TestFilesThroughDisk: files are read and written by package disk.
func TestFilesThroughDisk(t *testing.T) {
	ownFiles(t, func(place string, text []byte) {
		if anyWithin(path.Dir(place), []string{"onnx/disk/...", "onnx/testkit/...", "freeze/fixture/...", "scripts/..."}) {
			return
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, place, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := s.X.(*ast.Ident); ok && of.Name == "os" && slices.Contains(doors, s.Sel.Name) && !slices.Contains(ways[place], s.Sel.Name) {
				t.Errorf("%s: os.%s: package disk opens, replaces and appends to files", set.Position(s.Pos()), s.Sel.Name)
			}
			return true
		})
	})
}
