package voc

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/onnx/disk"
)

// Classes are the 20 classes of PASCAL VOC in their usual order.
var Classes = []string{
	"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
}

// classNames decides on the class list: the one asked for, a classes.txt or
// labels.txt in the data set, the 20 classes of VOC where they cover all names,
// or else the names found, sorted.
func classNames(asked []string, dirs []string, notes []*annotation) ([]string, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	for _, dir := range dirs {
		for _, base := range []string{"classes.txt", "labels.txt"} {
			names, err := readNames(filepath.Join(dir, base))
			if err != nil || names != nil {
				return names, err
			}
		}
	}
	found := map[string]bool{}
	for _, a := range notes {
		if a == nil {
			continue
		}
		for _, o := range a.Objects {
			found[o.Name] = true
		}
	}
	delete(found, "")
	known := 0
	for _, name := range Classes {
		if found[name] {
			known++
		}
	}
	if known == len(found) {
		return Classes, nil
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// readNames reads one name a line; nil where there is no such file.
func readNames(file string) ([]string, error) {
	data, err := disk.Read(file, 4<<20)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	for n, line := range strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		name := strings.TrimSpace(line)
		if name == "" {
			continue
		}
		if seen[name] {
			return nil, fmt.Errorf("%s:%d: class %q is there twice", file, n+1, name)
		}
		seen[name] = true
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: names no class", file)
	}
	return names, nil
}
