package finetune

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

// resume takes up an earlier run: its options, but for those that may change, and its progress.
func (t *training) resume() error {
	if o := t.o; len(o.Withheld) > 0 {
		return &resumeError{fmt.Sprintf("resume from %s: it asks for %s, which a file may not decide", o.ResumeFrom, strings.Join(o.Withheld, " and ")),
			"give the flags again if the run is yours, or others: a provider's library and options can run any code"}
	}
	s, err := readSaved(t.o.ResumeFrom)
	if err != nil {
		return err
	}
	if s.damaged != nil {
		t.r.Warnf("%v: going on from the state saved before it, epoch %d, batch %d", s.damaged, s.info.Progress.Epoch, s.info.Progress.Batch)
	}
	t.keepOrigin(s)
	t.o.Freeze, t.o.Plans = t.o.Kept().Freeze, s.options.Plans
	t.o.LRDecay = cmp.Or(t.o.LRDecay, s.options.LRDecay) // 0 is what was not given
	list, err := s.options.Differences(&t.o.Options)
	if err != nil {
		return err
	}
	if len(list) > 0 && !t.o.Force {
		return &resumeError{fmt.Sprintf("resume from %s: other options than the run was started with: %s", s.path, strings.Join(list, "; ")),
			"leave these flags out, or resume with `force`; or start a new run with `weights` and this file"}
	}
	for _, d := range list {
		t.r.Warnf("resuming with %s", d)
	}
	t.resumed, t.p = s, s.info.Progress
	if done := t.p.Epoch >= t.o.Epochs || t.p.Stopped; done && disk.IsFile(filepath.Join(s.runDir(), runs.SummaryFile)) {
		return &disk.InputError{Path: s.path, Err: fmt.Errorf("the run has finished: %d of %d epochs are done", t.p.Epoch, t.o.Epochs)}
	}
	return nil
}

// keepOrigin leaves aside what a resumed run cannot have anew: the weights that it began
// with, and its place.
func (t *training) keepOrigin(s *saved) {
	aside := func(name string, now *string, was string) {
		if *now != was {
			t.r.Warnf("`%s %s` is left aside: the resumed run has %s", name, *now, was)
			*now = was
		}
	}
	if within(s.runDir(), t.o.Project) {
		t.o.Project = s.options.Project // where the newest run was looked for
	}
	aside("weights", &t.o.Weights, s.options.Weights)
	aside("project", &t.o.Project, s.options.Project)
	aside("name", &t.o.Name, s.options.Name)
}

// within reports whether dir lies in a folder.
func within(dir, folder string) bool {
	inner, err := filepath.Abs(dir)
	outer, err2 := filepath.Abs(folder)
	rel, err3 := filepath.Rel(outer, inner)
	return errors.Join(err, err2, err3) == nil && filepath.IsLocal(rel)
}

// notePlan writes down that a resumed run freezes something else from now on.
func (t *training) notePlan() error {
	if t.resumed == nil || t.p.Epoch == 0 && t.p.Batch == 0 {
		return nil
	}
	before := t.resumed.options
	before.ResumeFrom, before.Epochs = t.o.ResumeFrom, max(before.Epochs, t.o.Epochs)
	stages, err := stagesOf(before, t.model)
	if err != nil { // a file of selectors that has gone: the text tells
		if slices.Equal(before.Freeze, t.o.Freeze) {
			return err
		}
	} else if slices.EqualFunc(stages, t.stages, func(a, b freeze.Stage) bool { return a.Epoch == b.Epoch && a.Plan.Same(b.Plan) }) {
		return nil
	}
	if len(t.o.Plans) == 0 {
		t.o.Plans = []string{planLine(0, 0, &before, stages)}
	}
	t.o.Plans = append(t.o.Plans, planLine(t.p.Epoch, t.p.Batch, &t.o.Options, t.stages))
	old := fmt.Sprintf("freeze-until-epoch%d.yaml", t.p.Epoch)
	if t.p.Batch > 0 {
		old = fmt.Sprintf("freeze-until-epoch%d-batch%d.yaml", t.p.Epoch, t.p.Batch)
	}
	t.r.Warnf("the run freezes something else from epoch %d on: freeze.yaml, opt.yaml and %s say what until when; compare takes it for neither", t.p.Epoch, runs.SummaryFile)
	if err != nil {
		return nil
	}
	return runs.WriteFile(filepath.Join(t.dir, old), planFile(stages, before.Unfreeze))
}

func stagesOf(o options.Options, m *model.Model) ([]freeze.Stage, error) {
	settings, err := o.Parse()
	if err != nil {
		return nil, err
	}
	net, err := m.Freezable()
	if err != nil {
		return nil, err
	}
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

// resumeError says why no run resumes as it was asked for.
type resumeError struct{ reason, hint string }

func (e *resumeError) Error() string  { return e.reason }
func (e *resumeError) BadInput() bool { return true }
func (e *resumeError) Hint() string   { return e.hint }

// encodeOptions and decodeOptions keep options in a checkpoint's metadata, as the text of opt.yaml.
func encodeOptions(o options.Options) (json.RawMessage, error) {
	text, err := o.YAML()
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

func decodeOptions(raw json.RawMessage) (o options.Options, err error) {
	var text string
	if err = json.Unmarshal(raw, &text); err == nil {
		o, err = options.FromYAML([]byte(text))
	}
	if err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	return o, nil
}
