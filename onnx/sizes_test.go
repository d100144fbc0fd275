package onnx_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"testing"
)

// How large a room and a type may be, for someone who reads them whole.
const (
	mostFiles, mostLines    = 25, 3500
	mostFields, mostMethods = 20, 25
)

// size is what a package's own files hold.
type size struct {
	files, lines    int
	fields, methods map[string]int // by type
}

// TestSizes holds packages and types to the limits.
func TestSizes(t *testing.T) {
	for dir, s := range sizes(t) {
		if s.files > mostFiles || s.lines > mostLines {
			t.Errorf("%s has %d files and %d lines, at most %d and %d: divide it", dir, s.files, s.lines, mostFiles, mostLines)
		}
		for name := range s.methods {
			s.fields[name] += 0
		}
		for name, n := range s.fields {
			if n > mostFields || s.methods[name] > mostMethods {
				t.Errorf("%s.%s has %d fields and %d methods, at most %d and %d: divide it", dir, name, n, s.methods[name], mostFields, mostMethods)
			}
		}
	}
}

func sizes(t *testing.T) map[string]*size {
	t.Helper()
	all := map[string]*size{}
	ownFiles(t, func(place string, text []byte) {
		syntax, err := parser.ParseFile(token.NewFileSet(), place, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(place)
		if all[dir] == nil {
			all[dir] = &size{fields: map[string]int{}, methods: map[string]int{}}
		}
		all[dir].files++
		all[dir].lines += bytes.Count(text, []byte("\n"))
		all[dir].count(syntax)
	})
	return all
}

// count adds a file's types.
func (s *size) count(file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				s.methods[receiver(d.Recv.List[0].Type)]++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				named, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if fields, ok := named.Type.(*ast.StructType); ok {
					s.fields[named.Name.Name] = fields.Fields.NumFields()
				}
			}
		}
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
