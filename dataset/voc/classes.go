package voc

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Classes are the 20 classes of PASCAL VOC in their usual order.
var Classes = []string{
	"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
}

// classNames decides on the class list: the one asked for, a classes.txt, labels.txt or
// predefined_classes.txt in the data set, or CVAT's and Datumaro's labelmap.txt, the 20 classes of VOC where the annotations say that they
// are of its database and have no other names, or else the names found, sorted.
func classNames(asked []string, dirs []string, notes []*annotation) ([]string, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	for _, dir := range dirs {
		for _, base := range []string{"classes.txt", "labels.txt", "predefined_classes.txt"} {
			names, err := dataset.ReadNames(filepath.Join(dir, base))
			if err != nil || names != nil {
				return names, err
			}
		}
		names, err := labelMap(filepath.Join(dir, "labelmap.txt"))
		if err != nil || names != nil {
			return names, err
		}
	}
	found, ofVOC := map[string]bool{}, false
	for _, a := range notes {
		if a == nil {
			continue
		}
		ofVOC = ofVOC || strings.Contains(a.Database, "VOC")
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
	if ofVOC && known == len(found) {
		return Classes, nil
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// labelMap reads lines of name:colour:parts:actions, of which background is none of the classes;
// nil where there is no such file.
func labelMap(file string) ([]string, error) {
	text, err := dataset.ReadText(file, 4<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, disk.Cause(err))
	}
	var names []string
	for _, line := range strings.Split(string(text), "\n") {
		name, _, _ := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); name != "" && name[0] != '#' && name != "background" {
			names = append(names, name)
		}
	}
	return names, nil
}
