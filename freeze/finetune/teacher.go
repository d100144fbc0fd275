package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yolov5/loss"
)

// teacher is the older model whose classes a run keeps. The run's classes are the teacher's, in its
// order, and behind them those of the data that it does not have. On classes of the data
// labels decide, on the others the teacher. nil is a run without one.
type teacher struct {
	model    *model.Model
	source   artifact.Source
	labelled []string // the data's own classes
}

// openTeacher reads the teacher. A resumed run takes none but the one that it was started
// with: the checksum tells before anything in the file is looked at.
func (j *job) openTeacher(ctx context.Context) (err error) {
	path := j.o.Teacher
	var was artifact.Source
	if j.resumed != nil {
		was = j.resumed.Teacher
		if err := sameTeacher(was, path); err != nil {
			return err
		}
	}
	if path == "" {
		return nil
	}
	if j.kept != nil {
		return &disk.InputError{Path: j.o.Weights, Err: errors.New("its old branches stay as they are and need no teacher")}
	}
	t := &teacher{}
	if t.source, err = heeding(ctx, func() (artifact.Source, error) { return model.SourceOf(path) }); err != nil {
		return readFault(ctx, err)
	}
	if was.SHA256 != "" && t.source.SHA256 != was.SHA256 {
		if !j.o.Force {
			return &checkpoint.Error{Reason: fmt.Sprintf("%s: not the teacher that the run was started with, %s of SHA-256 %s", path, was.File, was.SHA256),
				Cure: "name it by `teacher`, where it lies elsewhere now, or resume with `force`"}
		}
		j.r.Warnf("%s: not the teacher that the run was started with", path)
	}
	if t.model, err = heeding(ctx, func() (*model.Model, error) { return model.Load(path) }); err != nil {
		return readFault(ctx, err)
	}
	if n := len(t.model.Net.Detects()); n > 1 {
		return &disk.InputError{Path: path, Err: fmt.Errorf("no teacher: it has %d branches, not one", n)}
	}
	if err := loss.SameCells(t.model.Net, j.model.Net); err != nil {
		return &disk.InputError{Path: path, Err: fmt.Errorf("no teacher for %s, whose cells are others: %w", j.o.Weights, err)}
	}
	j.teacher = t
	return nil
}

// sameTeacher refuses to take a teacher away, or to add one.
func sameTeacher(was artifact.Source, path string) error {
	switch {
	case was.SHA256 == "" && path != "":
		return &checkpoint.Error{Reason: fmt.Sprintf("teacher %s: the resumed run has none", path), Cure: "leave `teacher` out, or start a new run with `weights` and this file"}
	case was.SHA256 != "" && path == "":
		return &options.Error{Reason: fmt.Sprintf("the resumed run has a teacher, %s: it cannot go on without", was.File)}
	}
	return nil
}

// join gives the data the classes of the run.
func (t *teacher) join(set *dataset.Set) {
	if t == nil {
		return
	}
	t.labelled = set.Names
	set.JoinNames(t.model.Names)
}

// kept are the classes on which the teacher decides.
func (t *teacher) kept() []string {
	return slices.DeleteFunc(slices.Clone(t.model.Names), func(name string) bool { return slices.Contains(t.labelled, name) })
}

// fit makes the head for the classes of the run. Those that the weights have keep what they have learnt.
func (t *teacher) fit(j *job) error {
	kept := t.kept()
	if len(kept) == 0 {
		return &disk.InputError{Path: t.model.Path, Err: fmt.Errorf("the teacher has no class that the data lack: %s", dataset.ListNames(t.model.Names))}
	}
	m, fresh, err := model.WithClasses(j.model, j.set.Names, j.o.Seed)
	if err != nil {
		return err
	}
	if j.resumed != nil && m != j.model {
		return &disk.InputError{Path: j.set.Path, Err: errors.New("with the teacher's, its classes are not those of the run")}
	}
	j.model = m
	if j.resumed != nil {
		return nil
	}
	j.r.Logf("teacher %s: %d of its classes are kept beside %d of the data, %d in all; labels decide on %s, the teacher on %s",
		t.source.File, len(kept), len(t.labelled), len(j.set.Names), dataset.ListNames(t.labelled), dataset.ListNames(kept))
	j.r.Logf("the head keeps its weights but for new classes: %s", cmp.Or(strings.Join(fresh, ", "), "none"))
	for _, note := range m.Notes() {
		j.r.Logf("%s", note)
	}
	return nil
}

// step is the teacher as training graphs take it.
func (t *teacher) step(j *job) *step.Teacher {
	if t == nil {
		return nil
	}
	s := &step.Teacher{Net: t.model.Net, State: t.model.State, Weight: j.o.TeacherWeight}
	for _, name := range t.model.Names {
		column := -1
		if !slices.Contains(t.labelled, name) {
			column = slices.Index(j.set.Names, name)
		}
		s.Columns = append(s.Columns, column)
	}
	return s
}

// limit lets features be cached as far as the teacher can begin from them, too.
func (t *teacher) limit(j *job, plan *freeze.Plan, cut *step.Cut) error {
	if t == nil || cut.Layers == 0 {
		return nil
	}
	shared := t.step(j).Shared(j.model.Net, j.model.State, plan)
	if cut.Layers = min(cut.Layers, shared); cut.Layers == 0 {
		return &disk.InputError{Path: t.model.Path, Err: fmt.Errorf("`cache-features` with a teacher keeps what first layers put out for both, and those of %s are not the teacher's", j.o.Weights)}
	}
	return nil
}

// origin says which file the teacher is.
func (t *teacher) origin() artifact.Source {
	if t == nil {
		return artifact.Source{}
	}
	return t.source
}
