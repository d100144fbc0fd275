package coco

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Find names the JSON files of a folder, by split: annotations/*.json as COCO
// ships them, or train/_annotations.coco.json and its like as Roboflow exports.
// It returns nil where the folder holds no such data set.
func Find(dir string) map[string]string {
	out := map[string]string{}
	for _, split := range []string{"train", "valid", "val", "test"} {
		file := filepath.Join(dir, split, "_annotations.coco.json")
		if disk.IsFile(file) {
			out[SplitOf(split)] = file
		}
	}
	if len(out) > 0 {
		return out
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "annotations"))
	for _, wanted := range []string{"instances_", ""} { // captions and key points lie beside instances
		for _, e := range entries {
			split := SplitOf(e.Name())
			if split != "" && out[split] == "" && strings.HasPrefix(e.Name(), wanted) && strings.EqualFold(filepath.Ext(e.Name()), ".json") {
				out[split] = filepath.Join(dir, "annotations", e.Name())
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// SplitOf guesses the split that a file is named for; "" if none.
func SplitOf(name string) string {
	name = strings.ToLower(filepath.Base(name))
	for _, split := range dataset.SplitNames {
		if strings.Contains(name, split) {
			return split
		}
	}
	return ""
}

// Open reads one JSON file per split. The categories of all of them make up the
// class list, in the order of their ids, unless the options list the classes.
func Open(files map[string]string, o dataset.ReadOptions) (*dataset.Set, error) {
	o, err := o.Checked()
	if err != nil {
		return nil, err
	}
	for _, split := range o.Splits {
		if files[split] == "" {
			return nil, fmt.Errorf("no COCO file for split %q", split)
		}
	}
	rd := &reader{crowd: o.KeepCrowd}
	var items []dataset.Item
	var paths []string
	for _, split := range dataset.SplitNames {
		if files[split] == "" || !o.Wants(split) {
			continue
		}
		doc, err := readJSON(files[split], !o.BoxesOnly)
		if err != nil {
			return nil, err
		}
		paths = append(paths, files[split])
		items = rd.add(doc, split, items)
	}
	names := o.Classes
	if len(names) == 0 {
		names = rd.classNames()
	}
	path := strings.Join(paths, ",")
	if err := dataset.CheckNames(names); err != nil {
		return nil, fmt.Errorf("%s: categories: %w", path, err)
	}
	rd.number(names)
	return dataset.Index(dataset.Source{Path: path, Names: names, Items: items, Read: rd.read}, o)
}

// reader holds everything that the JSON files say.
type reader struct {
	docs    []*document
	pending []pending // by the items' Index
	classes []map[int64]int
	crowd   bool
}

// pending is an image with the annotations that belong to it.
type pending struct {
	doc   int
	image image
	notes []int // indices in the document's annotations
}

// add joins images and annotations of a document and finds the pictures.
func (rd *reader) add(doc *document, split string, items []dataset.Item) []dataset.Item {
	byID := make(map[int64]int, len(doc.images)) // to the item
	first := len(items)
	folders := pictureFolders(doc, split)
	for _, im := range doc.images {
		it := dataset.Item{Split: split, Source: doc.file, Index: len(rd.pending)}
		place := dataset.Problem{File: doc.file, Unit: "image", Line: int(im.ID)}
		var ok bool
		if it.Picture, ok = findPicture(folders, im.FileName); !ok {
			place.Field, place.Value, place.Want = "file_name", im.FileName, "must be a name within the folder of the pictures"
			it.Unusable = &place
		} else if _, twice := byID[im.ID]; twice {
			place.Want = "the id belongs to another image already"
			it.Unusable = &place
		}
		if _, twice := byID[im.ID]; !twice {
			byID[im.ID] = len(items)
		}
		items = append(items, it)
		rd.pending = append(rd.pending, pending{doc: len(rd.docs), image: im})
	}
	ids := make(map[int64]bool, len(doc.annotations))
	for i := range doc.annotations {
		a := &doc.annotations[i]
		place := dataset.Problem{File: doc.file, Unit: "annotation", Line: int(a.ID)}
		at, known := byID[a.ImageID]
		switch {
		case !known && len(items) > first: // told with the first picture
			place.Field, place.Value, place.Want = "image_id", fmt.Sprint(a.ImageID), "no image has this id"
			items[first].Bad = append(items[first].Bad, place)
		case !known:
		case ids[a.ID]:
			place.Want = "the id belongs to another annotation already"
			items[at].Bad = append(items[at].Bad, place)
		default:
			p := &rd.pending[items[at].Index]
			p.notes = append(p.notes, i)
		}
		ids[a.ID] = true
	}
	rd.docs = append(rd.docs, doc)
	return items
}

// classNames joins the categories of all files.
func (rd *reader) classNames() []string {
	var names []string
	for _, doc := range rd.docs {
		list := slices.Clone(doc.categories)
		sort.SliceStable(list, func(i, j int) bool { return list[i].ID < list[j].ID })
		group := rd.groupOnly(doc)
		for _, c := range list {
			if !slices.Contains(names, c.Name) && !(c.ID == 0 && c.Name == group) {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// groupOnly names the category 0 that Roboflow adds as the group of all others
// and that no object belongs to.
func (rd *reader) groupOnly(doc *document) string {
	name := ""
	for _, c := range doc.categories {
		if c.ID == 0 {
			name = c.Name
		}
	}
	for _, c := range doc.categories {
		if c.ID != 0 && c.Supercategory != name || c.ID == 0 && c.Supercategory != "none" {
			return ""
		}
	}
	for _, d := range rd.docs {
		for _, a := range d.annotations {
			if a.CategoryID == 0 {
				return ""
			}
		}
	}
	if len(doc.categories) < 2 {
		return ""
	}
	return name
}

// number maps the category ids of each document to classes, −1 for names that
// are not in the list.
func (rd *reader) number(names []string) {
	for _, doc := range rd.docs {
		m := map[int64]int{}
		for _, c := range doc.categories {
			m[c.ID] = slices.Index(names, c.Name)
		}
		rd.classes = append(rd.classes, m)
	}
}

func (rd *reader) read(it dataset.Item, w, h int, r *dataset.Recorder) {
	p := &rd.pending[it.Index]
	doc := rd.docs[p.doc]
	w, h = r.Size(p.image.Width, p.image.Height, w, h, dataset.Problem{File: doc.file, Unit: "image", Line: int(p.image.ID), Field: "size",
		Value: fmt.Sprintf("%dx%d", p.image.Width, p.image.Height)})
	for _, i := range p.notes {
		rd.object(&doc.annotations[i], doc, rd.classes[p.doc], w, h, r)
	}
}

// object hands over one annotation and lets go of its outline.
func (rd *reader) object(a *annotation, doc *document, classes map[int64]int, w, h int, r *dataset.Recorder) {
	place := dataset.Problem{File: doc.file, Unit: "annotation", Line: int(a.ID)}
	class, ok := classes[a.CategoryID]
	switch {
	case !ok:
		place.Field, place.Value, place.Want = "category_id", fmt.Sprint(a.CategoryID), "no category has this id"
		r.Bad(place)
		return
	case class < 0:
		r.IgnoreName(doc.nameOf(a.CategoryID))
		return
	case bool(a.Crowd) && !rd.crowd:
		r.Ignore()
		return
	case len(a.Bbox) != 4:
		place.Field, place.Want = "bbox", fmt.Sprintf("%d numbers: must be x, y, width and height", len(a.Bbox))
		r.Bad(place)
		return
	}
	b := a.Bbox
	if b[2] <= 0 || b[3] <= 0 {
		place.Field, place.Value, place.Want = "bbox", formatBox(b), "width and height must be over 0"
		r.NoArea(place)
		return
	}
	l := toLabel(class, b, w, h)
	l.Crowd = bool(a.Crowd)
	l.Polygon = toOutline(a.Outline, w, h)
	a.Outline = nil
	if l.Leaves(w, h) {
		p := place
		p.Field, p.Value, p.Want = "bbox", formatBox(b), fmt.Sprintf("must lie in the picture of %dx%d", w, h)
		if !r.Outside(p) {
			return
		}
		l = l.Clipped()
	}
	r.Object(l, place)
}

func (doc *document) nameOf(id int64) string {
	for _, c := range doc.categories {
		if c.ID == id {
			return c.Name
		}
	}
	return ""
}
