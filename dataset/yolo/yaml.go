package yolo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"yolofreeze/onnx/disk"
)

// Config is what a data.yaml says.
type Config struct {
	File   string              // the data.yaml
	Root   string              // its path key, resolved; else its folder
	Path   string              // its path key as written
	Splits map[string][]string // "train", "val", "test": folders and lists as written
	Names  []string
}

const (
	maxYAML  = 4 << 20
	maxDepth = 64
)

// ReadConfig reads a data.yaml. Errors name the file and, where there is one,
// the line and the key.
func ReadConfig(file string) (*Config, error) {
	data, err := disk.Read(file, maxYAML)
	if err != nil {
		return nil, err
	}
	return parseConfig(file, data)
}

func parseConfig(file string, data []byte) (*Config, error) {
	root, err := parseMapping(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c := &Config{File: file, Root: filepath.Dir(file), Splits: map[string][]string{}}
	lines := map[string]int{}
	for _, pair := range root {
		key := keyText(pair.Key)
		if first, twice := lines[key]; twice {
			return nil, fmt.Errorf("%s:%d: key %q is also on line %d", file, lineOf(pair.Key), key, first)
		}
		lines[key] = lineOf(pair.Key)
		if err := c.set(pair); err != nil {
			return nil, fmt.Errorf("%s:%d: key %q: %w", file, lineOf(pair.Key), keyText(pair.Key), err)
		}
	}
	if len(c.Names) == 0 {
		return nil, fmt.Errorf("%s: key %q is missing", file, "names")
	}
	for _, pair := range root {
		if keyText(pair.Key) == "nc" {
			if nc, err := strconv.Atoi(strings.TrimSpace(valueText(pair.Value))); err != nil || nc != len(c.Names) {
				return nil, fmt.Errorf("%s:%d: key %q: %s, but names lists %d classes", file, lineOf(pair.Key), "nc", valueText(pair.Value), len(c.Names))
			}
		}
	}
	if len(c.Splits) == 0 {
		return nil, fmt.Errorf("%s: none of the keys train, val and test is there", file)
	}
	return c, nil
}

// set takes over one key of the file.
func (c *Config) set(pair *ast.MappingValueNode) (err error) {
	switch key := keyText(pair.Key); key {
	case "path":
		if c.Path, err = scalar(pair.Value); err == nil && c.Path != "" {
			c.Root = find(c.Root, c.Path)
		}
	case "train", "val", "test":
		var paths []string
		if paths, err = scalars(pair.Value); err == nil && len(paths) > 0 {
			c.Splits[key] = paths
		}
	case "names":
		c.Names, err = parseNames(pair.Value)
	}
	return err
}

// parseMapping returns the top-level pairs, refusing whatever could grow
// without bound: the tree is never expanded.
func parseMapping(data []byte) ([]*ast.MappingValueNode, error) {
	if err := tooDeep(data); err != nil {
		return nil, err
	}
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		text := strings.TrimSpace(yaml.FormatError(err, false, false))
		return nil, errors.New("not valid YAML: " + strings.ReplaceAll(text, "\n", " "))
	}
	if len(f.Docs) == 0 || f.Docs[0].Body == nil {
		return nil, errors.New("the file is empty")
	}
	switch n := f.Docs[0].Body.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("holds %s, not keys and values", kindOf(f.Docs[0].Body))
}

// tooDeep bounds nesting before the parser recurses into it.
func tooDeep(data []byte) error {
	depth := 0
	for n, line := range strings.Split(string(data), "\n") {
		rest := strings.TrimLeft(line, " ")
		deepest := len(line) - len(rest)
		for ; strings.HasPrefix(rest, "- ") || strings.HasPrefix(rest, "? "); deepest++ {
			rest = strings.TrimLeft(rest[2:], " ")
		}
		depth = max(0, depth+strings.Count(line, "[")+strings.Count(line, "{")-strings.Count(line, "]")-strings.Count(line, "}"))
		if depth > maxDepth || deepest > 4*maxDepth || strings.Count(line, "[")+strings.Count(line, "{") > 100*maxDepth {
			return fmt.Errorf("line %d: nested too deep", n+1)
		}
	}
	return nil
}

// parseNames reads a list of names or a map from 0, 1, 2, … to names.
func parseNames(v ast.Node) ([]string, error) {
	if seq, ok := v.(*ast.SequenceNode); ok {
		names, err := scalars(seq)
		return names, err
	}
	var pairs []*ast.MappingValueNode
	switch n := v.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, fmt.Errorf("must be a list of names or a map of numbers to names, not %s", kindOf(v))
	}
	names, set := make([]string, len(pairs)), make([]bool, len(pairs))
	for _, p := range pairs {
		i, err := strconv.Atoi(keyText(p.Key))
		switch {
		case err != nil || i < 0:
			return nil, fmt.Errorf("line %d: %q: must be a whole number from 0", lineOf(p.Key), keyText(p.Key))
		case i >= len(pairs):
			return nil, fmt.Errorf("line %d: number %d leaves a gap: %d names must be numbered 0 to %d", lineOf(p.Key), i, len(pairs), len(pairs)-1)
		case set[i]:
			return nil, fmt.Errorf("line %d: number %d is there twice", lineOf(p.Key), i)
		}
		if names[i], err = scalar(p.Value); err != nil {
			return nil, fmt.Errorf("line %d: name of class %d: %w", lineOf(p.Key), i, err)
		}
		set[i] = true
	}
	return names, nil
}

// scalars reads a string or a list of strings; null gives none.
func scalars(v ast.Node) ([]string, error) {
	seq, ok := v.(*ast.SequenceNode)
	if !ok {
		s, err := scalar(v)
		if err != nil || s == "" {
			return nil, err
		}
		return []string{s}, nil
	}
	out := make([]string, len(seq.Values))
	for i, e := range seq.Values {
		var err error
		if out[i], err = scalar(e); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		if out[i] == "" {
			return nil, fmt.Errorf("element %d is empty", i)
		}
	}
	return out, nil
}

// scalar returns a value as the file writes it, so that a class may be called
// no, 1.50 or true.
func scalar(v ast.Node) (string, error) {
	switch n := v.(type) {
	case nil, *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, nil
	}
	return "", fmt.Errorf("must be text, not %s", kindOf(v))
}

func valueText(v ast.Node) string {
	if s, err := scalar(v); err == nil {
		return s
	}
	return kindOf(v)
}

func keyText(k ast.MapKeyNode) string { return tokenText(k.GetToken()) }

func tokenText(t *token.Token) string {
	if t == nil {
		return ""
	}
	return t.Value
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func kindOf(v ast.Node) string {
	switch v.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode, *ast.AnchorNode:
		return "an anchor or alias, which data.yaml files may not use"
	case nil, *ast.NullNode:
		return "nothing"
	}
	return "a " + strings.ToLower(v.Type().String())
}

// find is resolve against the base, or else against the working folder, as YOLOv5
// does it, whose files say ../datasets/coco128 and mean beside the program.
func find(base, p string) string {
	path := resolve(base, p)
	if here := resolve(".", p); !exists(path) && exists(here) {
		return here
	}
	return path
}

// resolve makes a path of the file absolute or relative to base.
func resolve(base, p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	joined := filepath.Join(base, p)
	if _, err := os.Lstat(joined); err != nil && strings.Contains(p, `\`) {
		return filepath.Join(base, strings.ReplaceAll(p, `\`, "/"))
	}
	return joined
}
