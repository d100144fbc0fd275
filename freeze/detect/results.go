package detect

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/dataset/metric"
	"yolofreeze/onnx/disk"
)

// Results gathers the detections of a validation: YOLO labels, one file a picture, and
// COCO results, which Finish writes.
type Results struct {
	o          ResultsOptions
	categories []int
	rows       []cocoResult
}

// ResultsOptions say what is written of a validation's detections.
type ResultsOptions struct {
	Dir  string // that is there
	Text bool   // labels
	Conf bool   // with their confidence
	File string // of COCO results in Dir, "" for none
}

// cocoResult is a row of COCO's results format.
type cocoResult struct {
	Image    any        `json:"image_id"` // the file's name, as a number where it is one
	Category int        `json:"category_id"`
	Box      [4]float64 `json:"bbox"` // left, top, width, height
	Score    float64    `json:"score"`
}

// NewResults is for detections of the classes names.
func NewResults(o ResultsOptions, names []string) (*Results, error) {
	if o.Text {
		if _, err := disk.Folder(o.Dir, "labels"); err != nil {
			return nil, fmt.Errorf("saving detections: %w", err)
		}
	}
	return &Results{o: o, categories: cocoCategories(names)}, nil
}

// cocoCategories maps classes to COCO's ids, which leave out eleven of the
// first ninety, when the classes are COCO's eighty; else to themselves.
func cocoCategories(names []string) []int {
	ids := make([]int, len(names))
	coco := len(names) == 80 && names[0] == "person" && names[79] == "toothbrush"
	missing, id := " 12 26 29 30 45 66 68 69 71 83 ", 0
	for i := range ids {
		ids[i] = i
		if coco {
			for id++; strings.Contains(missing, fmt.Sprintf(" %d ", id)); id++ {
			}
			ids[i] = id
		}
	}
	return ids
}

// Add takes the detections of one picture of width by height pixels.
func (s *Results) Add(path string, width, height int, found []metric.Detection) error {
	stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if s.o.File != "" {
		for _, d := range found {
			s.rows = append(s.rows, s.result(stem, d))
		}
	}
	if !s.o.Text {
		return nil
	}
	if err := putLabels(s.o.Dir, stem, found, width, height, s.o.Conf, yoloLine); err != nil {
		return fmt.Errorf("saving detections: %w", err)
	}
	return nil
}

// putLabels writes the label file of a picture in a run's folder; where nothing was found, none.
func putLabels(dir, stem string, found []metric.Detection, width, height int, conf bool, line labelLine) error {
	if len(found) == 0 {
		return nil
	}
	var text strings.Builder
	for _, d := range found {
		text.WriteString(line(d, width, height, conf))
	}
	return disk.Put(filepath.Join(dir, "labels", stem+".txt"), disk.Bytes([]byte(text.String())))
}

// labelLine is how a detection is a line of a label file.
type labelLine func(d metric.Detection, width, height int, conf bool) string

// yoloLine has centre and size as shares of the picture's.
func yoloLine(d metric.Detection, width, height int, conf bool) string {
	w, h := float32(width), float32(height)
	return withConf(fmt.Sprintf("%d %g %g %g %g", d.Class, (d.X1+d.X2)/2/w, (d.Y1+d.Y2)/2/h, (d.X2-d.X1)/w, (d.Y2-d.Y1)/h), d, conf)
}

// cornerLine has left, top, right and bottom as shares of the picture's sides.
func cornerLine(d metric.Detection, width, height int, conf bool) string {
	w, h := float32(width), float32(height)
	return withConf(fmt.Sprintf("%d %g %g %g %g", d.Class, d.X1/w, d.Y1/h, d.X2/w, d.Y2/h), d, conf)
}

func withConf(line string, d metric.Detection, conf bool) string {
	if conf {
		line += fmt.Sprintf(" %g", d.Conf)
	}
	return line + "\n"
}

func (s *Results) result(stem string, d metric.Detection) cocoResult {
	r := cocoResult{Image: stem, Category: s.categories[d.Class], Score: rounded(d.Conf, 1e5),
		Box: [4]float64{rounded(d.X1, 1e3), rounded(d.Y1, 1e3), rounded(d.X2-d.X1, 1e3), rounded(d.Y2-d.Y1, 1e3)}}
	if id, err := strconv.Atoi(stem); err == nil {
		r.Image = id
	}
	return r
}

// Finish writes what was gathered.
func (s *Results) Finish() error {
	if s.o.File == "" {
		return nil
	}
	data, err := json.Marshal(s.rows)
	if err == nil {
		err = disk.Write(filepath.Join(s.o.Dir, s.o.File), data)
	}
	if err != nil {
		return fmt.Errorf("saving detections: %w", err)
	}
	return nil
}
