package format

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/archive"
	"yolofreeze/dataset/coco"
	"yolofreeze/dataset/labelstudio"
	"yolofreeze/dataset/voc"
	"yolofreeze/dataset/yolo"
	"yolofreeze/onnx/disk"
)

// Formats are the names that Write takes; Find returns these and others.
var Formats = []string{"yolo", "voc", "coco", "labelstudio"}

// Found is a data set whose format is known and of which nothing is read yet.
type Found struct {
	Format string // "yolo", "voc", "coco", "labelstudio", "datumaro", "supervisely" or "createml"
	Why    string // what it was told by

	open     opener
	unpacked string // where the files of a zip are; "" where data is none
	data     string
}

// opener reads a data set of one format.
type opener func(o dataset.ReadOptions) (*dataset.Set, error)

// Open reads the data set that data names: see Find.
func Open(data string, o dataset.ReadOptions) (*dataset.Set, error) {
	f, err := Find(data)
	if err != nil {
		return nil, err
	}
	return f.Open(o)
}

// Open reads the data set. Errors and problems name files in a zip by their place in it.
func (f *Found) Open(o dataset.ReadOptions) (*dataset.Set, error) {
	set, err := f.open(o)
	if f.unpacked == "" {
		return set, err
	}
	return f.zipped(set, err)
}

// Find tells what data names:
//
//   - a data.yaml or darknet's obj.data: YOLO;
//   - a .json file, or one for each split ("train.json,val.json" or "train=a.json,val=b.json"), of
//     COCO, Datumaro, Label Studio or Create ML;
//   - a folder that one of the layouts knows, or with one folder that is such a one;
//   - a .zip of such a folder, which is unpacked into the cache folder.
func Find(data string) (*Found, error) {
	if files, err := jsonFiles(data); files != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return findJSON(files)
	}
	st, err := os.Stat(data)
	if err != nil {
		return nil, fmt.Errorf("data %q: %w", data, disk.Cause(err))
	}
	switch ext := strings.ToLower(filepath.Ext(data)); {
	case st.IsDir():
		return findFolder(data, data)
	case ext == ".yaml" || ext == ".yml" || ext == ".data":
		return &Found{Format: "yolo", Why: "by its ending", open: func(o dataset.ReadOptions) (*dataset.Set, error) { return yolo.Open(data, o) }}, nil
	case archive.Is(data):
		dir, err := archive.Unpack(data)
		if err != nil {
			return nil, err
		}
		f, err := findFolder(dir, data)
		if err != nil {
			return nil, err
		}
		f.unpacked, f.data = dir, data
		f.Why += ", unpacked in " + dir
		return f, nil
	case slices.Contains([]string{".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".zst"}, ext):
		return nil, fmt.Errorf("data %q: of archives only .zip is read: unpack it", data)
	}
	return nil, fmt.Errorf("data %q: must be a data.yaml, an obj.data, .json files of a label tool, a .zip or a folder", data)
}

// findFolder looks through the layouts, in the folder and then in the only one in it. Errors
// call it data.
func findFolder(dir, data string) (*Found, error) {
	const deepest = 3
	for range deepest {
		for _, l := range layouts {
			if why, open := l.find(dir); open != nil {
				return &Found{Format: l.format, Why: why, open: open}, nil
			}
		}
		inner := onlyFolder(dir)
		if inner == "" {
			break
		}
		dir = inner
	}
	var wanted []string
	for _, l := range layouts {
		wanted = append(wanted, l.has)
	}
	return nil, fmt.Errorf("data %q: the folder has %s", data, "no "+strings.Join(wanted, ", no "))
}

// onlyFolder is the one folder in another, as archives have their content in; "" where there is not one.
func onlyFolder(dir string) string {
	found := ""
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case dataset.IsStray(e.Name()) || !disk.IsFolder(path):
		case found != "":
			return ""
		default:
			found = path
		}
	}
	return found
}

// zipped has messages name files by their place in the zip file.
func (f *Found) zipped(set *dataset.Set, err error) (*dataset.Set, error) {
	place := func(text string) string {
		return strings.ReplaceAll(text, f.unpacked+string(filepath.Separator), f.data+string(filepath.Separator))
	}
	if set != nil {
		set.Path = f.data
		for i := range set.Report.Problems {
			set.Report.Problems[i].File = place(set.Report.Problems[i].File)
		}
		for i := range set.Report.Unfit {
			set.Report.Unfit[i].Text = place(set.Report.Unfit[i].Text)
		}
	}
	var bad *dataset.BadDataError
	var unfit *dataset.UnfitError
	switch {
	case err == nil:
		return set, nil
	case errors.As(err, &bad):
		for i := range bad.Problems {
			bad.Problems[i].File = place(bad.Problems[i].File)
		}
		return set, err
	case errors.As(err, &unfit):
		unfit.Path = f.data
		for i := range unfit.Splits {
			unfit.Splits[i].Text = place(unfit.Splits[i].Text)
		}
		return set, err
	}
	return set, &zipError{err, place(strings.ReplaceAll(err.Error(), f.unpacked+":", f.data+":"))}
}

// zipError is an error whose text names a file by its place in a zip file.
type zipError struct {
	error
	text string
}

func (e *zipError) Error() string { return e.text }
func (e *zipError) Unwrap() error { return e.error }

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
	case "labelstudio":
		return labelstudio.Write(dir, set, o)
	}
	return fmt.Errorf("format %q: must be one of %s", name, strings.Join(Formats, ", "))
}

// LabelsOf finds the file with the labels of a picture, where YOLO and VOC have it: in labels beside
// images or in Annotations beside JPEGImages, or beside the picture. "" where there is none.
func LabelsOf(picture string) string {
	stem := strings.TrimSuffix(picture, filepath.Ext(picture))
	note := filepath.Join(filepath.Dir(filepath.Dir(picture)), "Annotations", filepath.Base(stem)+".xml")
	for _, file := range []string{yolo.LabelPath(picture), stem + ".txt", stem + ".xml", note} {
		if disk.IsFile(file) {
			return file
		}
	}
	return ""
}
