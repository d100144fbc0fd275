package coco

import (
	"fmt"

	"yolofreeze/dataset/lenient"
)

// document is what one JSON file says.
type document struct {
	file        string
	images      []image
	annotations []annotation
	categories  []category

	ids   map[lenient.Key]int    // how often annotations have an id
	names map[lenient.Key]string // of the categories
}

type image struct {
	ID       lenient.Key    `json:"id"`
	FileName lenient.Name   `json:"file_name"`
	Width    lenient.Number `json:"width"`
	Height   lenient.Number `json:"height"`
}

type category struct {
	ID            lenient.Key  `json:"id"`
	Name          lenient.Name `json:"name"`
	Supercategory lenient.Name `json:"supercategory"`
}

type annotation struct {
	ID         lenient.Key      `json:"id"`
	ImageID    lenient.Key      `json:"image_id"`
	CategoryID lenient.Key      `json:"category_id"`
	Bbox       []lenient.Number `json:"bbox"`
	Crowd      lenient.Flag     `json:"iscrowd"`
	Outline    outline          `json:"segmentation"`
}

func readJSON(file string, outlines bool) (doc *document, err error) {
	err = lenient.Read(file, func(d *lenient.Decoder) error {
		doc, err = parseJSON(d, outlines)
		return err
	})
	if err != nil {
		return nil, err
	}
	doc.file = file
	return doc, nil
}

func parseJSON(d *lenient.Decoder, outlines bool) (*document, error) {
	doc := &document{}
	seen := map[string]bool{}
	err := d.Object(func(key string) error {
		seen[key] = true
		switch key {
		case "images":
			return lenient.List(d, key, func(v *image) { doc.images = append(doc.images, *v) })
		case "categories":
			return lenient.List(d, key, func(v *category) { doc.categories = append(doc.categories, *v) })
		case "annotations":
			return lenient.List(d, key, func(v *annotation) {
				if !outlines {
					v.Outline = outline{}
				}
				doc.annotations = append(doc.annotations, *v)
			})
		}
		return d.Skip()
	})
	if err != nil && len(seen) == 0 {
		err = fmt.Errorf("not a COCO file: %w", err)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"images", "annotations", "categories"} {
		if !seen[key] {
			return nil, fmt.Errorf("not a COCO file: key %q is missing", key)
		}
	}
	return doc, nil
}
