package coco

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/disk"
)

// Find names the JSON files of a folder, by split: annotations/*.json as COCO
// ships them, train/_annotations.coco.json and its like as Roboflow exports, or the
// one JSON file that there is, which is train.
// It returns nil where the folder holds no such data set.
func Find(dir string) map[string]string {
	out := map[string]string{}
	for _, split := range []string{"train", "valid", "val", "test"} {
		file := filepath.Join(dir, split, "_annotations.coco.json")
		if disk.IsFile(file) {
			out[dataset.SplitOf(split)] = file
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, folder := range []string{filepath.Join(dir, "annotations"), dir} {
		for _, wanted := range []string{"instances_", ""} { // captions and key points lie beside instances
			if out := dataset.JSONBySplit(folder, wanted, Is); out != nil {
				return out
			}
		}
	}
	return nil
}

// Is tells whether a JSON file begins as COCO's: other JSON lies about, too.
func Is(file string) bool {
	s := lenient.ShapeOf(file)
	return !s.List && (s.Keys["images"] == '[' || s.Keys["annotations"] == '[')
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
			return nil, fmt.Errorf("no COCO file for split %q: dataset split deals the pictures there are to train and val", split)
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
		items, err = rd.add(doc, split, items)
		if err != nil {
			return nil, err
		}
	}
	names := o.Classes
	if len(names) == 0 {
		names = rd.classNames()
	}
	path := strings.Join(paths, ",")
	if err := dataset.CheckNames(names); err != nil {
		return nil, fmt.Errorf("%s: categories: %w", path, err)
	}
	rd.numberClasses(names)
	return dataset.Index(dataset.Source{Path: path, Names: names, Items: items, Read: rd.read}, o)
}

// reader holds everything that the JSON files say.
type reader struct {
	docs    []*document
	pending []pending // by the items' Index
	classes []map[lenient.Key]int
	crowd   bool
}

// pending is an image with the annotations that belong to it.
type pending struct {
	doc   int
	image image
	notes []int // indices in the document's annotations
}

// add joins images and annotations of a document and finds the pictures. An image that
// is there again, under its own or another id, brings its annotations to the first.
func (rd *reader) add(doc *document, split string, items []dataset.Item) ([]dataset.Item, error) {
	byID := make(map[lenient.Key]int, len(doc.images)) // to the item
	byPath := make(map[string]int, len(doc.images))
	first := len(items)
	folders := pictureFolders(doc, split)
	for _, im := range doc.images {
		it := dataset.Item{Split: split, Source: doc.file, Index: len(rd.pending)}
		place := dataset.Problem{File: doc.file, Unit: "image " + im.ID.String()}
		var ok bool
		if it.Picture, ok = dataset.FindPicture(folders, string(im.FileName)); !ok {
			place.Field, place.Value, place.Want = "file_name", string(im.FileName), "must be a name within the folder of the pictures"
			it.Unusable = &place
		}
		at, known := byPath[it.Picture]
		if have, twice := byID[im.ID]; twice && (!known || have != at) {
			return nil, fmt.Errorf("%s: image %v: the id belongs to %q already, and to %q: whose its annotations are cannot be known",
				doc.file, im.ID, rd.pending[items[have].Index].image.FileName, im.FileName)
		}
		if known {
			byID[im.ID] = at
			continue
		}
		byID[im.ID], byPath[it.Picture] = len(items), len(items)
		items = append(items, it)
		rd.pending = append(rd.pending, pending{doc: len(rd.docs), image: im})
	}
	if err := doc.count(); err != nil {
		return nil, err
	}
	for i := range doc.annotations {
		a := &doc.annotations[i]
		at, known := byID[a.ImageID]
		switch {
		case !known && len(items) > first: // told with the first picture
			place := doc.place(i)
			place.Field, place.Value, place.Want = "image_id", a.ImageID.String(), "no image has this id"
			items[first].Bad = append(items[first].Bad, place)
		case known:
			p := &rd.pending[items[at].Index]
			p.notes = append(p.notes, i)
		}
	}
	rd.docs = append(rd.docs, doc)
	// What systems leave in folders is listed by some tools, and never annotated.
	return slices.DeleteFunc(items, func(it dataset.Item) bool {
		return dataset.IsStray(it.Picture) && len(rd.pending[it.Index].notes) == 0 && len(it.Bad) == 0
	}), nil
}

// place names an annotation by its id, or where that is not one of its own by its place
// in the list.
func (doc *document) place(i int) dataset.Problem {
	unit := fmt.Sprintf("annotations[%d]", i)
	if id := doc.annotations[i].ID; doc.ids[id] == 1 && id != (lenient.Key{}) {
		unit = "annotation " + id.String()
	}
	return dataset.Problem{File: doc.file, Unit: unit}
}

// classNames joins the categories of all files.
func (rd *reader) classNames() []string {
	var names []string
	seen := map[lenient.Name]bool{}
	for _, doc := range rd.docs {
		list := slices.Clone(doc.categories)
		slices.SortStableFunc(list, func(a, b category) int {
			return cmp.Or(cmp.Compare(a.ID.Number, b.ID.Number), cmp.Compare(a.ID.Text, b.ID.Text))
		})
		group := rd.groupOnly(doc)
		for _, c := range list {
			if !seen[c.Name] && !(c.ID == (lenient.Key{}) && c.Name == group) {
				seen[c.Name] = true
				names = append(names, string(c.Name))
			}
		}
	}
	return names
}

// groupOnly names the category 0 that Roboflow adds as the group of all others
// and that no object belongs to.
func (rd *reader) groupOnly(doc *document) lenient.Name {
	group := lenient.Name("")
	for _, c := range doc.categories {
		if c.ID == (lenient.Key{}) {
			group = c.Name
		}
	}
	for _, c := range doc.categories {
		if zero := c.ID == (lenient.Key{}); !zero && c.Supercategory != group || zero && c.Supercategory != "none" {
			return ""
		}
	}
	for _, d := range rd.docs {
		for _, a := range d.annotations {
			if a.CategoryID == (lenient.Key{}) {
				return ""
			}
		}
	}
	if len(doc.categories) < 2 {
		return ""
	}
	return group
}

// numberClasses maps the category ids of each document to classes, −1 for names that
// are not in the list.
func (rd *reader) numberClasses(names []string) {
	class := make(map[string]int, len(names))
	for i, n := range names {
		class[n] = i
	}
	for _, doc := range rd.docs {
		m := make(map[lenient.Key]int, len(doc.categories))
		for _, c := range doc.categories {
			m[c.ID] = -1
			if i, ok := class[string(c.Name)]; ok {
				m[c.ID] = i
			}
		}
		rd.classes = append(rd.classes, m)
	}
}

func (rd *reader) read(it dataset.Item, w, h int, r *dataset.Recorder) {
	p := &rd.pending[it.Index]
	doc := rd.docs[p.doc]
	w, h = r.Size(int(p.image.Width), int(p.image.Height), w, h, dataset.Problem{File: doc.file, Unit: "image " + p.image.ID.String(), Field: "size",
		Value: fmt.Sprintf("%vx%v", p.image.Width, p.image.Height)})
	for _, i := range p.notes {
		rd.object(i, doc, rd.classes[p.doc], w, h, r)
	}
}

// object hands over one annotation and lets go of its outline.
func (rd *reader) object(i int, doc *document, classes map[lenient.Key]int, w, h int, r *dataset.Recorder) {
	a, place := &doc.annotations[i], doc.place(i)
	class, ok := classes[a.CategoryID]
	switch {
	case !ok:
		place.Field, place.Value, place.Want = "category_id", a.CategoryID.String(), "no category has this id"
		r.Bad(place)
		return
	case class < 0:
		r.IgnoreName(doc.names[a.CategoryID])
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
	for _, v := range b {
		if v != v {
			place.Field, place.Value, place.Want = "bbox", formatBox(b), "must be four numbers"
			r.Bad(place)
			return
		}
	}
	if b[2] <= 0 || b[3] <= 0 {
		place.Field, place.Value, place.Want = "bbox", formatBox(b), "width and height must be over 0"
		r.NoArea(place)
		return
	}
	l := toLabel(class, b, w, h)
	l.Crowd = bool(a.Crowd)
	l.Polygon = toOutline(a.Outline.parts, w, h)
	if a.Outline.bad {
		p := place
		p.Field, p.Want, p.Action = "segmentation", "must be lists of numbers", "the box is used alone"
		r.Note(p)
	}
	a.Outline = outline{}
	leaves := place
	leaves.Field, leaves.Value, leaves.Want = "bbox", formatBox(b), fmt.Sprintf("must lie in the picture of %dx%d", w, h)
	r.Boxed(l, w, h, place, leaves)
}

// count prepares what places and names are told from. An id of two categories is an error.
func (doc *document) count() error {
	doc.ids = make(map[lenient.Key]int, len(doc.annotations))
	for i := range doc.annotations {
		doc.ids[doc.annotations[i].ID]++
	}
	doc.names = make(map[lenient.Key]string, len(doc.categories))
	for _, c := range doc.categories {
		if have, twice := doc.names[c.ID]; twice && have != string(c.Name) {
			return fmt.Errorf("%s: category %v: the id belongs to %q already, and to %q: which its objects are cannot be known", doc.file, c.ID, have, c.Name)
		}
		doc.names[c.ID] = string(c.Name)
	}
	return nil
}
