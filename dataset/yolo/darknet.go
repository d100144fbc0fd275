package yolo

import (
	"fmt"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// ReadDarknet reads darknet's obj.data, which CVAT writes too: lines of key = value, of which
// train, valid and names say where the lists of pictures and the class names are.
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
		switch strings.TrimSpace(key) {
		case "train":
			c.Splits["train"] = []string{value}
		case "valid":
			c.Splits["val"] = []string{value}
		case "names":
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
		return nil, fmt.Errorf("%s: none of the keys train and valid is there", file)
	}
	return c, nil
}
