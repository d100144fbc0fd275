package finetune

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/finetune/plot"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/disk"
)

// longTable is the number of classes from which on the last validation lists only the mean.
const longTable = 50

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
	t.look(func() error { return plot.TrainBatch(t.dir, index, b, t.model.Names, t.set.Splits["train"]) })
}

// lookAtBest validates the best weights once more, to draw what they find.
func (t *training) lookAtBest(ctx context.Context, best *model.Model) {
	if t.o.NoPlots {
		return
	}
	t.r.Logf("Validating %s", t.weights(bestName))
	start := time.Now()
	t.validator.Seen = func(index int, b *loader.Batch, found [][]metric.Detection) {
		t.look(func() error { return plot.ValBatch(t.dir, index, b, found, t.model.Names, t.set.Splits["val"]) })
	}
	e, err := t.validator.Run(ctx, best, t.o.Runtime)
	t.validator.Seen = nil
	t.clock.validation += time.Since(start)
	if err != nil {
		t.r.Warnf("curves and sheets of the best weights are missing: %v", err)
		return
	}
	t.logTable(e)
	for name, draw := range plot.Evaluation(&e.Result, t.model.Names) {
		t.look(func() error { return draw(t.picture(name)) })
	}
}

// logTable says what the best weights find, by class unless these are many.
func (t *training) logTable(e *validate.Evaluation) {
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
