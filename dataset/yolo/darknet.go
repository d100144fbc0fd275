package yolo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// ReadDarknet reads darknet's obj.data, which CVAT and Datumaro write, too: lines of key = value, of
// which train, valid (val), test and names say where the lists of pictures and the class names are.
func ReadDarknet(file string) (*Config, error) {
	text, err := dataset.ReadText(file, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, disk.Cause(err))
	}
	c := &Config{File: file, Root: filepath.Dir(file), Splits: map[string][]string{}}
	names := ""
	for _, line := range strings.Split(string(text), "\n") {
		key, value, _ := strings.Cut(line, "=")
		if value = strings.TrimSpace(value); value == "" {
			continue
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if split := dataset.SplitOf(key); split != "" {
			c.Splits[split] = []string{value}
		} else if key == "names" {
			names = c.entryPath(value)
		}
	}
	if names == "" {
		return nil, fmt.Errorf("%s: key %q is missing", file, "names")
	}
	if c.Names, err = dataset.ReadNames(names); err != nil {
		return nil, err
	}
	if c.Names == nil {
		return nil, fmt.Errorf("%s: key %q: %s does not exist", file, "names", names)
	}
	if len(c.Splits) == 0 {
		return nil, fmt.Errorf("%s: none of the keys train, valid and test is there", file)
	}
	return c, nil
}

// DarknetIn finds darknet's .data file in a folder: obj.data, or the only one with lists and
// names; "" where there is none.
func DarknetIn(dir string) string {
	found := ""
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.EqualFold(filepath.Ext(e.Name()), ".data") || dataset.IsStray(e.Name()) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		if text, err := dataset.ReadText(file, 1<<20); err != nil || !strings.Contains(string(text), "names") {
			continue
		}
		if found != "" {
			return ""
		}
		found = file
	}
	return found
}
