package voc

import (
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
)

// Classes are the 20 classes of PASCAL VOC in their usual order.
var Classes = []string{
	"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
}

// classNames decides on the class list: the one asked for, a classes.txt or
// labels.txt in the data set, the 20 classes of VOC where the annotations say that they
// are of its database and have no other names, or else the names found, sorted.
func classNames(asked []string, dirs []string, notes []*annotation) ([]string, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	for _, dir := range dirs {
		for _, base := range []string{"classes.txt", "labels.txt"} {
			names, err := dataset.ReadNames(filepath.Join(dir, base))
			if err != nil || names != nil {
				return names, err
			}
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
