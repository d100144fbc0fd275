package coco

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/disk"
)

// Write writes a set as annotations/instances_<split>.json with the pictures of
// each split in a folder beside, such that Open returns the same boxes to the
// last bit. dir must not exist or be empty.
func Write(dir string, set *dataset.Set, o dataset.WriteOptions) error {
	return dataset.WriteFolder(dir, func(tmp string) error {
		if err := dataset.MakeFolders(tmp, "annotations"); err != nil {
			return err
		}
		placed := set.Place()
		for _, split := range dataset.SplitNames {
			if _, ok := set.Splits[split]; !ok {
				continue
			}
			if err := writeSplit(tmp, split, set.Names, placed, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeSplit(dir, split string, names []string, placed []dataset.Placed, o dataset.WriteOptions) error {
	if err := dataset.MakeFolders(dir, split); err != nil {
		return err
	}
	images, annotations, categories := []any{}, []any{}, []any{}
	for _, p := range placed {
		if p.Split != split {
			continue
		}
		if err := o.PutPicture(p.Path, filepath.Join(dir, split, p.Name)); err != nil {
			return err
		}
		id := len(images) + 1
		images = append(images, image{lenient.Key{Number: int64(id)}, lenient.Name(p.Name), lenient.Number(p.Width), lenient.Number(p.Height)})
		for _, l := range p.CutLabels() {
			annotations = append(annotations, writtenObject(len(annotations)+1, id, l, p.Width, p.Height))
		}
	}
	for i, class := range names {
		categories = append(categories, category{ID: lenient.Key{Number: int64(i + 1)}, Name: lenient.Name(class), Supercategory: "object"})
	}
	file := filepath.Join(dir, "annotations", "instances_"+split+".json")
	return disk.Put(file, func(w io.Writer) error { return writeJSON(w, images, annotations, categories) })
}

// written is an annotation on its way out; numbers are text already, so that
// they have no more digits than needed.
type written struct {
	ID         int             `json:"id"`
	ImageID    int             `json:"image_id"`
	CategoryID int             `json:"category_id"`
	Bbox       [4]json.Number  `json:"bbox"`
	Area       float64         `json:"area"`
	Crowd      int             `json:"iscrowd"`
	Outline    [][]json.Number `json:"segmentation"`
	Score      float64         `json:"score,omitempty"` // as COCO's results have it
}

func writtenObject(id, imageID int, l dataset.Label, w, h int) written {
	left, top, bw, bh := l.Pixels(w, h)
	text := dataset.FormatBox(l, [4]float64{left, top, bw, bh}, func(v [4]float64) dataset.Label {
		return dataset.FromPixels(l.Class, v[0], v[1], v[2], v[3], w, h)
	})
	a := written{ID: id, ImageID: imageID, CategoryID: l.Class + 1, Area: round2(bw * bh), Outline: [][]json.Number{}, Score: l.Conf}
	for i, t := range text {
		a.Bbox[i] = json.Number(t)
	}
	if l.Crowd {
		a.Crowd = 1
	}
	if len(l.Polygon) >= 3 {
		var part []json.Number
		for _, p := range l.Polygon {
			part = append(part, thousandth(p.X*float64(w)), thousandth(p.Y*float64(h)))
		}
		a.Outline = append(a.Outline, part)
		a.Area = round2(area(l.Polygon) * float64(w) * float64(h))
	}
	return a
}

// area is what an outline encloses.
func area(outline []dataset.Point) float64 {
	sum := 0.0
	for i, p := range outline {
		q := outline[(i+1)%len(outline)]
		sum += p.X*q.Y - q.X*p.Y
	}
	return math.Abs(sum) / 2
}

func round2(v float64) float64 { return math.Round(v*100) / 100 }

// thousandth writes a coordinate of an outline to a thousandth of a pixel.
func thousandth(v float64) json.Number {
	b, _ := json.Marshal(math.Round(v*1000) / 1000) // finite: cannot fail
	return json.Number(b)
}

// writeJSON puts one image or annotation on each line.
func writeJSON(out io.Writer, images, annotations, categories []any) error {
	w := bufio.NewWriter(out)
	before := "{"
	for _, part := range []struct {
		key  string
		list []any
	}{{"images", images}, {"annotations", annotations}, {"categories", categories}} {
		w.WriteString(before + `"` + part.key + `": [`)
		before = "\n"
		for _, v := range part.list {
			line, err := json.Marshal(v)
			if err != nil {
				return err
			}
			w.WriteString(before)
			w.Write(line)
			before = ",\n"
		}
		w.WriteString("]")
		before = ",\n"
	}
	w.WriteString("}\n")
	return w.Flush()
}
