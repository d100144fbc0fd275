// Package labelstudio reads and writes the tasks of Label Studio: its exports "JSON" and
// "JSON-MIN", and files to import.
//
// Of a task's annotations the newest that was not cancelled counts. Rectangles, turned or not,
// polygons and ellipses with a label are objects; masks, points and choices are passed over and
// counted. Predictions are not read: nobody has looked at them yet. What a model has found is
// written as such, with its confidence.
package labelstudio

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/disk"
)

// Is tells whether a JSON file begins as a list of tasks.
func Is(file string) bool {
	s := lenient.ShapeOf(file)
	if !s.List {
		return false
	}
	_, full := s.Keys["data"]
	_, image := s.Keys["image"]
	_, id := s.Keys["id"]
	return full && (s.Keys["annotations"] == '[' || s.Keys["completions"] == '[' || s.Keys["predictions"] == '[' || len(s.Keys) == 1) || image && id
}

// Find names the JSON files of a folder, by split. nil where there are none.
func Find(dir string) map[string]string { return dataset.JSONBySplit(dir, "", Is) }

// Open reads one JSON file per split. Classes are those of the options, of a classes.txt beside, or
// else those found, sorted.
func Open(files map[string]string, o dataset.ReadOptions) (*dataset.Set, error) {
	names := o.Classes
	var list []dataset.Annotated
	for _, split := range dataset.SplitNames {
		file := files[split]
		switch {
		case file == "" && slices.Contains(o.Splits, split):
			return nil, fmt.Errorf("no Label Studio file for split %q: dataset split deals the pictures there are to train and val", split)
		case file == "" || !o.Wants(split):
			continue
		}
		if len(names) == 0 {
			found, err := dataset.ReadNames(filepath.Join(filepath.Dir(file), "classes.txt"))
			if err != nil {
				return nil, err
			}
			names = found
		}
		pictures, err := read(file, split)
		if err != nil {
			return nil, err
		}
		list = append(list, pictures...)
	}
	path := strings.Join(slices.Sorted(maps.Values(files)), ",")
	source := dataset.AnnotatedSource(path, names, list)
	if len(source.Names) == 0 {
		return nil, fmt.Errorf("%s: no labelled object in %d tasks", path, len(list))
	}
	if err := dataset.CheckNames(source.Names); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return dataset.Index(source, o)
}

// result is one thing that was drawn.
type result struct {
	Type   string                     `json:"type"`
	Value  map[string]json.RawMessage `json:"value"`
	Width  lenient.Number             `json:"original_width"`
	Height lenient.Number             `json:"original_height"`
}

type annotation struct {
	Results   []result     `json:"result"`
	Cancelled lenient.Flag `json:"was_cancelled"`
	Skipped   lenient.Flag `json:"skipped"`
	Created   string       `json:"created_at"`
}

// task is one element of the list: of the whole export, or of the short one, where keys of its
// data and of the controls stand beside each other.
type task map[string]json.RawMessage

func read(file, split string) (list []dataset.Annotated, err error) {
	dir := filepath.Dir(file)
	folders := []string{dir}
	for _, name := range []string{"images", "image", "upload", filepath.Join("media", "upload"), "data", split, filepath.Join("images", split)} {
		if sub := filepath.Join(dir, name); disk.IsFolder(sub) {
			folders = append(folders, sub)
		}
	}
	err = lenient.Read(file, func(d *lenient.Decoder) error {
		n, wrong := 0, error(nil)
		err := lenient.List(d, "", func(t *task) {
			place := dataset.Problem{File: file, Unit: fmt.Sprintf("task %d", n+1)}
			if id := (lenient.Key{}); json.Unmarshal((*t)["id"], &id) == nil {
				place.Unit = "task " + id.String()
			}
			n++
			a, err := t.picture(place, folders)
			if err != nil && wrong == nil {
				wrong = fmt.Errorf("%s: %w", place.Unit, err)
			}
			a.Split = split
			list = append(list, a)
		})
		if err == nil {
			err = wrong
		}
		return err
	})
	return list, err
}

func (t task) picture(place dataset.Problem, folders []string) (dataset.Annotated, error) {
	a := dataset.Annotated{Item: dataset.Item{Source: place.File}, Place: place, Unlabelled: true}
	data := t
	whole := t["data"] != nil
	if whole {
		data = task{}
		if err := json.Unmarshal(t["data"], &data); err != nil {
			return a, fmt.Errorf("data: %s", lenient.Plain(err))
		}
	}
	name, ok := data.address()
	if !ok {
		place.Field, place.Want = "data", "names no picture"
		a.Picture, a.Unusable = place.File, &place
		return a, nil
	}
	if a.Picture, ok = findPicture(folders, name); !ok {
		place.Field, place.Value, place.Want = "image", name, "must lead to a picture within the folder"
		a.Unusable = &place
	}
	results, labelled, err := t.results(whole)
	if err != nil {
		return a, err
	}
	a.Unlabelled = !labelled
	for i := range results {
		r := &results[i]
		if w, h := int(r.Width), int(r.Height); w > 0 && h > 0 && a.Width == 0 {
			a.Width, a.Height = w, h
		}
		p := place
		p.Unit = fmt.Sprintf("%s: result[%d]", place.Unit, i)
		a.Objects = append(a.Objects, r.objects(p)...)
	}
	return a, nil
}

// results are those of the annotation that counts.
func (t task) results(whole bool) (list []result, labelled bool, err error) {
	if !whole {
		for _, key := range slices.Sorted(maps.Keys(t)) { // whatever the control is called
			var values []map[string]json.RawMessage
			if json.Unmarshal(t[key], &values) != nil {
				continue
			}
			for _, v := range values {
				r := result{Value: v}
				_ = json.Unmarshal(v["original_width"], &r.Width) // 0 where there is none
				_ = json.Unmarshal(v["original_height"], &r.Height)
				list = append(list, r)
			}
			labelled = true
		}
		return list, labelled, nil
	}
	var notes []annotation
	for _, key := range []string{"annotations", "completions"} {
		if t[key] == nil {
			continue
		}
		if err := json.Unmarshal(t[key], &notes); err != nil {
			return nil, false, fmt.Errorf("%s: %s", key, lenient.Plain(err))
		}
	}
	newest := -1
	for i, a := range notes {
		if !bool(a.Cancelled || a.Skipped) && (newest < 0 || a.Created >= notes[newest].Created) {
			newest = i
		}
	}
	if newest < 0 {
		return nil, false, nil
	}
	return notes[newest].Results, true, nil
}

// address is what a task's data names as its picture.
func (t task) address() (string, bool) {
	var names []string
	for _, key := range append([]string{"image", "img", "picture"}, slices.Sorted(maps.Keys(t))...) {
		var text string
		if json.Unmarshal(t[key], &text) != nil || text == "" {
			continue
		}
		if text = localPart(text); dataset.IsPicture(text) {
			return text, true
		}
		if key == "image" {
			names = append(names, text)
		}
	}
	if len(names) > 0 {
		return names[0], true
	}
	return "", false
}

// localPart is the path in an address: of Label Studio's own (/data/local-files/?d=a/b.jpg), of
// cloud storage and of the web, unescaped.
func localPart(text string) string {
	if _, query, ok := strings.Cut(text, "?d="); ok {
		text, _, _ = strings.Cut(query, "&")
	} else if strings.Contains(text, "://") || strings.HasPrefix(text, "/data/") {
		text, _, _ = strings.Cut(text, "?")
	}
	if _, path, ok := strings.Cut(text, "://"); ok {
		text = path
	}
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// uploaded is what Label Studio puts before the name of a file that was uploaded.
var uploaded = regexp.MustCompile(`^[0-9a-f]{8}-`)

func findPicture(folders []string, name string) (string, bool) {
	path, ok := dataset.FindPicture(folders, name)
	if ok && disk.IsFile(path) {
		return path, true
	}
	base := name[strings.LastIndexAny(name, `/\`)+1:]
	if short := uploaded.ReplaceAllString(base, ""); short != base {
		if original, ok := dataset.FindPicture(folders, short); ok && disk.IsFile(original) {
			return original, true
		}
	}
	if !ok { // an address on a server, where only the name is of use
		return dataset.FindPicture(folders, base)
	}
	return path, ok
}

// objects are what a result says: one for each of its labels.
func (r *result) objects(place dataset.Problem) (list []dataset.Drawn) {
	var labels []string
	kind := ""
	for _, key := range slices.Sorted(maps.Keys(r.Value)) {
		var found []string
		if strings.HasSuffix(key, "labels") && json.Unmarshal(r.Value[key], &found) == nil {
			labels, kind = append(labels, found...), key
		}
	}
	if len(labels) == 0 {
		return nil // a choice, or a shape whose label is another result with the same shape
	}
	o := dataset.Drawn{Place: place}
	v := map[string]float64{}
	for _, key := range []string{"x", "y", "width", "height", "rotation", "radiusX", "radiusY"} {
		if text, ok := r.Value[key]; ok {
			var n lenient.Number
			_ = n.UnmarshalJSON(text) // NaN where it is no number
			v[key] = float64(n)
		}
	}
	w, h := float64(r.Width), float64(r.Height) // 100 % of them
	if o.Shares = !(w > 0 && h > 0); o.Shares {
		w, h = 1, 1
	}
	if o.Shares && v["rotation"] != 0 {
		o.Wrong = "is turned, and has no original_width and original_height"
	}
	px, py := w/100, h/100
	_, box := v["width"]
	_, ellipse := v["radiusX"]
	switch {
	case r.Value["rle"] != nil || kind == "brushlabels" || kind == "keypointlabels":
		o.Ignored = true
	case r.Value["points"] != nil:
		var points [][2]float64
		if json.Unmarshal(r.Value["points"], &points) != nil || len(points) < 3 {
			o.Wrong = "points: must be x and y of at least 3 points"
		}
		for _, p := range points {
			o.Outline = append(o.Outline, dataset.Point{X: p[0] * px, Y: p[1] * py})
		}
	case ellipse:
		o.Outline = turnedEllipse(v["x"]*px, v["y"]*py, v["radiusX"]*px, v["radiusY"]*py, v["rotation"])
	case box && v["rotation"] != 0:
		o.Outline = dataset.Corners(v["x"]*px, v["y"]*py, v["width"]*px, v["height"]*py, v["rotation"])
	case box:
		o.Box = [4]float64{v["x"] * px, v["y"] * py, v["width"] * px, v["height"] * py}
		if !(v["width"] > 0 && v["height"] > 0) {
			o.Wrong = fmt.Sprintf("width %v, height %v: must be over 0", v["width"], v["height"])
		}
	default:
		o.Ignored = true
	}
	for _, label := range labels {
		o.Name = label
		list = append(list, o)
	}
	return list
}

// turnedEllipse is its outline.
func turnedEllipse(x, y, rx, ry, degrees float64) (outline []dataset.Point) {
	const points = 72
	for i := range points {
		at := dataset.Corners(0, 0, rx, 0, 360*float64(i)/points)[1] // on a circle of radius rx
		p := dataset.Corners(0, 0, at.X, at.Y*ry/rx, degrees)[2]
		outline = append(outline, dataset.Point{X: x + p.X, Y: y + p.Y})
	}
	return outline
}
