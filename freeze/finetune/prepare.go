package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/step"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yaml"
	"yolofreeze/onnx/yolov5"
)

func (t *training) openModel() (err error) {
	if t.resumed != nil {
		t.model, t.source = t.resumed.model, t.resumed.info.Source
		return nil
	}
	if t.model, err = model.Load(t.o.Weights); err != nil {
		return inputFault{err}
	}
	if len(t.o.Freeze) == 0 {
		if err := t.o.SetFreeze(t.model.Freeze); err != nil {
			return err
		}
	}
	t.source, err = model.SourceOf(t.o.Weights)
	return err
}

func (t *training) openData(ctx context.Context) error {
	set, err := heeding(ctx, func() (*dataset.Set, error) { return format.Open(t.o.Data, t.o.Reading) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return inputFault{err}
	}
	if t.o.SingleCls {
		set.SingleClass()
	}
	// The head is kept where there are as many classes: then each keeps what it has learnt.
	if names := t.model.Names; len(names) == len(set.Names) {
		given := set.Names
		if moved, _ := set.MatchNames(names); moved {
			t.r.Warnf("%s: its classes are matched by name with those of the weights: %s, not %s", set.Path, dataset.ListNames(names), dataset.ListNames(given))
		}
	}
	t.set, t.fingerprint = set, fingerprint(set)
	t.r.Data(set)
	if t.resumed == nil || t.resumed.info.Data == t.fingerprint {
		return nil
	}
	if !t.o.Force {
		return &disk.InputError{Path: set.Path, Err: errors.New("the data are not those that the run was started with")}
	}
	t.r.Warnf("%s: the data are not those that the run was started with", set.Path)
	return nil
}

// heeding returns what f returns, or the cause as soon as the context ends; f then goes on
// unheard, so it must change nothing.
func heeding[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if failed := workers.Try(func() { r.value, r.err = f() }); failed != nil {
			r.err = failed
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// inputFault is an error in reading what the user named.
type inputFault struct{ error }

func (e inputFault) Unwrap() error  { return e.error }
func (e inputFault) BadInput() bool { return true }

// fingerprint tells data sets apart: classes, and pictures with their objects by name.
func fingerprint(set *dataset.Set) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", set.Names)
	for _, split := range []string{"train", "val"} {
		for _, s := range set.Splits[split] {
			fmt.Fprintf(h, "\n%s %q %d %d", split, filepath.Base(s.Path), s.Width, s.Height)
			for _, l := range s.Labels {
				fmt.Fprintf(h, " %d %v %v %v %v", l.Class, l.X, l.Y, l.W, l.H)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fitModel makes the head for the data's classes.
func (t *training) fitModel() error {
	m, fresh, err := t.model.ForClasses(t.set.Names, t.o.Seed)
	if err != nil {
		return err
	}
	if t.resumed != nil && len(fresh) > 0 {
		return &disk.InputError{Path: t.set.Path, Err: fmt.Errorf("%d classes, the run has %d", len(t.set.Names), t.model.Net.NC)}
	}
	t.model = m
	params, err := m.Net.Params()
	if err != nil {
		return err
	}
	for _, name := range fresh {
		t.r.Logf("reinitialised %s", name)
	}
	if t.resumed == nil {
		items := len(params) + 1 // anchors
		for _, p := range params {
			if p.Kind == yolov5.NormScale {
				items++ // PyTorch's count of batches, which nothing uses
			}
		}
		t.r.Logf("Transferred %d/%d items from %s", items-len(fresh), items, t.o.Weights)
		for _, note := range t.model.Notes() {
			t.r.Logf("%s", note)
		}
	}
	return nil
}

// plan says what is frozen, and how the rest trains.
func (t *training) plan() (err error) {
	net, err := t.model.Freezable()
	if err != nil {
		return err
	}
	if t.stages, err = t.o.Stages(net); err != nil {
		return err
	}
	t.stage = freeze.At(t.stages, t.p.Epoch)
	for _, name := range t.stage.Plan.FrozenNames() {
		t.r.Logf("freezing %s", name)
	}
	t.r.Logf("%v", t.stage.Plan.Summary())
	for _, s := range t.stages[1:] {
		t.r.Logf("from epoch %d: %v", s.Epoch, s.Plan.Summary())
	}
	for _, line := range t.stages[len(t.stages)-1].Plan.RateLines() { // the last stage trains all that any does
		t.r.Logf("%s", line)
	}
	t.side = model.ImageSize(t.model.Net, t.o.ImageSize, 2)
	if t.side != t.o.ImageSize {
		t.r.Warnf("image size %d is not a multiple of the largest stride %d, using %d", t.o.ImageSize, t.model.Net.MaxStride(), t.side)
	}
	t.loss = step.LossOf(t.o.Hyp).Scaled(t.model.Net, int64(t.side))
	if err := t.chooseBatch(); err != nil {
		return err
	}
	t.batch = min(t.o.BatchSize, len(t.set.Splits["train"]))
	if err := t.planQuad(); err != nil {
		return err
	}
	return t.planFeatures()
}

func (t *training) makeFolder() (err error) {
	if t.resumed != nil {
		t.dir = t.resumed.runDir()
		if err := t.resumed.checkFolder(t.set.Folders()); err != nil {
			return err
		}
	} else {
		in := disk.Inputs{Files: append([]string{t.o.Weights, t.o.Data}, t.o.Reads...), Folders: t.set.Folders()}
		if t.dir, err = runs.NewFolder(t.o.Project, t.o.Name, t.o.ExistOK, in); err != nil {
			return err
		}
		t.fresh = disk.Untouched(t.dir)
	}
	if t.unlock, err = disk.Lock(filepath.Join(t.dir, ".lock")); err != nil {
		if held := (*disk.Held)(nil); errors.As(err, &held) {
			return &disk.InputError{Path: t.dir, Err: fmt.Errorf("process %s is training here", held.Process)}
		}
		return fmt.Errorf("lock the run's folder: %w", err)
	}
	if _, err := disk.Folder(t.dir, "weights"); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	t.dropLeftovers()
	if err := t.notePlan(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(t.dir, runs.SummaryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("go on with the run: %w", err) // it says that a run has ended
	}
	kept := t.o.Kept()
	opt, err := kept.YAML()
	if err != nil {
		return err
	}
	hyp, err := yaml.Encode(t.o.Hyp)
	if err != nil {
		return fmt.Errorf("write the hyperparameters: %w", err)
	}
	for name, data := range map[string][]byte{"opt.yaml": opt, "hyp.yaml": hyp, "freeze.yaml": t.planFile()} {
		if err := runs.WriteFile(filepath.Join(t.dir, name), data); err != nil {
			return err
		}
	}
	for _, table := range runs.Tables(t.dir) {
		if err := table.Start(t.p.Epoch); err != nil {
			return err
		}
	}
	t.r.Logf("Logging results to %s", t.dir)
	return nil
}

// dropUnstarted removes the folder of a run that failed before it had an engine: its
// device, say, cannot take the graphs. There is nothing in it to go on from.
func (t *training) dropUnstarted(err error) {
	if err != nil && t.fresh && t.engine == nil && os.RemoveAll(t.dir) == nil {
		t.r.Logf("removed %s again", t.dir)
	}
}

// planFile is what freeze.yaml holds, the same all through a run: the plan that
// it starts with, and a remark on what is thawed later, which the selector @freeze.yaml leaves to option unfreeze.
// Where a resumed run has another plan, the file has that one, and says so first.
func (t *training) planFile() []byte {
	text := planFile(t.stages, t.o.Unfreeze)
	if n := len(t.o.Plans); n > 0 {
		head := "# The plan was changed when the run was resumed. Below is the last one; what was frozen until then:\n"
		text = append([]byte(head+"# "+strings.Join(t.o.Plans, "\n# ")+"\n"), text...)
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
func (t *training) dropLeftovers() {
	for _, dir := range []string{t.dir, filepath.Join(t.dir, "weights")} {
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if disk.Abandoned(f.Name()) {
				os.Remove(filepath.Join(dir, f.Name()))
			}
		}
	}
}

func (t *training) makeLoaders() (err error) {
	train, val := t.set.Splits["train"], t.set.Splits["val"]
	ram, decoded := cacheBudgets(t.o.Cache)
	share := ram * int64(len(train)) / int64(max(len(train)+len(val), 1))
	o := loader.Options{
		Samples: train, BatchSize: max(t.batch, 1), ImageSize: t.side, Stride: int(t.model.Net.MaxStride()),
		Augment: true, Hyp: t.o.Hyp, Epochs: t.o.Epochs, CloseMosaic: t.o.CloseMosaic, MultiScale: t.o.MultiScale, Quad: t.o.Quad, Nine: t.o.Mosaic9,
		Rect: t.o.Rect, Seed: t.o.Seed, Shuffle: !t.o.Rect, BadImages: t.o.BadImages,
		Workers: t.o.Workers, CacheRAM: share, Disk: decoded, Prepare: t.match,
	}
	if t.o.ImageWeights {
		classes := loader.ClassWeights(train, len(t.set.Names))
		o.Weights = func(int) []float64 { return loader.ImageWeights(train, classes, t.p.Maps) }
	}
	if t.loader, err = loader.New(o); err != nil {
		return &disk.InputError{Path: t.set.Path, Err: err}
	}
	v := validate.Defaults()
	v.Samples, v.BatchSize, v.ImageSize, v.SingleCls, v.Loss = val, 2*t.o.BatchSize, t.side, t.o.SingleCls, &t.loss
	v.AMP = t.o.Products
	v.Loader = loader.Options{Workers: t.o.Workers, CacheRAM: ram - share, Disk: decoded, BadImages: t.o.BadImages}
	if t.validator, err = validate.New(t.model.Net, v); err != nil {
		return &disk.InputError{Path: t.set.Path, Err: err}
	}
	t.validator.Progress = t.r.Validating
	t.schedule = step.Schedule{Hyp: t.o.Hyp, Epochs: t.o.Epochs, Batches: t.loader.Batches(), BatchSize: t.o.BatchSize,
		Cosine: t.o.CosLR, Adam: t.o.Optimizer != "SGD"}
	if t.resumed == nil {
		t.p.LastStep, t.p.Maps = -1, make([]float64, len(t.set.Names))
	}
	return nil
}

// stepInput is what a step takes of a batch, its Extra.
type stepInput struct {
	matches []yolov5.Matches
	feed    step.Inputs
}

// match assigns a batch's targets, in the loader's workers.
func (t *training) match(b *loader.Batch) error {
	targets := make([]yolov5.Target, len(b.Targets))
	for i, o := range b.Targets {
		targets[i] = yolov5.Target{Image: int(o.Image), Class: int(o.Class), X: float64(o.X), Y: float64(o.Y), W: float64(o.W), H: float64(o.H)}
	}
	b.Extra = stepInput{t.model.Net.Assign(targets, b.Height, b.Width, t.loss.AnchorT), step.Inputs{step.ImagesName: b.Images}}
	return nil
}
