package yolo

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// labelFiles finds the label files of pictures and counts those that no picture has.
type labelFiles struct {
	folders map[string]*labelFolder
	order   []string          // of folders, as they were met
	beside  map[string]string // the folder of labels by that of their pictures
}

type labelFolder struct {
	names  map[string]bool   // its .txt files
	folded map[string]string // by what cannot be told apart elsewhere, made when needed
	used   map[string]bool
	split  string          // of the first picture that has its labels here
	stems  map[string]bool // of pictures that have their labels here, in the split or not
}

// find returns the label file of a picture of a split: the one of LabelPath, or else
// one whose name differs in case or in how Unicode composes it, which is the same
// name on other systems. Where there is none it returns LabelPath.
func (l *labelFiles) find(split, picture string) string {
	path := LabelPath(picture)
	pictures, name := filepath.Dir(picture), filepath.Base(path)
	dir := l.beside[pictures]
	if dir == "" {
		dir = filepath.Dir(path)
		if !disk.IsFolder(dir) && isFlat(pictures) { // as labelImg leaves them where folders happen to be called images
			dir = pictures
		}
		l.beside[pictures] = dir
	}
	f := l.folders[dir]
	if f == nil {
		f = openLabels(dir, pictures)
		f.split = split
		l.folders[dir], l.order = f, append(l.order, dir)
	}
	if !f.names[name] {
		if f.folded == nil {
			f.folded = make(map[string]string, len(f.names))
			for _, n := range slices.Sorted(maps.Keys(f.names)) {
				f.folded[dataset.FoldName(n)] = n
			}
		}
		other := f.folded[dataset.FoldName(name)]
		stem := strings.TrimSuffix(other, filepath.Ext(other))
		if other != "" && (stem+".txt" == name || !f.stems[stem]) { // not another picture's
			name = other
		}
	}
	f.used[name] = true
	return filepath.Join(dir, name)
}

// openLabels lists a folder of labels and the pictures of the folder that it belongs to.
func openLabels(dir, pictures string) *labelFolder {
	f := &labelFolder{names: map[string]bool{}, used: map[string]bool{}, stems: map[string]bool{}}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(filepath.Ext(e.Name()), ".txt") && !dataset.IsStray(e.Name()) {
			f.names[e.Name()] = true
		}
	}
	entries, _ = os.ReadDir(pictures)
	for _, e := range entries {
		if dataset.IsPicture(e.Name()) {
			f.stems[strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))] = true
		}
	}
	return f
}

// notLabels are text files that tools put beside labels.
var notLabels = []string{"classes", "labels", "predefined_classes", "train", "val", "valid", "test"}

// orphans tells of label files without a picture, per split and once a folder.
func (l *labelFiles) orphans() (counts map[string]int, notes []dataset.Problem) {
	counts = map[string]int{}
	for _, dir := range l.order {
		f := l.folders[dir]
		var lost []string
		for name := range f.names {
			stem := strings.TrimSuffix(name, filepath.Ext(name))
			if !f.used[name] && !f.stems[stem] && !slices.Contains(notLabels, strings.ToLower(stem)) && !strings.HasPrefix(strings.ToLower(stem), "readme") {
				lost = append(lost, name)
			}
		}
		if len(lost) == 0 {
			continue
		}
		slices.Sort(lost)
		counts[f.split] += len(lost)
		p := dataset.Problem{File: filepath.Join(dir, lost[0]), Want: "no picture has these labels", Action: "not used"}
		if len(lost) > 1 {
			p.Want = fmt.Sprintf("no picture has these labels, the first of %d such files", len(lost))
		}
		notes = append(notes, p)
	}
	return counts, notes
}
