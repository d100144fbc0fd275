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

// artist draws a run for those who look at it.
type artist struct {
	*job
	*folder
	clock *clock
}

// look does what a run does for those who look at it: should it fail, the run goes on.
func (a *artist) look(do func() error) {
	if a.o.NoPlots {
		return
	}
	start := time.Now()
	defer func() {
		a.clock.saving += time.Since(start)
		if p := recover(); p != nil {
			a.r.Warnf("draw: %v", p)
		}
	}()
	if err := do(); err != nil {
		a.r.Warnf("%v", err)
	}
}

// labels shows what is trained on.
func (a *artist) labels() {
	train := a.all
	a.look(func() error { return plot.Labels(a.picture("labels.jpg"), train, a.model.Names) })
	a.look(func() error { return plot.Correlogram(a.picture("labels_correlogram.jpg"), train) })
}

// trainSheet shows one of the run's first batches.
func (a *artist) trainSheet(index int, b *loader.Batch) {
	a.look(func() error { return plot.TrainBatch(a.dir, index, b, a.model.Names, a.set.Splits["train"]) })
}

// best validates the best weights once more, to draw what they find.
func (a *artist) best(ctx context.Context, v *validate.Validator, best *model.Model) {
	if a.o.NoPlots {
		return
	}
	a.r.Logf("Validating %s", a.weights(bestName))
	start := time.Now()
	v.Seen = func(index int, b *loader.Batch, found [][]metric.Detection) {
		a.look(func() error { return plot.ValBatch(a.dir, index, b, found, a.model.Names, a.set.Splits["val"]) })
	}
	e, err := v.Run(ctx, best, a.o.Runtime)
	v.Seen = nil
	a.clock.validation += time.Since(start)
	if err != nil {
		a.r.Warnf("curves and sheets of the best weights are missing: %v", err)
		return
	}
	a.logTable(e)
	for name, draw := range plot.Evaluation(&e.Result, a.model.Names) {
		a.look(func() error { return draw(a.picture(name)) })
	}
}

// logTable says what the best weights find, by class unless these are many.
func (a *artist) logTable(e *validate.Evaluation) {
	row := func(name string, images, instances int, p, r, map50, mAP float64) {
		a.r.Logf("%22s%11d%11d%11.3g%11.3g%11.3g%11.3g", name, images, instances, p, r, map50, mAP)
	}
	a.r.Logf("%22s%11s%11s%11s%11s%11s%11s", "Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
	row("all", e.Images, e.Instances, e.Precision, e.Recall, e.MAP50, e.MAP)
	if len(a.model.Names) >= longTable || len(a.model.Names) < 2 {
		return
	}
	for _, c := range e.Classes(a.model.Names) {
		row(c.Name, c.Images, c.Instances, c.Precision, c.Recall, c.AP50, c.AP)
	}
}

// panels are the columns of results.csv, by index, in the order that they are drawn in:
// losses, precision and recall above, losses of validation and mAP below.
var panels = [plot.Panels]int{1, 2, 3, 4, 5, 8, 9, 10, 6, 7}

// results draws every results*.csv of a run's folder over the others.
func (a *artist) results() error {
	var series []plot.Series
	for _, path := range disk.Glob(a.dir, "results*.csv") {
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
	return plot.Results(a.picture("results.png"), titles, series)
}
