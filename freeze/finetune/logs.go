package finetune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/freeze/finetune/mlflow"
	"yolofreeze/freeze/finetune/tensorboard"
	"yolofreeze/freeze/runs"
)

// logger is told of a run. One that fails is told no more; the run goes on.
type logger interface {
	epoch(runs.Row) error
	end(t *training, cause error) error // cause is nil of a run that came to its end
}

// startLoggers opens TensorBoard's file, and MLflow's run where a server is named.
func (t *training) startLoggers() error {
	if t.o.Epochs == 0 {
		return nil
	}
	if w, err := tensorboard.Create(t.dir, t.p.Epoch); err != nil {
		t.r.Warnf("%v", err)
	} else {
		t.loggers = append(t.loggers, boardLogger{w})
	}
	if config, ok := mlflow.FromEnvironment(os.Getenv); ok {
		l, err := t.startMLflow(config)
		if err != nil {
			t.r.Warnf("%v; the run is not logged to MLflow", err)
			return nil
		}
		t.loggers = append(t.loggers, l)
	}
	return nil
}

// tell passes something on to all loggers, and lets go of those that fail.
func (t *training) tell(what func(logger) error) {
	t.loggers = slices.DeleteFunc(t.loggers, func(l logger) bool {
		err := what(l)
		if err != nil {
			t.r.Warnf("%v; no more is logged there", err)
		}
		return err != nil
	})
}

// stopLoggers says how the run ended.
func (t *training) stopLoggers(cause error) {
	t.tell(func(l logger) error { return l.end(t, cause) })
	t.loggers = nil
}

// boardLogger writes an event file for TensorBoard.
type boardLogger struct{ w *tensorboard.Writer }

func (l boardLogger) epoch(r runs.Row) error {
	var scalars []tensorboard.Scalar
	for i, v := range r.Values()[1:] {
		scalars = append(scalars, tensorboard.Scalar{Tag: runs.Columns[i+1], Value: v})
	}
	return l.w.Scalars(r.Epoch, scalars...)
}

// end adds what was drawn of the whole run.
func (l boardLogger) end(t *training, cause error) error {
	var errs []error
	names := []string{"results", "PR_curve", "F1_curve", "P_curve", "R_curve", "confusion_matrix"}
	for _, name := range names {
		encoded, err := os.ReadFile(t.picture(name + ".png"))
		if cause != nil || err != nil { // nothing drawn
			continue
		}
		errs = append(errs, l.w.Picture(max(t.p.Epoch-1, 0), name, encoded))
	}
	return errors.Join(append(errs, l.w.Close())...)
}

// mlflowName is the file that keeps the id of MLflow's run for when it goes on.
const mlflowName = "mlflow_run_id"

type mlflowLogger struct{ run *mlflow.Run }

func (t *training) startMLflow(c mlflow.Config) (logger, error) {
	if c.Experiment == "" {
		c.Experiment = filepath.ToSlash(t.o.Project)
	}
	path := filepath.Join(t.dir, mlflowName)
	id := ""
	if t.resumed != nil {
		text, _ := os.ReadFile(path)
		id = strings.TrimSpace(string(text))
	}
	run, err := mlflow.Start(c, filepath.Base(t.dir), id)
	if err != nil || id != "" {
		return mlflowLogger{run}, err
	}
	if err := runs.WriteFile(path, []byte(run.ID+"\n")); err != nil {
		return nil, err
	}
	params, err := t.o.named()
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for name, v := range params {
		texts[name] = fmt.Sprint(v)
	}
	return mlflowLogger{run}, run.Params(texts)
}

func (l mlflowLogger) epoch(r runs.Row) error {
	metrics := map[string]float64{}
	for i, v := range r.Values()[1:] {
		metrics[runs.Columns[i+1]] = v
	}
	return l.run.Metrics(r.Epoch, metrics)
}

// end tells failures from runs that stop to go on later.
func (l mlflowLogger) end(t *training, cause error) error {
	switch {
	case cause == nil:
		return l.run.End(mlflow.Finished)
	case t.interrupted:
		return l.run.End(mlflow.Killed)
	}
	return l.run.End(mlflow.Failed)
}
