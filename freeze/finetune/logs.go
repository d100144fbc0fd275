package finetune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yolofreeze/freeze/finetune/mlflow"
	"yolofreeze/freeze/finetune/tensorboard"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// logger is told of a run. One that fails is told no more; the run goes on.
type logger interface {
	epoch(context.Context, runs.Row) error
	end(context.Context, ending) error
}

// ending is how a run ended.
type ending struct {
	epochs      int   // done
	cause       error // nil of a run that came to its end
	interrupted bool  // its state was saved, to go on later
}

// loggers are told all that loggers are told.
type loggers struct {
	r    Reporter
	list []logger
}

// start opens TensorBoard's file, and MLflow's run where a server is named.
func (a *loggers) start(ctx context.Context, j *job, f *folder) {
	if w, err := tensorboard.Create(f.dir, j.begin().Epoch); err != nil {
		a.r.Warnf("%v", err)
	} else {
		a.list = append(a.list, boardLogger{w, f})
	}
	if config, ok := mlflow.FromEnvironment(os.Getenv); ok {
		l, err := startMLflow(ctx, config, j, f)
		if err != nil {
			a.r.Warnf("%v; the run is not logged to MLflow", err)
			return
		}
		a.list = append(a.list, l)
	}
}

// tell passes something on to all loggers, and lets go of those that fail.
func (a *loggers) tell(what func(logger) error) {
	a.list = slices.DeleteFunc(a.list, func(l logger) bool {
		err := what(l)
		if err != nil {
			a.r.Warnf("%v; no more is logged there", err)
		}
		return err != nil
	})
}

// epoch passes an epoch's row on.
func (a *loggers) epoch(ctx context.Context, r EpochResult) error {
	a.tell(func(l logger) error { return l.epoch(ctx, r.Row) })
	return nil
}

// stop says how the run ended.
func (a *loggers) stop(ctx context.Context, how ending) {
	a.tell(func(l logger) error { return l.end(ctx, how) })
	a.list = nil
}

// boardLogger writes an event file for TensorBoard.
type boardLogger struct {
	w *tensorboard.Writer
	*folder
}

func (l boardLogger) epoch(_ context.Context, r runs.Row) error {
	var scalars []tensorboard.Scalar
	for i, v := range r.Values()[1:] {
		scalars = append(scalars, tensorboard.Scalar{Tag: runs.Columns[i+1].Name, Value: v})
	}
	return l.w.Scalars(r.Epoch, scalars...)
}

// end adds what was drawn of the whole run.
func (l boardLogger) end(_ context.Context, how ending) error {
	var errs []error
	names := []string{"results", "PR_curve", "F1_curve", "P_curve", "R_curve", "confusion_matrix"}
	for _, name := range names {
		encoded, err := disk.Read(l.picture(name+".png"), 1<<30)
		if how.cause != nil || err != nil { // nothing drawn
			continue
		}
		errs = append(errs, l.w.Picture(max(how.epochs-1, 0), name, encoded))
	}
	return errors.Join(append(errs, l.w.Close())...)
}

// mlflowName is the file that keeps the id of MLflow's run for when it goes on.
const mlflowName = "mlflow_run_id"

type mlflowLogger struct {
	run *mlflow.Run
	r   Reporter
	*folder
}

func startMLflow(ctx context.Context, c mlflow.Config, j *job, f *folder) (logger, error) {
	ctx, cancel := withGrace(ctx)
	defer cancel()
	if c.Experiment == "" {
		c.Experiment = filepath.ToSlash(j.o.Project)
	}
	path := filepath.Join(f.dir, mlflowName)
	id := ""
	if j.resumed != nil {
		text, _ := disk.Read(path, 1<<10)
		id = strings.TrimSpace(string(text))
	}
	run, err := mlflow.Start(ctx, c, filepath.Base(f.dir), id)
	if err != nil || id != "" {
		return mlflowLogger{run, j.r, f}, err
	}
	if err := runs.WriteFile(path, []byte(run.ID+"\n")); err != nil {
		return nil, err
	}
	params, err := j.o.Named()
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for name, v := range params {
		texts[name] = fmt.Sprint(v)
	}
	return mlflowLogger{run, j.r, f}, run.Params(ctx, texts)
}

func (l mlflowLogger) epoch(ctx context.Context, r runs.Row) error {
	ctx, cancel := withGrace(ctx)
	defer cancel()
	metrics := map[string]float64{}
	for i, v := range r.Values()[1:] {
		metrics[runs.Columns[i+1].Name] = v
	}
	return l.run.Metrics(ctx, r.Epoch, metrics)
}

// end tells failures from runs that stop to go on later. The server gets the files of those
// that came to their end.
func (l mlflowLogger) end(ctx context.Context, how ending) error {
	graceful, cancel := withGrace(ctx)
	defer cancel()
	switch {
	case how.cause == nil:
		uploaded := l.upload(ctx)
		return errors.Join(uploaded, l.run.End(graceful, mlflow.Finished))
	case how.interrupted:
		return l.run.End(graceful, mlflow.Killed)
	}
	return l.run.End(graceful, mlflow.Failed)
}

// artifacts are the files of a run that MLflow is handed.
var artifacts = []string{"*.csv", "*.yaml", "*.json", "*.png", "*.jpg", "weights/best.*"}

func (l mlflowLogger) upload(ctx context.Context) error {
	files, bytes := []string{}, int64(0)
	for _, pattern := range artifacts {
		for _, file := range disk.Glob(l.dir, pattern) {
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				files, bytes = append(files, file), bytes+info.Size()
			}
		}
	}
	l.r.Logf("handing %d files to MLflow: %s", len(files), sizeText(bytes))
	for _, file := range files {
		name, err := filepath.Rel(l.dir, file)
		if err == nil {
			err = l.run.Artifact(ctx, filepath.ToSlash(name), file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withGrace is a context that ends a second after another: a server hears why a run ends,
// but cannot hold it up.
func withGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	graceful, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, cancel) })
	return graceful, func() { stop(); cancel() }
}
