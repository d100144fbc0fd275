package yolo

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// Config is what a data.yaml says.
type Config struct {
	File   string              // the data.yaml
	Root   string              // its path key, resolved; else its folder
	Path   string              // its path key as written
	Splits map[string][]string // "train", "val", "test": folders and lists as written
	Names  []string

	Keypoints int // columns of keypoints behind each box; 0: there are none
}

// ReadConfig reads a data.yaml. Errors name the file and, where there is one,
// the line and the key.
func ReadConfig(file string) (*Config, error) {
	root, err := yaml.Read(file)
	if err != nil {
		return nil, err
	}
	return newConfig(file, root)
}

func newConfig(file string, root *yaml.Node) (*Config, error) {
	switch root.Kind {
	case yaml.Null:
		return nil, fmt.Errorf("%s: the file is empty", file)
	case yaml.Map:
	default:
		return nil, fmt.Errorf("%s: holds %v, not keys and values", file, root.Kind)
	}
	c := &Config{File: file, Root: filepath.Dir(file), Splits: map[string][]string{}}
	for _, pair := range root.Pairs {
		if err := c.set(pair); err != nil {
			return nil, fmt.Errorf("%s:%d: key %q: %w", file, pair.Line, pair.Key, err)
		}
	}
	if len(c.Names) == 0 {
		return nil, fmt.Errorf("%s: key %q is missing", file, "names")
	}
	if v := root.Get("nc"); v != nil {
		if nc, err := strconv.Atoi(strings.TrimSpace(v.Text)); err != nil || nc != len(c.Names) {
			return nil, fmt.Errorf("%s:%d: key %q: %s, but names lists %d classes", file, v.Line, "nc", cmp.Or(v.Text, v.Kind.String()), len(c.Names))
		}
	}
	if len(c.Splits) == 0 {
		c.findSplits() // package supervision writes a data.yaml of names alone
	}
	if len(c.Splits) == 0 {
		return nil, fmt.Errorf("%s: none of the keys train, val and test is there", file)
	}
	return c, nil
}

// set takes over one key of the file.
func (c *Config) set(pair yaml.Pair) (err error) {
	switch pair.Key {
	case "path":
		if c.Path, err = scalar(pair.Value); err == nil && c.Path != "" {
			c.Root = find(c.Root, c.Path)
		}
	case "train", "val", "test":
		var paths []string
		if paths, err = scalars(pair.Value); err == nil && len(paths) > 0 {
			c.Splits[pair.Key] = paths
		}
	case "kpt_shape":
		c.Keypoints, err = keypointColumns(pair.Value)
	case "names":
		c.Names, err = parseNames(pair.Value)
	}
	return err
}

// parseNames reads a list of names or a map from 0, 1, 2, … to names.
func parseNames(v *yaml.Node) ([]string, error) {
	switch v.Kind {
	case yaml.List:
		return scalars(v)
	case yaml.Map:
	default:
		return nil, fmt.Errorf("must be a list of names or a map of numbers to names, not %v", v.Kind)
	}
	names, set := make([]string, len(v.Pairs)), make([]bool, len(v.Pairs))
	for _, p := range v.Pairs {
		i, err := strconv.Atoi(p.Key)
		switch {
		case err != nil || i < 0:
			return nil, fmt.Errorf("line %d: %q: must be a whole number from 0", p.Line, p.Key)
		case i >= len(names):
			return nil, fmt.Errorf("line %d: number %d leaves a gap: %d names must be numbered 0 to %d", p.Line, i, len(names), len(names)-1)
		case set[i]:
			return nil, fmt.Errorf("line %d: number %d is there twice", p.Line, i)
		}
		if names[i], err = scalar(p.Value); err != nil {
			return nil, fmt.Errorf("line %d: name of class %d: %w", p.Line, i, err)
		}
		set[i] = true
	}
	return names, nil
}

// keypointColumns reads how many points an object has, and numbers a point.
func keypointColumns(v *yaml.Node) (int, error) {
	if v.Kind == yaml.Null {
		return 0, nil
	}
	shape, err := scalars(v)
	if err != nil {
		return 0, err
	}
	if len(shape) == 2 {
		points, err1 := strconv.Atoi(shape[0])
		numbers, err2 := strconv.Atoi(shape[1])
		if err1 == nil && err2 == nil && points > 0 && points < 10000 && (numbers == 2 || numbers == 3) {
			return points * numbers, nil
		}
	}
	return 0, fmt.Errorf("%q: must be the number of points and 2 or 3 numbers for each, such as [17, 3]", shape)
}

// scalars reads a string or a list of strings; null gives none.
func scalars(v *yaml.Node) ([]string, error) {
	if v.Kind != yaml.List {
		s, err := scalar(v)
		if err != nil || s == "" {
			return nil, err
		}
		return []string{s}, nil
	}
	out := make([]string, len(v.Items))
	for i, e := range v.Items {
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
func scalar(v *yaml.Node) (string, error) {
	switch v.Kind {
	case yaml.Null:
		return "", nil
	case yaml.Scalar:
		return strings.TrimRight(v.Text, "\n"), nil
	}
	return "", fmt.Errorf("must be text, not %v", v.Kind)
}

// find is resolve against the base, or else against the working folder, as YOLOv5
// does it, whose files say ../datasets/coco128 and mean beside the program.
func find(base, p string) string {
	path := resolve(base, p)
	if here := resolve(".", p); !disk.Exists(path) && disk.Exists(here) {
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
