// Package supervisely reads Supervisely's projects: meta.json with the classes, and data sets,
// which may lie in one another, of pictures in img with one JSON file each in ann.
//
// Rectangles, polygons and bitmaps are objects, the corners of a rectangle being taken as places;
// lines, points and the like are passed over and counted. A picture's split is that which one of
// its tags is called (train, val, test), or else its data set.
package supervisely

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/disk"
)

// Is tells whether a folder holds a project.
func Is(dir string) bool {
	return lenient.ShapeOf(filepath.Join(dir, "meta.json")).Keys["classes"] == '[' && len(dataSets(dir, 0)) > 0
}

const maxDepth = 8

// dataSets are the folders with annotations below a project.
func dataSets(dir string, depth int) (list []string) {
	if depth > maxDepth {
		return nil
	}
	if disk.IsFolder(filepath.Join(dir, "ann")) {
		list = append(list, dir)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && !dataset.IsStray(e.Name()) && e.Name() != "ann" && e.Name() != "img" {
			list = append(list, dataSets(filepath.Join(dir, e.Name()), depth+1)...)
		}
	}
	return list
}

// Open reads a project. Its classes are those of the options, or of meta.json in their order.
func Open(dir string, o dataset.ReadOptions) (*dataset.Set, error) {
	o, err := o.Checked()
	if err != nil {
		return nil, err
	}
	names := o.Classes
	meta := filepath.Join(dir, "meta.json")
	err = lenient.Read(meta, func(d *lenient.Decoder) error {
		return d.Object(func(key string) error {
			if key != "classes" || len(o.Classes) > 0 {
				return d.Skip()
			}
			return lenient.List(d, key, func(c *struct {
				Title lenient.Name `json:"title"`
			}) {
				names = append(names, string(c.Title))
			})
		})
	})
	if err != nil {
		return nil, err
	}
	if err := dataset.CheckNames(names); err != nil {
		return nil, fmt.Errorf("%s: %w", meta, err)
	}
	var list []dataset.Annotated
	for _, folder := range dataSets(dir, 0) {
		pictures, err := listPictures(folder, splitOf(dir, folder))
		if err != nil {
			return nil, err
		}
		list = append(list, pictures...)
	}
	errs := make([]error, len(list))
	dataset.Each(len(list), o.Workers, func(i int) { errs[i] = readNote(&list[i]) })
	for _, err := range errs {
		if err != nil {
			return nil, &dataset.FaultError{Err: err}
		}
	}
	list = slices.DeleteFunc(list, func(a dataset.Annotated) bool { return !o.Wants(a.Split) })
	for _, split := range o.Splits {
		if !slices.ContainsFunc(list, func(a dataset.Annotated) bool { return a.Split == split }) {
			return nil, fmt.Errorf("%s: no data set and no tag is called %s: dataset split deals the pictures there are to train and val", dir, split)
		}
	}
	return dataset.Index(dataset.AnnotatedSource(dir, names, list), o)
}

// splitOf tells by the names of a data set and of those around it; train where none says so.
func splitOf(project, folder string) string {
	rel, _ := filepath.Rel(project, folder)
	parts := strings.Split(filepath.ToSlash(rel), "/")
	for i := range parts {
		if split := dataset.SplitOf(parts[len(parts)-1-i]); split != "" {
			return split
		}
	}
	return "train"
}

// listPictures lists the pictures of a data set, annotated or not.
func listPictures(folder, split string) ([]dataset.Annotated, error) {
	notes := map[string]string{} // by the picture's name
	entries, err := os.ReadDir(filepath.Join(folder, "ann"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); strings.EqualFold(ext, ".json") && !dataset.IsStray(e.Name()) {
			notes[strings.TrimSuffix(e.Name(), ext)] = filepath.Join(folder, "ann", e.Name())
		}
	}
	pictures, _ := os.ReadDir(filepath.Join(folder, "img"))
	var list []dataset.Annotated
	add := func(name, note string) {
		it := dataset.Item{Split: split, Picture: filepath.Join(folder, "img", name), Source: note}
		list = append(list, dataset.Annotated{Item: it, Place: dataset.Problem{File: note}, Unlabelled: note == ""})
	}
	for _, e := range pictures {
		if !dataset.IsPicture(e.Name()) {
			continue
		}
		name := e.Name()
		note := notes[name]
		delete(notes, name)
		if stem := strings.TrimSuffix(name, filepath.Ext(name)); note == "" && notes[stem] != "" { // as it was once
			note = notes[stem]
			delete(notes, stem)
		}
		add(name, note)
	}
	for name, note := range notes {
		add(name, note)
	}
	return list, nil
}

type object struct {
	Class    lenient.Name `json:"classTitle"`
	Geometry string       `json:"geometryType"`
	Points   struct {
		Exterior [][]lenient.Number `json:"exterior"`
	} `json:"points"`
	Bitmap struct {
		Data   string           `json:"data"`
		Origin []lenient.Number `json:"origin"`
	} `json:"bitmap"`
}

// readNote reads the annotation of one picture. What is wrong with it belongs to the
// picture; an error is the system's.
func readNote(a *dataset.Annotated) error {
	if a.Unlabelled {
		return nil
	}
	var objects []object
	err := lenient.Read(a.Source, func(d *lenient.Decoder) error {
		return d.Object(func(key string) error {
			switch key {
			case "size":
				var size struct{ Width, Height lenient.Number }
				err := d.Value(key, &size)
				a.Width, a.Height = int(size.Width), int(size.Height)
				return err
			case "tags":
				return lenient.List(d, key, func(t *struct {
					Name lenient.Name `json:"name"`
				}) {
					if split := dataset.SplitOf(string(t.Name)); split != "" && !strings.ContainsAny(string(t.Name), " _-") {
						a.Split = split
					}
				})
			case "objects":
				return lenient.List(d, key, func(o *object) { objects = append(objects, *o) })
			}
			return d.Skip()
		})
	})
	if disk.Fault(err) {
		return err
	}
	if err != nil {
		a.Unusable = &dataset.Problem{File: a.Source, Want: strings.TrimPrefix(err.Error(), a.Source+": ")}
		return nil
	}
	for i, o := range objects {
		d := dataset.Drawn{Name: string(o.Class), Place: dataset.Problem{File: a.Source, Unit: fmt.Sprintf("objects[%d]", i)}}
		o.shape(&d)
		a.Objects = append(a.Objects, d)
	}
	return nil
}

func (o *object) shape(d *dataset.Drawn) {
	var points []dataset.Point
	for _, p := range o.Points.Exterior {
		if len(p) != 2 {
			d.Wrong = "points: must be pairs of x and y"
			return
		}
		points = append(points, dataset.Point{X: float64(p[0]), Y: float64(p[1])})
	}
	switch o.Geometry {
	case "rectangle":
		if len(points) != 2 {
			d.Wrong = fmt.Sprintf("a rectangle of %d points: must be two corners", len(points))
			return
		}
		left, right := min(points[0].X, points[1].X), max(points[0].X, points[1].X)
		top, bottom := min(points[0].Y, points[1].Y), max(points[0].Y, points[1].Y)
		if d.Box = [4]float64{left, top, right - left, bottom - top}; left == right || top == bottom {
			d.Wrong = fmt.Sprintf("a rectangle from %v %v to %v %v: width and height must be over 0", left, top, right, bottom)
		}
	case "polygon":
		if d.Outline = points; len(points) < 3 {
			d.Wrong = fmt.Sprintf("a polygon of %d points: must be 3 at least", len(points))
		}
	case "bitmap":
		width, height, err := bitmapSize(o.Bitmap.Data)
		switch {
		case err != nil:
			d.Wrong = "bitmap: " + err.Error()
		case len(o.Bitmap.Origin) != 2:
			d.Wrong = "bitmap: origin must be x and y"
		default:
			d.Box = [4]float64{float64(o.Bitmap.Origin[0]), float64(o.Bitmap.Origin[1]), float64(width), float64(height)}
		}
	default:
		d.Ignored = true
	}
}

// bitmapSize is that of a PNG, packed by zlib and written in base64.
func bitmapSize(text string) (width, height int, err error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return 0, 0, errors.New("not base64")
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return 0, 0, errors.New("not packed by zlib")
	}
	const header = 1 << 12
	c, err := png.DecodeConfig(io.LimitReader(r, header))
	if err != nil {
		return 0, 0, errors.New("not a PNG")
	}
	return c.Width, c.Height, nil
}
