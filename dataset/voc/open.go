package voc

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Is tells whether the folder looks like a devkit.
func Is(dir string) bool { return len(years(dir)) > 0 }

// Open reads a devkit: a folder with Annotations and JPEGImages, or one with
// such folders for several years, which are joined. The splits are the image
// sets train, val and test; where no year has train, trainval stands in for it,
// and test then for a missing val. Without image sets all is train. The options
// may name other sets.
func Open(dir string, o dataset.ReadOptions) (*dataset.Set, error) {
	o, err := o.Checked()
	if err != nil {
		return nil, err
	}
	all := years(dir)
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no folder Annotations with JPEGImages beside it, here or one level down, and no pictures with XML beside them", dir)
	}
	items, err := listItems(dir, all, o)
	if err != nil {
		return nil, err
	}
	notes, problems := readNotes(items, o.Workers)
	names, err := classNames(o.Classes, append([]string{dir}, all...), notes)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if err := problems[it.Index]; err != nil && len(names) == 0 { // what is wrong with the first is why
			if disk.Fault(err) {
				return nil, &dataset.FaultError{Err: err}
			}
			return nil, fmt.Errorf("%s: %w", it.Source, disk.Cause(err))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no object in any of %d annotations", dir, len(items))
	}
	if err := dataset.CheckNames(names); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	r := &reader{classes: map[string]int{}, notes: notes, problems: problems, difficult: o.KeepDifficult}
	for i, name := range names {
		r.classes[name] = i
	}
	return dataset.Index(dataset.Source{Path: dir, Names: names, Items: items, Read: r.read}, o)
}

// years lists the folders that have annotations and pictures: those of devkits or, as
// labelling tools leave them, the folder or its train, valid and test with both side by side.
func years(dir string) []string {
	if isYear(dir) {
		return []string{dir}
	}
	var out []string
	for _, root := range []string{dir, filepath.Join(dir, "VOCdevkit")} {
		entries, _ := os.ReadDir(root)
		for _, e := range entries {
			if dataset.IsStray(e.Name()) {
				continue
			}
			if sub := filepath.Join(root, e.Name()); disk.IsFolder(sub) && isYear(sub) {
				out = append(out, sub)
			}
		}
	}
	if len(out) > 0 {
		return out
	}
	if isFlat(dir) {
		return []string{dir}
	}
	for _, split := range append(slices.Clone(flatSplits), "export") { // as Roboflow calls what was never dealt
		if sub := filepath.Join(dir, split); isFlat(sub) {
			out = append(out, sub)
		}
	}
	return out
}

var flatSplits = []string{"train", "valid", "val", "test"}

// isFlat tells whether a folder has a picture with its annotation beside it.
func isFlat(dir string) bool {
	notes, err := annotations(dir, false)
	if err != nil || len(notes) == 0 {
		return false
	}
	pictures, err := stems(dir, false)
	for id := range notes {
		if err == nil && pictures[id] != "" {
			return true
		}
	}
	return false
}

// folderNames are those of annotations and pictures side by side: the devkit's, and what label
// tools and their users call them.
var folderNames = struct{ notes, pictures []string }{
	[]string{"Annotations", "annotations", "Annotation", "annotation", "xml", "xmls"},
	[]string{"JPEGImages", "images", "Images", "image", "imgs", "img"},
}

// folders are where a year has its annotations and its pictures.
func folders(year string) (notes, pictures string) {
	for _, n := range folderNames.notes {
		notes = filepath.Join(year, n)
		if !disk.IsFolder(notes) {
			continue
		}
		xml := sync.OnceValue(func() bool { return hasXML(notes, 0) })
		for _, p := range folderNames.pictures {
			pictures = filepath.Join(year, p)
			if disk.IsFolder(pictures) && (n == "Annotations" && p == "JPEGImages" || xml()) {
				return notes, pictures
			}
		}
	}
	return year, year
}

func isYear(dir string) bool {
	notes, _ := folders(dir)
	return notes != dir
}

// maxDepth is how deep folders of frames lie in one another, as CVAT makes them of its tasks.
const maxDepth = 8

func hasXML(dir string, depth int) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		if e.IsDir() {
			return depth < maxDepth && !dataset.IsStray(e.Name()) && hasXML(filepath.Join(dir, e.Name()), depth+1)
		}
		return strings.EqualFold(filepath.Ext(e.Name()), ".xml") && !dataset.IsStray(e.Name())
	})
}

// listItems names every picture of every wanted split. An item's index is that
// of its annotation, which pictures in several splits share.
func listItems(dir string, all []string, o dataset.ReadOptions) (items []dataset.Item, err error) {
	sets := o.ImageSets
	if sets == nil {
		sets = defaultSets(all)
	}
	pictures, notes := map[string]map[string]string{}, map[string]map[string]string{}
	index := map[string]int{}
	for _, split := range dataset.SplitNames {
		if !o.Wants(split) {
			continue
		}
		before := len(items)
		for _, set := range sets[split] {
			for _, year := range all {
				noteDir, pictureDir := folders(year)
				if pictures[year] == nil {
					if pictures[year], err = stems(pictureDir, pictureDir != year); err != nil {
						return nil, err
					}
					if notes[year], err = annotations(noteDir, noteDir != year); err != nil {
						return nil, err
					}
				}
				ids, err := setIDs(year, set, pictures[year], notes[year])
				if err != nil {
					return nil, err
				}
				for _, id := range ids {
					it := dataset.Item{Split: split, Source: notes[year][id]}
					if it.Source == "" {
						it.Source = filepath.Join(noteDir, id+".xml") // background
					}
					if it.Picture = pictures[year][id]; it.Picture == "" {
						it.Picture = filepath.Join(pictureDir, id+".jpg") // reported as missing
					}
					if _, ok := index[it.Source]; !ok {
						index[it.Source] = len(index)
					}
					it.Index = index[it.Source]
					items = append(items, it)
				}
			}
		}
		if len(items) == before && (slices.Contains(o.Splits, split) || len(o.ImageSets[split]) > 0) {
			return nil, fmt.Errorf("%s: split %q: no pictures in the image sets %s: dataset split deals the pictures there are to train and val", dir, split, strings.Join(sets[split], ", "))
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s: no pictures in its image sets", dir)
	}
	return items, nil
}

// everything is the image set of all annotations and pictures.
const everything = "*"

func defaultSets(all []string) map[string][]string {
	has := func(set string) bool {
		return slices.ContainsFunc(all, func(year string) bool { return disk.Exists(setFile(year, set)) })
	}
	sets := map[string][]string{"train": {"train"}, "val": {"val"}, "test": {"test"}}
	if slices.ContainsFunc(flatSplits, func(split string) bool { return split == filepath.Base(all[0]) && !has("train") }) {
		return map[string][]string{"train": {"train/*"}, "val": {"valid/*", "val/*"}, "test": {"test/*"}}
	}
	switch {
	case has("train"):
	case has("trainval"):
		sets["train"] = []string{"trainval"}
		if !has("val") {
			sets["val"] = []string{"test"}
		}
	case !has("val") && !has("test"):
		sets["train"] = []string{everything}
	}
	return sets
}

func setFile(year, set string) string { return filepath.Join(year, "ImageSets", "Main", set+".txt") }

// setIDs lists the pictures of an image set, "set" or "year/set", in one year, whose
// pictures and annotations there are by name.
// Sets of single classes carry a second column, which is not read.
func setIDs(year, set string, pictures, notes map[string]string) ([]string, error) {
	if only, rest, ok := strings.Cut(set, "/"); ok {
		if only != filepath.Base(year) {
			return nil, nil
		}
		set = rest
	}
	if set == everything {
		ids := maps.Clone(pictures)
		maps.Copy(ids, notes)
		return slices.Sorted(maps.Keys(ids)), nil
	}
	if !filepath.IsLocal(set) {
		return nil, fmt.Errorf("image set %q: not a name", set)
	}
	file := setFile(year, set)
	data, err := dataset.ReadText(file, 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, disk.Cause(err))
	}
	var ids []string
	for n, line := range strings.Split(string(data), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		id := idOf(line, pictures)
		if len(id) > 255 || !filepath.IsLocal(id) {
			return nil, fmt.Errorf("%s:%d: %q: not the name of a picture", file, n+1, id[:min(len(id), 60)])
		}
		if !dataset.IsStray(id) || pictures[id] != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// idOf reads a line of an image set: a whole name, blanks and all; or one with its ending
// or in quotes; or with a second column of 1, 0 or -1. What is there decides.
func idOf(line string, pictures map[string]string) string {
	text := strings.TrimSpace(line)
	forms := []string{line, text, strings.Trim(text, `"'`)}
	if fields := strings.Fields(text); len(fields) > 1 && slices.Contains([]string{"1", "0", "-1"}, fields[len(fields)-1]) {
		text = strings.TrimSpace(strings.TrimSuffix(text, fields[len(fields)-1]))
		forms = append(forms, text, strings.Trim(text, `"'`))
	}
	for _, form := range forms {
		form = strings.TrimPrefix(form, "JPEGImages/")
		if pictures[form] != "" {
			return form
		}
		if stem := strings.TrimSuffix(form, filepath.Ext(form)); dataset.IsPicture(form) && pictures[stem] != "" {
			return stem
		}
	}
	return text
}

// stems maps the names of pictures without their ending to files, those below folders by their
// path if they are asked for. JPEG wins over others.
func stems(dir string, deep bool) (map[string]string, error) {
	return filesIn(dir, deep, dataset.IsPicture, func(ext string) bool { return strings.EqualFold(ext, ".jpg") })
}

// annotations maps names without their ending to XML files in the same way.
func annotations(dir string, deep bool) (map[string]string, error) {
	is := func(name string) bool { return strings.EqualFold(filepath.Ext(name), ".xml") && !dataset.IsStray(name) }
	return filesIn(dir, deep, is, func(ext string) bool { return ext == ".xml" })
}

func filesIn(dir string, deep bool, is, wins func(string) bool) (map[string]string, error) {
	out := map[string]string{}
	var walk func(below string, depth int) error
	walk = func(below string, depth int) error {
		entries, err := os.ReadDir(filepath.Join(dir, below))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(below, e.Name())
			if e.IsDir() {
				if deep && depth < maxDepth && !dataset.IsStray(name) {
					err = walk(name, depth+1)
				}
				if err != nil {
					return err
				}
			} else if is(name) {
				ext := filepath.Ext(name)
				if id := filepath.ToSlash(strings.TrimSuffix(name, ext)); out[id] == "" || wins(ext) {
					out[id] = filepath.Join(dir, name)
				}
			}
		}
		return nil
	}
	return out, walk("", 0)
}

// readNotes parses every annotation once, several at a time. A missing file
// leaves nil: its picture is background.
func readNotes(items []dataset.Item, most int) ([]*annotation, []error) {
	files := map[int]string{}
	for _, it := range items {
		files[it.Index] = it.Source
	}
	notes, problems := make([]*annotation, len(files)), make([]error, len(files))
	dataset.Each(len(files), most, func(i int) {
		text, err := disk.ReadText(files[i], maxXML)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			notes[i], err = parseXML(text)
		}
		problems[i] = err
	})
	return notes, problems
}

// reader turns parsed annotations into labels.
type reader struct {
	classes   map[string]int
	notes     []*annotation
	problems  []error
	difficult bool
}

func (rd *reader) read(it dataset.Item, w, h int, r *dataset.Recorder) {
	a, err := rd.notes[it.Index], rd.problems[it.Index]
	if err != nil {
		r.Unread(it.Source, err)
		return
	}
	if a == nil {
		r.Missing()
		return
	}
	w, h = rd.compare(it, a, w, h, r)
	for i := range a.Objects {
		o := &a.Objects[i]
		place := dataset.Problem{File: it.Source, Unit: "object", Line: i + 1}
		class, known := rd.classes[o.Name]
		switch {
		case o.Name == "":
			place.Want = "object without a <name>"
			r.Bad(place)
		case !known:
			r.IgnoreName(o.Name)
		case o.difficult() && !rd.difficult:
			r.Ignore()
		default:
			o.box(class, w, h, place, r)
		}
	}
}

// compare notes where an annotation speaks of another picture. The real one counts.
// It returns the size in which the boxes count.
func (rd *reader) compare(it dataset.Item, a *annotation, w, h int, r *dataset.Recorder) (int, int) {
	sw, sh := strings.TrimSpace(a.Width), strings.TrimSpace(a.Height)
	saidW, _ := strconv.Atoi(sw) // 0, like no picture, where it is no number
	saidH, _ := strconv.Atoi(sh)
	w, h = r.Size(saidW, saidH, w, h, dataset.Problem{File: it.Source, Field: "size", Value: sw + "x" + sh})
	base := filepath.Base(it.Picture)
	name := strings.TrimSpace(a.Filename)
	if name != "" && name != base && name != strings.TrimSuffix(base, filepath.Ext(base)) {
		r.Note(dataset.Problem{File: it.Source, Field: "filename", Value: name,
			Want: "the picture is " + base, Action: "noted"})
	}
	return w, h
}
