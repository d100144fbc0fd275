package format

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/coco"
	"yolofreeze/dataset/createml"
	"yolofreeze/dataset/datumaro"
	"yolofreeze/dataset/labelstudio"
	"yolofreeze/dataset/supervisely"
	"yolofreeze/dataset/voc"
	"yolofreeze/dataset/yolo"
	"yolofreeze/onnx/disk"
)

// layout is a way in which a data set may lie in a folder.
type layout struct {
	format string
	has    string                                     // by what it is known, for the error where nothing is
	find   func(dir string) (why string, open opener) // no opener where the folder is none such
}

// layouts are told apart in this order: what only one of them has comes first.
var layouts = []layout{
	{"yolo", "data.yaml", func(dir string) (string, opener) {
		file := configIn(dir)
		return has(file), when(file != "", yolo.Open, file)
	}},
	{"yolo", "obj.data", func(dir string) (string, opener) {
		file := yolo.DarknetIn(dir)
		return has(file) + ", darknet's and CVAT's", when(file != "", yolo.Open, file)
	}},
	{"supervisely", "meta.json with data sets", func(dir string) (string, opener) {
		return "it has meta.json and folders ann, as Supervisely's projects", when(supervisely.Is(dir), supervisely.Open, dir)
	}},
	{"datumaro", "annotations/*.json", byFiles("datumaro", datumaro.Find)},
	{"labelstudio", "tasks of Label Studio", byFiles("labelstudio", labelstudio.Find)},
	{"createml", "JSON of Create ML", byFiles("createml", createml.Find)},
	{"coco", "JSON of COCO", byFiles("coco", coco.Find)},
	{"voc", "Annotations with JPEGImages, no XML beside pictures", func(dir string) (string, opener) {
		return "it has XML files beside pictures, or in Annotations or a folder like it", when(voc.Is(dir), voc.Open, dir)
	}},
	{"yolo", "images and no .txt files beside pictures", func(dir string) (string, opener) {
		why := yolo.IsFolder(dir)
		return why, when(why != "", yolo.OpenFolder, dir)
	}},
}

func has(file string) string { return "it has " + filepath.Base(file) }

func when(there bool, open func(path string, o dataset.ReadOptions) (*dataset.Set, error), path string) opener {
	if !there {
		return nil
	}
	return func(o dataset.ReadOptions) (*dataset.Set, error) { return open(path, o) }
}

// ofJSON are the formats that JSON files have, by split.
var ofJSON = []struct {
	format, title string
	is            func(file string) bool
	open          func(files map[string]string, o dataset.ReadOptions) (*dataset.Set, error)
}{
	{"datumaro", "Datumaro", datumaro.Is, datumaro.Open},
	{"labelstudio", "Label Studio", labelstudio.Is, labelstudio.Open},
	{"createml", "Create ML", createml.Is, createml.Open},
	{"coco", "COCO", coco.Is, coco.Open},
}

// byFiles is a layout's find for one of these formats.
func byFiles(format string, find func(dir string) map[string]string) func(dir string) (string, opener) {
	return func(dir string) (string, opener) {
		files := find(dir)
		if files == nil {
			return "", nil
		}
		f := ofFormat(format, files)
		return "it has " + f.Why, f.open
	}
}

// findJSON tells the format of files that are named, by the first; what is not known is
// COCO's, whose reader says what is wrong with it.
func findJSON(files map[string]string) (*Found, error) {
	format := "coco"
	for _, split := range dataset.SplitNames {
		if files[split] == "" {
			continue
		}
		for _, f := range ofJSON {
			if f.is(files[split]) {
				format = f.format
				break
			}
		}
		break
	}
	return ofFormat(format, files), nil
}

func ofFormat(format string, files map[string]string) *Found {
	for _, f := range ofJSON {
		if f.format != format {
			continue
		}
		var names []string
		for _, split := range dataset.SplitNames {
			if file := files[split]; file != "" {
				names = append(names, filepath.Base(file))
			}
		}
		return &Found{Format: format, Why: strings.Join(names, ", ") + " with what " + f.title + " writes",
			open: func(o dataset.ReadOptions) (*dataset.Set, error) { return f.open(files, o) }}
	}
	return nil
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
			split, file = dataset.SplitOf(part), part
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
