package finetune

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/finetune/plot"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

const (
	sheets    = 3   // batches of each kind that are drawn
	sheetConf = .25 // of detections, at least
	longTable = 50  // classes from which on the last validation lists only the mean
)

// look does what a run does for those who look at it: should it fail, the run goes on.
func (t *training) look(do func() error) {
	if t.o.NoPlots {
		return
	}
	start := time.Now()
	defer func() {
		t.clock.saving += time.Since(start)
		if p := recover(); p != nil {
			t.r.Warnf("draw: %v", p)
		}
	}()
	if err := do(); err != nil {
		t.r.Warnf("%v", err)
	}
}

// picture is the path of a picture in the run's folder.
func (t *training) picture(name string) string { return filepath.Join(t.dir, name) }

// drawLabels shows what is trained on.
func (t *training) drawLabels() error {
	if t.resumed != nil {
		return nil
	}
	train := t.set.Splits["train"]
	t.look(func() error { return plot.Labels(t.picture("labels.jpg"), train, t.model.Names) })
	t.look(func() error { return plot.Correlogram(t.picture("labels_correlogram.jpg"), train) })
	return nil
}

// drawTrainSheet shows one of the run's first batches.
func (t *training) drawTrainSheet(index int, b *loader.Batch) {
	if index >= sheets {
		return
	}
	t.look(func() error {
		path := t.picture(fmt.Sprintf("train_batch%d.jpg", index))
		return b.WriteSheet(path, b.Marks(), t.model.Names, titles(b, t.set.Splits["train"]))
	})
}

// DrawValBatch shows labels and detections of one of the first batches in pictures of a folder.
func DrawValBatch(dir string, index int, b *loader.Batch, found [][]metric.Detection, names []string, samples []dataset.Sample) error {
	if index >= sheets {
		return nil
	}
	var marks []loader.Mark
	for i, dets := range found {
		for _, d := range dets {
			if d.Conf > sheetConf {
				marks = append(marks, loader.Mark{Image: i, Class: d.Class, X1: d.X1, Y1: d.Y1, X2: d.X2, Y2: d.Y2, Conf: d.Conf})
			}
		}
	}
	files := titles(b, samples)
	sheet := func(kind string, marks []loader.Mark) error {
		return b.WriteSheet(filepath.Join(dir, fmt.Sprintf("val_batch%d_%s.jpg", index, kind)), marks, names, files)
	}
	return errors.Join(sheet("labels", b.Marks()), sheet("pred", marks))
}

// EvaluationPlots draw what a validation found, curves and the confusion matrix, by the
// names of their files.
func EvaluationPlots(e *Evaluation, names []string) map[string]func(path string) error {
	plots := map[string]func(string) error{
		"PR_curve.png":         func(path string) error { return plot.PrecisionRecall(path, &e.Result, names) },
		"confusion_matrix.png": func(path string) error { return plot.Confusion(path, &e.Confusion, names) },
	}
	for name, curve := range map[string]plot.Curve{"F1": plot.F1, "P": plot.Precision, "R": plot.Recall} {
		plots[name+"_curve.png"] = func(path string) error { return plot.OverConfidence(path, &e.Result, names, curve) }
	}
	return plots
}

// titles are the names of a batch's files.
func titles(b *loader.Batch, samples []dataset.Sample) []string {
	list := make([]string, len(b.Samples))
	for i, s := range b.Samples {
		list[i] = filepath.Base(samples[s].Path)
	}
	return list
}

// lookAtBest validates the best weights once more, to draw what they find.
func (t *training) lookAtBest(ctx context.Context, best *model.Model) {
	if t.o.NoPlots {
		return
	}
	t.r.Logf("Validating %s", t.weights(bestName))
	start := time.Now()
	t.validator.Seen = func(index int, b *loader.Batch, found [][]metric.Detection) {
		t.look(func() error { return DrawValBatch(t.dir, index, b, found, t.model.Names, t.set.Splits["val"]) })
	}
	e, err := t.validator.Run(ctx, best.Net, best.State, t.o.Runtime)
	t.validator.Seen = nil
	t.clock.validation += time.Since(start)
	if err != nil {
		t.r.Warnf("curves and sheets of the best weights are missing: %v", err)
		return
	}
	t.logTable(e)
	for name, draw := range EvaluationPlots(e, t.model.Names) {
		t.look(func() error { return draw(t.picture(name)) })
	}
}

// logTable says what the best weights find, by class unless these are many.
func (t *training) logTable(e *Evaluation) {
	row := func(name string, images, instances int, p, r, map50, mAP float64) {
		t.r.Logf("%22s%11d%11d%11.3g%11.3g%11.3g%11.3g", name, images, instances, p, r, map50, mAP)
	}
	t.r.Logf("%22s%11s%11s%11s%11s%11s%11s", "Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
	row("all", e.Images, e.Instances, e.Precision, e.Recall, e.MAP50, e.MAP)
	if len(t.model.Names) >= longTable || len(t.model.Names) < 2 {
		return
	}
	for _, c := range e.Classes(t.model.Names) {
		row(c.Name, c.Images, c.Instances, c.Precision, c.Recall, c.AP50, c.AP)
	}
}

// panels are the columns of results.csv, by index, in the order that they are drawn in:
// losses, precision and recall above, losses of validation and mAP below.
var panels = [plot.Panels]int{1, 2, 3, 4, 5, 8, 9, 10, 6, 7}

// drawResults draws every results*.csv of a run's folder over the others.
func drawResults(dir string) error {
	var series []plot.Series
	for _, path := range disk.Glob(dir, "results*.csv") {
		curve, _, err := runs.ReadCurve(path)
		if err != nil {
			return fmt.Errorf("draw results.png: %w", err)
		}
		s := plot.Series{Name: strings.TrimSuffix(filepath.Base(path), ".csv")}
		for i := range curve {
			s.Epochs = append(s.Epochs, float64(curve[i].Epoch))
			for k, column := range panels {
				s.Values[k] = append(s.Values[k], float64(*runs.Columns[column].Of(&curve[i])))
			}
		}
		series = append(series, s)
	}
	var titles [plot.Panels]string
	for i, column := range panels {
		titles[i] = runs.Columns[column].Name
	}
	return plot.Results(filepath.Join(dir, "results.png"), titles, series)
}
