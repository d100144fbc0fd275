package yolo

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Write writes a set as a data.yaml with images and labels per split, such that
// Open returns the same boxes to the last bit. dir must not exist or be empty.
func Write(dir string, set *dataset.Set, o dataset.WriteOptions) error {
	return dataset.WriteFolder(dir, func(tmp string) error {
		var splits []string
		for _, split := range dataset.SplitNames {
			if _, ok := set.Splits[split]; ok {
				splits = append(splits, split)
				if err := dataset.MakeFolders(tmp, "images/"+split, "labels/"+split); err != nil {
					return err
				}
			}
		}
		for _, p := range set.Place() {
			if err := o.PutPicture(p.Path, filepath.Join(tmp, "images", p.Split, p.Name)); err != nil {
				return err
			}
			if len(p.Labels) == 0 {
				continue
			}
			file := filepath.Join(tmp, "labels", p.Split, p.Stem()+".txt")
			if err := disk.Put(file, disk.Bytes(FormatLabels(p.Labels, o))); err != nil {
				return err
			}
		}
		return WriteConfig(tmp, dir, set.Names, splits)
	})
}

// FormatLabels returns the text of a label file: boxes, or outlines where they
// are wanted and there, and confidences where those are.
func FormatLabels(labels []dataset.Label, o dataset.WriteOptions) []byte {
	var s strings.Builder
	for _, l := range labels {
		s.WriteString(strconv.Itoa(l.Class))
		if o.Outlines && len(l.Polygon) >= 3 {
			for _, p := range l.Polygon {
				s.WriteString(" " + strconv.FormatFloat(p.X, 'f', -1, 64) + " " + strconv.FormatFloat(p.Y, 'f', -1, 64))
			}
		} else {
			v := dataset.FormatBox(l, [4]float64{l.X, l.Y, l.W, l.H}, func(v [4]float64) dataset.Label {
				return dataset.Label{Class: l.Class, X: v[0], Y: v[1], W: v[2], H: v[3]}
			})
			s.WriteString(" " + strings.Join(v[:], " "))
		}
		if o.Conf && l.Conf > 0 {
			s.WriteString(" " + strconv.FormatFloat(l.Conf, 'g', -1, 64))
		}
		s.WriteByte('\n')
	}
	return []byte(s.String())
}

// WriteConfig writes to folder tmp, which will be dir, the data.yaml that lies beside the
// folders images and labels. YOLOv5 looks for a relative path in its own folder, so it is whole.
func WriteConfig(tmp, dir string, names, splits []string) error {
	root, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, "data.yaml"), err)
	}
	var s strings.Builder
	fmt.Fprintf(&s, "path: %s # yolofreeze looks beside this file where that is not there\n", quoteYAML(root))
	for _, split := range splits {
		fmt.Fprintf(&s, "%s: images/%s\n", split, split)
	}
	s.WriteString("\nnames:\n")
	for i, name := range names {
		fmt.Fprintf(&s, "  %d: %s\n", i, quoteYAML(name))
	}
	return disk.Put(filepath.Join(tmp, "data.yaml"), disk.Bytes([]byte(s.String())))
}

// quoteYAML leaves plain words as they are and quotes the rest; a quoted Go
// string of printable characters is a double-quoted YAML string.
func quoteYAML(s string) string {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || i == len(s)-1 || r != ' ' && r != '-' && r != '_' && (r < '0' || r > '9')) {
			return strconv.Quote(s)
		}
	}
	switch strings.ToLower(s) {
	case "", "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strconv.Quote(s)
	}
	return s
}
