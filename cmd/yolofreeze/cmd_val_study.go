package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// Tasks of val that are no splits: they measure each model by itself on split val.
const (
	taskSpeed = "speed"
	taskStudy = "study"
)

// study measures each model at --imgsz with the limits of detect (speed), or in sizes from
// 256 to 1536, of which it leaves a table a model, as YOLOv5 has it (study).
func (j *valJob) study(task string, models []*model.Model) error {
	sizes := []valSize{{pixels: flags.Size(j.c), conf: 0.25, iou: 0.45, alone: true}}
	dir := ""
	if task == taskStudy {
		sizes = nil
		for side := 256; side <= 1536; side += 128 {
			sizes = append(sizes, valSize{pixels: dataset.SizeOf(side, 0), conf: j.c.Float64("conf-thres"), iou: j.c.Float64("iou-thres"), alone: true})
		}
		in := flags.Inputs(j.c)
		in.Folders = j.set.Folders()
		var err error
		if dir, err = runs.NewFolder(j.c.String("project"), j.c.String("name"), j.c.Bool("exist-ok"), in); err != nil {
			return err
		}
	}
	for _, m := range models {
		if err := j.match(m); err != nil {
			return err
		}
		table := ""
		for _, size := range sizes {
			r, err := j.measure([]*model.Model{m}, size)
			if err != nil {
				return err
			}
			r.RunDir = dir
			if err := j.say(r); err != nil {
				return err
			}
			for _, v := range []float64{r.Precision, r.Recall, r.MAP50, r.MAP, 0, 0, 0, r.Speed.Pre, r.Speed.Inference, r.Speed.NMS} { // losses are not computed
				table += fmt.Sprintf("%10.4g ", v)
			}
			table = strings.TrimSuffix(table, " ") + "\n"
		}
		if dir == "" {
			continue
		}
		file := filepath.Join(dir, fmt.Sprintf("study_%s_%s.txt", stem(j.c.String("data")), stem(m.Path)))
		if err := disk.Put(file, disk.Bytes([]byte(table))); err != nil {
			return err
		}
		j.t.Logf("%s holds the table", file)
	}
	return nil
}

// say tells one measurement: a line of its own, or a row.
func (j *valJob) say(r *valResult) error {
	if j.t.JSON {
		return j.t.Stream(r)
	}
	_, err := term.Fprintf(j.t.Text(), "%s at %d pixels: P %.3g, R %.3g, mAP50 %.3g, mAP50-95 %.3g; %.1fms pre-process, %.1fms inference, %.1fms NMS per image\n",
		filepath.Base(r.Weights), r.ImageSize, r.Precision, r.Recall, r.MAP50, r.MAP, r.Speed.Pre, r.Speed.Inference, r.Speed.NMS)
	return err
}

// stem is a file's name without its ending.
func stem(path string) string { return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)) }

// valModels reads the models of --weights.
func valModels(c *cli.Context) (models []*model.Model, err error) {
	for _, given := range flags.List(c, "weights") {
		weights, err := weightsFile(c, given)
		if err != nil {
			return nil, err
		}
		m, err := model.LoadForVal(weights)
		if err != nil {
			return nil, term.BadInput(err)
		}
		models = append(models, m)
	}
	return models, nil
}

// sameClasses refuses an ensemble of models that do not know the same classes.
func sameClasses(models []*model.Model) error {
	for _, m := range models[1:] {
		if !slices.Equal(m.Names, models[0].Names) {
			return term.BadInputf("%s and %s: an ensemble's models have the same classes in one order, these have %d and %d, or other names", models[0].Path, m.Path, models[0].Net.NC, m.Net.NC)
		}
	}
	return nil
}

// ensembleSize rounds a size up to what all models take.
func ensembleSize(models []*model.Model, size dataset.Size) dataset.Size {
	for _, m := range models {
		size = size.Rounded(int(m.Net.MaxStride()), 1)
	}
	return size
}

// paths are the models' files.
func paths(models []*model.Model) string {
	list := make([]string, len(models))
	for i, m := range models {
		list[i] = m.Path
	}
	return strings.Join(list, " ")
}
