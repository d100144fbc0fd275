package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/workers"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// job is what a run trains, on what and by which plan, all settled before its first step.
type job struct {
	o           *options.Settings
	r           Reporter
	ranks       team
	stop        context.CancelCauseFunc // ends the run in order, as the context does
	resumed     *checkpoint.State       // nil of a new run, and when its state has become an engine's
	source      artifact.Source
	model       *model.Model // network and names; the weights are the engine's
	kept        *model.Model // branches beside the one that trains, which stay as they are; nil: none
	shared      int          // first layers that both have
	teacher     *teacher     // nil: labels alone say what is learnt
	set         *dataset.Set
	all         []dataset.Sample // to train on, of all ranks; set has this rank's
	fingerprint string
	stages      []freeze.Stage
	batch       int          // pictures of a full batch
	size        dataset.Size // of pictures
	loss        loss.Options
	features    *featureCache // nil: pictures run through all layers in every epoch
	autoKernels bool          // nobody asked for native or stock ones
}

// settle reads model and data and plans the run.
func (j *job) settle(ctx context.Context) error {
	for _, step := range []func(context.Context) error{j.openModel, j.openTeacher, j.openData, j.fitModel, j.plan, j.checkAnchors} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// begin is where the run begins, or goes on.
func (j *job) begin() checkpoint.Progress {
	if j.resumed != nil {
		return j.resumed.Progress
	}
	return checkpoint.Progress{LastStep: -1, Maps: make([]float64, len(j.set.Names))}
}

// checkDevice tells, before anything is read or written, whether the device does what is asked,
// and chooses whose kernels it has.
func (j *job) checkDevice() error {
	if err := j.ranks.fit(&j.o.Options); err != nil {
		return err
	}
	if err := j.o.FindDevice(j.ranks.Local()); err != nil {
		return err
	}
	j.autoKernels = j.o.Kernels == step.Kernels[0]
	kernels, why, err := step.ChooseKernels(j.o.Kernels, j.o.Runtime.Device, j.o.Products)
	if err != nil {
		return err
	}
	if j.o.Kernels = kernels; why != nil {
		j.r.Logf("training with stock kernels: %v", why)
	}
	return nil
}

func (j *job) openModel(ctx context.Context) (err error) {
	if j.resumed != nil {
		j.model, j.source = j.resumed.Model, j.resumed.Source
		j.kept, j.shared = j.resumed.Kept, j.resumed.Shared
		return nil
	}
	if j.model, err = heeding(ctx, func() (*model.Model, error) { return model.Load(j.o.Weights) }); err != nil {
		return readFault(ctx, err)
	}
	if j.o.KeepClasses {
		j.kept = j.model
	} else if j.kept, j.model, j.shared, err = j.model.Split(); err != nil {
		return err
	}
	if len(j.o.Freeze) == 0 {
		if err := j.o.SetFreeze(j.model.Freeze); err != nil {
			return err
		}
	}
	j.source, err = heeding(ctx, func() (artifact.Source, error) { return model.SourceOf(j.o.Weights) })
	return err
}

func (j *job) openData(ctx context.Context) error {
	set, err := heeding(ctx, func() (*dataset.Set, error) { return format.Open(j.o.Data, j.o.Reading) })
	if err != nil {
		return readFault(ctx, err)
	}
	if j.o.SingleCls {
		set.SingleClass()
	}
	j.teacher.join(set)
	// The head is kept where there are as many classes: then each keeps what it has learnt.
	if names := j.model.Names; !j.branches() && len(names) == len(set.Names) {
		given := set.Names
		if moved, _ := set.MatchNames(names); moved {
			j.r.Warnf("%s: its classes are matched by name with those of the weights: %s, not %s", set.Path, dataset.ListNames(names), dataset.ListNames(given))
		}
	}
	j.set, j.fingerprint = set, fingerprint(set)
	j.r.Data(set)
	if j.resumed == nil || j.resumed.Data == j.fingerprint {
		return nil
	}
	if !j.o.Force {
		return &disk.InputError{Path: set.Path, Err: errors.New("the data are not those that the run was started with")}
	}
	j.r.Warnf("%s: the data are not those that the run was started with", set.Path)
	return nil
}

// readFault is an error in reading what the user named, or why reading was left.
func readFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return inputFault{err}
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
func (j *job) fitModel(context.Context) error {
	if j.teacher != nil {
		return j.teacher.fit(j)
	}
	make := j.model.ForClasses
	if j.branches() {
		make = j.kept.NewBranch
	}
	m, fresh, err := make(j.set.Names, j.o.Seed)
	if err != nil {
		return err
	}
	if j.resumed != nil && len(fresh) > 0 {
		return &disk.InputError{Path: j.set.Path, Err: fmt.Errorf("%d classes, the run has %d", len(j.set.Names), j.model.Net.NC)}
	}
	j.model = m
	params, err := m.Net.Params()
	if err != nil {
		return err
	}
	for _, name := range fresh {
		j.r.Logf("reinitialised %s", name)
	}
	if j.resumed == nil {
		items := len(params) + 1 // anchors
		for _, p := range params {
			if p.Kind == yolov5.NormScale {
				items++ // PyTorch's count of batches, which nothing uses
			}
		}
		j.r.Logf("Transferred %d/%d items from %s", items-len(fresh), items, j.o.Weights)
		for _, note := range j.model.Notes() {
			j.r.Logf("%s", note)
		}
	}
	return nil
}

// plan says what is frozen, and how the rest trains.
func (j *job) plan(ctx context.Context) (err error) {
	net, err := j.model.Freezable()
	if err != nil {
		return err
	}
	if j.stages, err = j.o.Stages(net); err != nil {
		return err
	}
	if err := j.shareTrunk(); err != nil {
		return err
	}
	now := freeze.At(j.stages, j.begin().Epoch).Plan
	j.r.Plan(now)
	j.r.Logf("%v", now.Summary())
	for _, s := range j.stages[1:] {
		j.r.Logf("from epoch %d: %v", s.Epoch, s.Plan.Summary())
	}
	last := j.stages[len(j.stages)-1].Plan // trains all that any does
	for _, line := range last.RateLines() {
		j.r.Logf("%s", line)
	}
	if j.autoKernels && j.resumed == nil && !step.WholeLayers(last, j.model.Net.Head()) {
		j.o.Kernels = step.Stock
	}
	j.size = j.o.Size().Rounded(int(j.model.Net.MaxStride()), 2)
	if j.size != j.o.Size() {
		j.r.Warnf("image size %v is not a multiple of the largest stride %d, using %v", j.o.Size(), j.model.Net.MaxStride(), j.size)
	}
	j.loss = step.LossOf(j.o.Hyp).ScaledTo(j.model.Net, int64(j.size.Height), int64(j.size.Width))
	if err := j.chooseBatch(ctx); err != nil {
		return err
	}
	j.all = j.set.Splits["train"]
	j.set.Splits["train"] = j.ranks.share(j.all, j.o.Seed)
	j.batch = min(j.o.BatchSize/j.ranks.Size(), len(j.set.Splits["train"]))
	if err := j.planQuad(); err != nil {
		return err
	}
	j.features, err = planFeatures(j)
	return err
}

// metadata says of weights and exports where they come from and what was frozen.
func (j *job) metadata(plan *freeze.Plan) map[string]string {
	all := model.PlanMetadata(plan)
	all[model.SourceFileKey], all[model.SourceHashKey], all[model.VersionKey] = j.source.File, j.source.SHA256, j.o.Version
	if len(j.o.Plans) > 0 {
		all[model.PlansKey] = strings.Join(j.o.Plans, "; ")
	}
	if t := j.teacher; t != nil {
		all[model.TeacherFileKey], all[model.TeacherHashKey] = t.source.File, t.source.SHA256
	}
	return all
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
