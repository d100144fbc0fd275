package finetune

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// Files of a run's folder, besides the checkpoints.
const (
	bestName   = "best.safetensors"
	exportName = "best.onnx"
	torchName  = "best.pt"
)

// folder is where a run is kept.
type folder struct {
	dir    string
	fresh  bool   // this run has made dir
	unlock func() // lets other processes into dir
}

// weights is the path of a file in the folder of weights.
func (f *folder) weights(name string) string { return filepath.Join(f.dir, "weights", name) }

// picture is the path of a picture.
func (f *folder) picture(name string) string { return filepath.Join(f.dir, name) }

// kept is the checkpoint that stays when the run fails, "" when there is none yet.
func (f *folder) kept() string {
	if last := f.weights(checkpoint.LastFile); disk.IsFile(last) {
		return last
	}
	return ""
}

// open makes the folder of a run, or goes on in that of a resumed one, and locks it.
func (f *folder) open(j *job) (err error) {
	if j.resumed != nil {
		f.dir = j.resumed.Dir()
		if err := j.resumed.CheckFolder(j.set.Folders()); err != nil {
			return err
		}
	} else {
		in := disk.Inputs{Files: append([]string{j.o.Weights, j.o.Teacher, j.o.Data}, j.o.Reads...), Folders: j.set.Folders()}
		if f.dir, err = runs.NewFolder(j.o.Project, j.o.Name, j.o.ExistOK, in); err != nil {
			return err
		}
		f.fresh = disk.Untouched(f.dir)
	}
	if f.unlock, err = disk.Lock(filepath.Join(f.dir, ".lock")); err != nil {
		if held := (*disk.Held)(nil); errors.As(err, &held) {
			return &disk.InputError{Path: f.dir, Err: fmt.Errorf("process %s is training here", held.Process)}
		}
		return fmt.Errorf("lock the run's folder: %w", err)
	}
	if _, err := disk.Folder(f.dir, "weights"); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	f.dropLeftovers()
	return nil
}

// describe writes what the run does before it does it, and begins its tables.
func (f *folder) describe(j *job) error {
	if err := f.notePlan(j); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(f.dir, runs.SummaryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("go on with the run: %w", err) // it says that a run has ended
	}
	kept := j.o.Kept()
	opt, err := kept.YAML()
	if err != nil {
		return err
	}
	hyp, err := yaml.Encode(j.o.Hyp)
	if err != nil {
		return fmt.Errorf("write the hyperparameters: %w", err)
	}
	for name, data := range map[string][]byte{runs.OptionsFile: opt, "hyp.yaml": hyp, runs.PlanFile: j.planFile()} {
		if err := runs.WriteFile(filepath.Join(f.dir, name), data); err != nil {
			return err
		}
	}
	for _, table := range runs.Tables(f.dir) {
		if err := table.Start(j.begin().Epoch); err != nil {
			return err
		}
	}
	return nil
}

// notePlan writes down that a resumed run freezes something else from now on.
func (f *folder) notePlan(j *job) error {
	if p := j.begin(); j.resumed == nil || p.Epoch == 0 && p.Batch == 0 {
		return nil
	}
	p, before := j.begin(), j.resumed.Options
	before.ResumeFrom, before.Epochs = j.o.ResumeFrom, max(before.Epochs, j.o.Epochs)
	stages, err := stagesOf(before, j.model)
	if err != nil { // a file of selectors that has gone: the text tells
		if slices.Equal(before.Freeze, j.o.Freeze) {
			return err
		}
	} else if slices.EqualFunc(stages, j.stages, func(a, b freeze.Stage) bool { return a.Epoch == b.Epoch && a.Plan.Same(b.Plan) }) {
		return nil
	}
	if len(j.o.Plans) == 0 {
		j.o.Plans = []string{planLine(0, 0, &before, stages)}
	}
	j.o.Plans = append(j.o.Plans, planLine(p.Epoch, p.Batch, &j.o.Options, j.stages))
	old := fmt.Sprintf("freeze-until-epoch%d.yaml", p.Epoch)
	if p.Batch > 0 {
		old = fmt.Sprintf("freeze-until-epoch%d-batch%d.yaml", p.Epoch, p.Batch)
	}
	j.r.Warnf("the run freezes something else from epoch %d on: freeze.yaml, opt.yaml and %s say what until when; compare takes it for neither", p.Epoch, runs.SummaryFile)
	if err != nil {
		return nil
	}
	return runs.WriteFile(filepath.Join(f.dir, old), planFile(stages, before.Unfreeze))
}

// planFile is what freeze.yaml holds, the same all through a run: the plan that
// it starts with, and a remark on what is thawed later, which the selector @freeze.yaml leaves to option unfreeze.
// Where a resumed run has another plan, the file has that one, and says so first.
func (j *job) planFile() []byte {
	text := planFile(j.stages, j.o.Unfreeze)
	if n := len(j.o.Plans); n > 0 {
		head := "# The plan was changed when the run was resumed. Below is the last one; what was frozen until then:\n"
		text = append([]byte(head+"# "+strings.Join(j.o.Plans, "\n# ")+"\n"), text...)
	}
	return text
}

func planFile(stages []freeze.Stage, unfreeze []string) []byte {
	text := stages[0].Plan.YAML()
	if len(stages) > 1 {
		schedule := strings.Fields(strings.Join(unfreeze, ","))
		text = fmt.Appendf(text, "# What trains later: unfreeze %s\n", strings.Join(schedule, ","))
	}
	return text
}

// dropLeftovers removes what a killed run left half written.
func (f *folder) dropLeftovers() {
	for _, dir := range []string{f.dir, filepath.Join(f.dir, "weights")} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if disk.Abandoned(e.Name()) {
				os.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
}

// dropUnstarted removes the folder of a run that failed before it had an engine: its
// device, say, cannot take the graphs. There is nothing in it to go on from.
func (f *folder) dropUnstarted(r Reporter) {
	if f.fresh && os.RemoveAll(f.dir) == nil {
		r.Logf("removed %s again", f.dir)
	}
}

func (f *folder) close() {
	if f.unlock != nil {
		f.unlock()
	}
}
