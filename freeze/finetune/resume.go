package finetune

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// resume takes up an earlier run: its options, but for those that may change, and its progress.
func (j *job) resume() error {
	s, o := j.resumed, j.o
	if len(o.Withheld) > 0 {
		return &checkpoint.Error{Reason: fmt.Sprintf("resume from %s: it asks for %s, which a file may not decide", o.ResumeFrom, strings.Join(o.Withheld, " and ")),
			Cure: "give the flags again if the run is yours, or others: a provider's library and options can run any code"}
	}
	if s.Damaged != nil {
		j.r.Warnf("%v: going on from the state saved before it, epoch %d, batch %d", s.Damaged, s.Progress.Epoch, s.Progress.Batch)
	}
	j.keepOrigin(s)
	o.Freeze, o.Plans = o.Kept().Freeze, s.Options.Plans
	o.LRDecay = cmp.Or(o.LRDecay, s.Options.LRDecay) // 0 is what was not given
	list, err := s.Options.Differences(&o.Options)
	if err != nil {
		return err
	}
	if len(list) > 0 && !o.Force {
		return &checkpoint.Error{Reason: fmt.Sprintf("resume from %s: other options than the run was started with: %s", s.Path, strings.Join(list, "; ")),
			Cure: "leave these flags out, or resume with `force`; or start a new run with `weights` and this file"}
	}
	for _, d := range list {
		j.r.Warnf("resuming with %s", d)
	}
	if p := s.Progress; (p.Epoch >= o.Epochs || p.Stopped) && disk.IsFile(filepath.Join(s.Dir(), runs.SummaryFile)) {
		return &disk.InputError{Path: s.Path, Err: fmt.Errorf("the run has finished: %d of %d epochs are done", p.Epoch, o.Epochs)}
	}
	return nil
}

// keepOrigin leaves aside what a resumed run cannot have anew: the weights that it began
// with, and its place.
func (j *job) keepOrigin(s *checkpoint.State) {
	aside := func(name string, now *string, was string) {
		if *now != was {
			j.r.Warnf("`%s %s` is left aside: the resumed run has %s", name, *now, was)
			*now = was
		}
	}
	if within(s.Dir(), j.o.Project) {
		j.o.Project = s.Options.Project // where the newest run was looked for
	}
	aside("weights", &j.o.Weights, s.Options.Weights)
	aside("project", &j.o.Project, s.Options.Project)
	aside("name", &j.o.Name, s.Options.Name)
}

// within reports whether dir lies in a folder.
func within(dir, folder string) bool {
	inner, err := filepath.Abs(dir)
	outer, err2 := filepath.Abs(folder)
	rel, err3 := filepath.Rel(outer, inner)
	return errors.Join(err, err2, err3) == nil && filepath.IsLocal(rel)
}

// stagesOf are the plans of a run with such options.
func stagesOf(o options.Options, m *model.Model) ([]freeze.Stage, error) {
	request, err := freeze.ParseRequest(o.Freeze, o.BN, o.Unfreeze, o.LRScale)
	if err != nil {
		return nil, err
	}
	net, err := m.Freezable()
	if err != nil {
		return nil, err
	}
	settings := &options.Settings{Options: o, Frozen: request}
	return settings.Stages(net)
}

// planLine says in a line what is frozen from a place of the run on.
func planLine(epoch, batch int, o *options.Options, stages []freeze.Stage) string {
	text := fmt.Sprintf("epoch %d", epoch)
	if batch > 0 {
		text += fmt.Sprintf(", batch %d", batch)
	}
	text += ": freeze " + cmp.Or(strings.Join(o.Freeze, ","), "nothing")
	for _, more := range []struct {
		name   string
		values []string
	}{{"bn", o.BN}, {"unfreeze", o.Unfreeze}} {
		if len(more.values) > 0 {
			text += ", " + more.name + " " + strings.Join(more.values, ",")
		}
	}
	if len(stages) > 0 {
		text += fmt.Sprintf(" (%v)", stages[0].Plan.Summary())
	}
	return text
}
