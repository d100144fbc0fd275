package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/finetune"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// detectionSaver writes detections of val as YOLO labels, one file a picture,
// and as COCO results, and has the folder for plots.
type detectionSaver struct {
	dir        string
	text, conf bool
	results    string // of the JSON file, "" for none
	categories []int
	rows       []cocoResult
}

// cocoResult is a row of COCO's results format.
type cocoResult struct {
	Image    any        `json:"image_id"` // the file's name, as a number where it is one
	Category int        `json:"category_id"`
	Box      [4]float64 `json:"bbox"` // left, top, width, height
	Score    float64    `json:"score"`
}

// newDetectionSaver makes the run's folder if anything is to be saved, else it returns nil.
func newDetectionSaver(c *cli.Context, names []string, in disk.Inputs) (*detectionSaver, error) {
	s := &detectionSaver{text: c.Bool("save-txt"), conf: c.Bool("save-conf"), categories: cocoCategories(names)}
	if c.Bool("save-json") {
		weights := filepath.Base(c.String("weights"))
		s.results = strings.TrimSuffix(weights, filepath.Ext(weights)) + "_predictions.json"
	}
	if !s.text && s.results == "" && !c.Bool("plots") {
		return nil, nil
	}
	var err error
	s.dir, err = runs.NewFolder(c.String("project"), c.String("name"), c.Bool("exist-ok"), in)
	if err == nil && s.text {
		err = os.MkdirAll(filepath.Join(s.dir, "labels"), 0o777)
	}
	return s, err
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

func (s *detectionSaver) add(f finetune.Found) error {
	stem := strings.TrimSuffix(filepath.Base(f.Sample.Path), filepath.Ext(f.Sample.Path))
	var text strings.Builder
	for _, d := range f.Detections {
		if s.text {
			text.WriteString(yoloLine(d, f.Sample.Width, f.Sample.Height, s.conf))
		}
		if s.results != "" {
			s.rows = append(s.rows, s.result(stem, d))
		}
	}
	if text.Len() == 0 {
		return nil
	}
	if err := os.WriteFile(filepath.Join(s.dir, "labels", stem+".txt"), []byte(text.String()), 0o666); err != nil {
		return fmt.Errorf("saving detections: %w", err)
	}
	return nil
}

// yoloLine is a detection as a line of a label file.
func yoloLine(d metric.Detection, width, height int, conf bool) string {
	w, h := float32(width), float32(height)
	line := fmt.Sprintf("%d %g %g %g %g", d.Class, (d.X1+d.X2)/2/w, (d.Y1+d.Y2)/2/h, (d.X2-d.X1)/w, (d.Y2-d.Y1)/h)
	if conf {
		line += fmt.Sprintf(" %g", d.Conf)
	}
	return line + "\n"
}

func (s *detectionSaver) result(stem string, d metric.Detection) cocoResult {
	rounded := func(v float32, digits float64) float64 { return math.Round(float64(v)*digits) / digits }
	r := cocoResult{Image: stem, Category: s.categories[d.Class], Score: rounded(d.Conf, 1e5),
		Box: [4]float64{rounded(d.X1, 1e3), rounded(d.Y1, 1e3), rounded(d.X2-d.X1, 1e3), rounded(d.Y2-d.Y1, 1e3)}}
	if id, err := strconv.Atoi(stem); err == nil {
		r.Image = id
	}
	return r
}

// finish writes what was gathered and returns the folder.
func (s *detectionSaver) finish() (string, error) {
	if s.results == "" {
		return s.dir, nil
	}
	data, err := json.Marshal(s.rows)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, s.results), data, 0o666)
	}
	if err != nil {
		return "", fmt.Errorf("saving detections: %w", err)
	}
	return s.dir, nil
}
