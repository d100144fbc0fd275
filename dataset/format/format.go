package format

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/coco"
	"yolofreeze/dataset/voc"
	"yolofreeze/dataset/yolo"
	"yolofreeze/onnx/disk"
)

// Formats are the names that Detect returns and Write takes.
var Formats = []string{"yolo", "voc", "coco"}

// Open reads the data set that data names:
//
//   - a data.yaml, or a folder that holds one, or darknet's obj.data: YOLO;
//   - a VOC development kit, or the folder of one of its years; or pictures with their
//     XML beside them, in one folder or in train, valid and test;
//   - COCO: one JSON file per split, "train.json,val.json" or
//     "train=a.json,val=b.json"; a folder with annotations/*.json; or one with
//     train/_annotations.coco.json;
//   - a folder with images, or images/train and so on, and labels, if a classes.txt in it or
//     the options list the classes.
func Open(data string, o dataset.ReadOptions) (*dataset.Set, error) {
	name, path, files, err := detect(data)
	if err != nil {
		return nil, err
	}
	switch name {
	case "coco":
		return coco.Open(files, o)
	case "voc":
		return voc.Open(path, o)
	}
	if disk.IsFolder(path) {
		return yolo.OpenFolder(path, o)
	}
	return yolo.Open(path, o)
}

// Detect names the format of a data set, one of Formats.
func Detect(data string) (string, error) {
	name, _, _, err := detect(data)
	return name, err
}

// detect returns the format, and where the data set lies: a path, or COCO's
// files by split.
func detect(data string) (name, path string, files map[string]string, err error) {
	if files, err = jsonFiles(data); files != nil || err != nil {
		return "coco", "", files, err
	}
	st, err := os.Stat(data)
	if err != nil {
		return "", "", nil, fmt.Errorf("data %q: %w", data, disk.Cause(err))
	}
	if !st.IsDir() {
		switch strings.ToLower(filepath.Ext(data)) {
		case ".yaml", ".yml", ".data":
			return "yolo", data, nil, nil
		}
		return "", "", nil, fmt.Errorf("data %q: must be a data.yaml, an obj.data, COCO's .json files or a folder", data)
	}
	if file := configIn(data); file != "" {
		return "yolo", file, nil, nil
	}
	if files := coco.Find(data); files != nil {
		return "coco", "", files, nil
	}
	if voc.Is(data) {
		return "voc", data, nil, nil
	}
	if disk.IsFolder(filepath.Join(data, "images")) {
		return "yolo", data, nil, nil
	}
	return "", "", nil, fmt.Errorf("data %q: the folder has no data.yaml, no annotations/*.json, no Annotations with JPEGImages, no XML beside pictures and no images", data)
}

// configIn finds the data.yaml of a folder, or its only .yaml file.
func configIn(dir string) string {
	var found []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".yaml", ".yml":
			if dataset.IsStray(e.Name()) {
				continue
			}
			if e.Name() == "data.yaml" {
				return filepath.Join(dir, e.Name())
			}
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}

// jsonFiles reads "a.json,b.json" or "train=a.json,val=b.json"; nil where data
// is no such list.
func jsonFiles(data string) (map[string]string, error) {
	if !strings.HasSuffix(strings.ToLower(data), ".json") {
		return nil, nil
	}
	files := map[string]string{}
	parts := strings.Split(data, ",")
	if disk.Exists(data) {
		parts = []string{data} // one file, commas and all
	}
	var unnamed []string
	for _, part := range parts {
		part = strings.TrimSpace(part)
		split, file, named := strings.Cut(part, "=")
		if !named || !slices.Contains(dataset.SplitNames, split) {
			split, file = coco.SplitOf(part), part
		}
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("data %q: %s: %w", data, file, disk.Cause(err))
		}
		switch {
		case split == "":
			unnamed = append(unnamed, file)
		case files[split] != "":
			return nil, fmt.Errorf("data %q: which split is %q? write train=…,val=…,test=…", data, part)
		default:
			files[split] = file
		}
	}
	for _, split := range dataset.SplitNames[:2] { // those whose names tell none, in their order
		if len(unnamed) > 0 && files[split] == "" {
			files[split], unnamed = unnamed[0], unnamed[1:]
		}
	}
	if len(unnamed) > 0 {
		return nil, fmt.Errorf("data %q: which split is %q? write train=…,val=…,test=…", data, unnamed[0])
	}
	return files, nil
}

// Write writes a set in the named format to a folder that must not exist or be
// empty.
func Write(name, dir string, set *dataset.Set, o dataset.WriteOptions) error {
	switch name {
	case "yolo":
		return yolo.Write(dir, set, o)
	case "voc":
		return voc.Write(dir, set, o)
	case "coco":
		return coco.Write(dir, set, o)
	}
	return fmt.Errorf("format %q: must be one of %s", name, strings.Join(Formats, ", "))
}
