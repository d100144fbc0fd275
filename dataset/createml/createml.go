// Package createml reads Create ML's JSON, which labelImg and Roboflow write, too: a list of
// pictures with boxes in pixels by centre and size, beside the pictures.
package createml

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
)

// Is tells whether a JSON file begins as Create ML's.
func Is(file string) bool {
	s := lenient.ShapeOf(file)
	_, image := s.Keys["image"]
	_, id := s.Keys["id"]
	return s.List && image && !id && s.Keys["annotations"] == '['
}

// Find names the JSON files of a folder, or of its train, valid and test, by split.
func Find(dir string) map[string]string {
	out := map[string]string{}
	for _, split := range []string{"train", "valid", "val", "test"} {
		for _, file := range dataset.JSONBySplit(filepath.Join(dir, split), "", Is) {
			out[dataset.SplitOf(split)] = file
		}
	}
	if len(out) > 0 {
		return out
	}
	return dataset.JSONBySplit(dir, "", Is)
}

type picture struct {
	Image       lenient.Name `json:"image"`
	Annotations []struct {
		Label lenient.Name `json:"label"`
		Box   *struct {
			X, Y, Width, Height lenient.Number
		} `json:"coordinates"`
	} `json:"annotations"`
}

// Open reads one JSON file per split. Classes are those of the options, or those found, sorted.
func Open(files map[string]string, o dataset.ReadOptions) (*dataset.Set, error) {
	var list []dataset.Annotated
	for _, split := range dataset.SplitNames {
		file := files[split]
		switch {
		case file == "" && slices.Contains(o.Splits, split):
			return nil, fmt.Errorf("no Create ML file for split %q: dataset split deals the pictures there are to train and val", split)
		case file == "" || !o.Wants(split):
			continue
		}
		n := 0
		err := lenient.Read(file, func(d *lenient.Decoder) error {
			return lenient.List(d, "", func(p *picture) {
				list = append(list, p.annotated(split, dataset.Problem{File: file, Unit: fmt.Sprintf("[%d]", n)}))
				n++
			})
		})
		if err != nil {
			return nil, err
		}
	}
	path := strings.Join(slices.Sorted(maps.Values(files)), ",")
	source := dataset.AnnotatedSource(path, o.Classes, list)
	if len(source.Names) == 0 {
		return nil, fmt.Errorf("%s: no object in %d pictures", path, len(list))
	}
	if err := dataset.CheckNames(source.Names); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return dataset.Index(source, o)
}

func (p *picture) annotated(split string, place dataset.Problem) dataset.Annotated {
	dir := filepath.Dir(place.File)
	a := dataset.Annotated{Item: dataset.Item{Split: split, Source: place.File}, Place: place}
	var ok bool
	if a.Picture, ok = dataset.FindPicture([]string{dir, filepath.Join(dir, "images")}, string(p.Image)); !ok {
		place.Field, place.Value, place.Want = "image", string(p.Image), "must be a name within the folder of the pictures"
		a.Unusable = &place
	}
	for i, n := range p.Annotations {
		o := dataset.Drawn{Name: string(n.Label), Place: dataset.Problem{File: place.File, Unit: fmt.Sprintf("%s.annotations[%d]", a.Place.Unit, i)}}
		if n.Box == nil {
			o.Wrong = "has no coordinates"
		} else {
			w, h := float64(n.Box.Width), float64(n.Box.Height)
			o.Box = [4]float64{float64(n.Box.X) - w/2, float64(n.Box.Y) - h/2, w, h}
			if !(w > 0 && h > 0) {
				o.Wrong = fmt.Sprintf("coordinates: width %v, height %v: must be over 0", w, h)
			}
		}
		a.Objects = append(a.Objects, o)
	}
	return a
}
