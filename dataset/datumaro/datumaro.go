// Package datumaro reads data sets in Datumaro's own format, which CVAT writes, too:
// annotations/SUBSET.json with categories and items, pictures in images/SUBSET.
//
// Boxes, turned boxes and polygons are objects. Polygons of one group and label are parts of one,
// as the format has it, and give way to a box of that group. Masks and all else are passed over
// and counted.
package datumaro

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/disk"
)

// Is tells whether a JSON file begins as Datumaro's.
func Is(file string) bool {
	s := lenient.ShapeOf(file)
	return !s.List && (s.Keys["items"] == '[' || s.Keys["categories"] == '{' && s.Keys["dm_format_version"] != '[')
}

// Find names the JSON files of a folder, by split: those of subsets that are named for none are
// train. nil where there are none.
func Find(dir string) map[string]string {
	folder := filepath.Join(dir, "annotations")
	return dataset.JSONBySplit(folder, "", Is)
}

// document is what one file says.
type document struct {
	file   string
	labels []string
	items  []item
}

type item struct {
	ID          lenient.Name `json:"id"`
	Annotations []annotation `json:"annotations"`
	Image       struct {
		Path lenient.Name     `json:"path"`
		Size []lenient.Number `json:"size"` // height, width
	} `json:"image"`
}

type annotation struct {
	Type       string           `json:"type"`
	Label      *int             `json:"label_id"`
	Group      lenient.Key      `json:"group"`
	Box        []lenient.Number `json:"bbox"`
	Points     []lenient.Number `json:"points"`
	Attributes struct {
		Crowd lenient.Flag `json:"is_crowd"`
	} `json:"attributes"`
}

// Open reads one JSON file per split. All must have the same labels, unless the options list the classes.
func Open(files map[string]string, o dataset.ReadOptions) (*dataset.Set, error) {
	var list []dataset.Annotated
	var names []string
	for _, split := range o.Splits {
		if files[split] == "" {
			return nil, fmt.Errorf("no Datumaro file for split %q: dataset split deals the pictures there are to train and val", split)
		}
	}
	for _, split := range dataset.SplitNames {
		if files[split] == "" || !o.Wants(split) {
			continue
		}
		doc, err := read(files[split])
		if err != nil {
			return nil, err
		}
		for _, name := range doc.labels {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		list = append(list, doc.pictures(split, o)...)
	}
	if len(o.Classes) > 0 {
		names = o.Classes
	}
	path := strings.Join(slices.Sorted(maps.Values(files)), ",")
	if err := dataset.CheckNames(names); err != nil {
		return nil, fmt.Errorf("%s: categories: %w", path, err)
	}
	return dataset.Index(dataset.AnnotatedSource(path, names, list), o)
}

func read(file string) (*document, error) {
	doc := &document{file: file}
	items := false
	err := lenient.Read(file, func(d *lenient.Decoder) error {
		err := d.Object(func(key string) error {
			switch key {
			case "categories":
				var c struct {
					Label struct {
						Labels []struct {
							Name lenient.Name `json:"name"`
						} `json:"labels"`
					} `json:"label"`
				}
				if err := d.Value(key, &c); err != nil {
					return err
				}
				for _, l := range c.Label.Labels {
					doc.labels = append(doc.labels, string(l.Name))
				}
				return nil
			case "items":
				items = true
				return lenient.List(d, key, func(v *item) { doc.items = append(doc.items, *v) })
			}
			return d.Skip()
		})
		if err == nil && !items {
			err = fmt.Errorf("not a Datumaro file: key %q is missing", "items")
		}
		return err
	})
	return doc, err
}

func (doc *document) pictures(split string, o dataset.ReadOptions) []dataset.Annotated {
	subset := strings.TrimSuffix(filepath.Base(doc.file), filepath.Ext(doc.file))
	up := filepath.Dir(filepath.Dir(doc.file))
	images := filepath.Join(up, "images")
	folders := []string{filepath.Join(images, subset), images, filepath.Join(images, split), up, filepath.Dir(doc.file)}
	list := make([]dataset.Annotated, len(doc.items))
	for i := range doc.items {
		it := &doc.items[i]
		place := dataset.Problem{File: doc.file, Unit: fmt.Sprintf("items[%d]", i)}
		a := dataset.Annotated{Item: dataset.Item{Split: split, Source: doc.file}, Place: place}
		name, ok := string(it.Image.Path), false
		if name == "" {
			name = nameOf(folders, string(it.ID))
		}
		if a.Picture, ok = dataset.FindPicture(folders, name); !ok {
			place.Field, place.Value, place.Want = "image.path", name, "must be a name within the folder of the pictures"
			a.Unusable = &place
		}
		if size := it.Image.Size; len(size) == 2 && !math.IsNaN(float64(size[0]+size[1])) {
			a.Height, a.Width = int(size[0]), int(size[1])
		}
		a.Objects = doc.objects(it, a.Place.Unit, o)
		list[i] = a
	}
	return list
}

// nameOf finds the picture of an item that tells its id alone.
func nameOf(folders []string, id string) string {
	for _, ext := range []string{".jpg", ".jpeg", ".png", ".JPG", ".bmp"} {
		for _, dir := range folders {
			if path, ok := dataset.PictureIn(dir, id+ext); ok && disk.IsFile(path) {
				return id + ext
			}
		}
	}
	return id + ".jpg"
}

// instance is what parts of one object have in common.
type instance struct {
	group lenient.Key
	label int
}

func (doc *document) objects(it *item, unit string, o dataset.ReadOptions) (list []dataset.Drawn) {
	boxed, first := map[instance]bool{}, map[instance]int{}
	for _, a := range it.Annotations {
		if a.Type == "bbox" && a.Label != nil {
			boxed[instance{a.Group, *a.Label}] = true
		}
	}
	for i, a := range it.Annotations {
		d := dataset.Drawn{Place: dataset.Problem{File: doc.file, Unit: fmt.Sprintf("%s.annotations[%d]", unit, i)}, Crowd: bool(a.Attributes.Crowd)}
		d.Ignored = d.Crowd && !o.KeepCrowd
		switch {
		case a.Type != "bbox" && a.Type != "polygon" && a.Type != "rotated_bbox":
			d.Ignored = true
		case a.Label == nil:
			d.Wrong = "has no label_id"
		case *a.Label < 0 || *a.Label >= len(doc.labels):
			d.Place.Field, d.Place.Value = "label_id", fmt.Sprint(*a.Label)
			d.Wrong = fmt.Sprintf("must be from 0 to %d", len(doc.labels)-1)
		default:
			d.Name = doc.labels[*a.Label]
			shape(&d, a)
		}
		if a.Type == "polygon" && a.Group != (lenient.Key{}) && d.Name != "" && d.Wrong == "" {
			of := instance{a.Group, *a.Label}
			at, again := first[of]
			switch {
			case boxed[of]:
				continue
			case again:
				list[at].Join(d.Outline)
				continue
			}
			first[of] = len(list)
		}
		list = append(list, d)
	}
	return list
}

// shape takes over an annotation's numbers.
func shape(d *dataset.Drawn, a annotation) {
	v := a.Box
	switch {
	case a.Type == "bbox" && len(v) == 4:
		d.Box = [4]float64{float64(v[0]), float64(v[1]), float64(v[2]), float64(v[3])}
		if v[2] <= 0 || v[3] <= 0 {
			d.Wrong = fmt.Sprintf("bbox %.6g: width and height must be over 0", v)
		}
	case a.Type == "rotated_bbox" && len(v) == 5: // centre, size and degrees
		w, h := float64(v[2]), float64(v[3])
		d.Outline = dataset.Corners(0, 0, w, h, float64(v[4]))
		middle := dataset.Corners(0, 0, w/2, h/2, float64(v[4]))[2]
		for i := range d.Outline {
			d.Outline[i].X += float64(v[0]) - middle.X
			d.Outline[i].Y += float64(v[1]) - middle.Y
		}
	case a.Type == "polygon" && len(a.Points) >= 6 && len(a.Points)%2 == 0:
		for i := 0; i < len(a.Points); i += 2 {
			d.Outline = append(d.Outline, dataset.Point{X: float64(a.Points[i]), Y: float64(a.Points[i+1])})
		}
	case a.Type == "polygon":
		d.Wrong = fmt.Sprintf("points: %d numbers: must be x and y of at least 3 points", len(a.Points))
	default:
		d.Wrong = fmt.Sprintf("bbox: %d numbers: must be x, y, width and height", len(v))
	}
}
