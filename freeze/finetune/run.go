package finetune

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
	"yolofreeze/onnx/wire"
	"yolofreeze/onnx/yolov5"
)

// Files of a run's folder.
const (
	lastName   = "last.safetensors"
	bestName   = "best.safetensors"
	exportName = "best.onnx"
)

// Reporter hears what a run does. Its methods are called from one goroutine and must not block.
type Reporter interface {
	Logf(format string, args ...any)
	Warnf(format string, args ...any)
	Data(*dataset.Set)            // the data set, as read
	Batch(BatchResult)            // after every batch
	Validating(done, batches int) // after every batch of a validation
	Epoch(EpochResult)            // after every epoch
}

// BatchResult is how far an epoch is.
type BatchResult struct {
	Epoch, Epochs   int     // the epoch counts from 0
	Batch, Batches  int     // done, of all
	Box, Obj, Cls   float64 // means of the epoch so far
	Instances, Side int     // of the batch
	Memory          int64   // most bytes resident so far
}

// EpochResult is what an epoch ended with.
type EpochResult struct {
	Row
	Epochs     int
	Evaluation *Evaluation // nil when the epoch was not validated
	Names      []string
	Best       bool // better than all before
}

// training is a run under way.
type training struct {
	o           Options
	r           Reporter
	dir         string
	unlock      func() // lets other processes into dir
	source      artifact.Source
	model       *Model // network and names; the weights are the engine's
	set         *dataset.Set
	fingerprint string
	stages      []freeze.Stage
	stage       freeze.Stage
	freshHead   bool // made for other classes than the weights'
	batch       int  // pictures of a full batch
	side        int  // of square pictures
	loss        yolov5.LossOptions
	schedule    Schedule
	loader      *dataset.Loader
	validator   *Validator
	engine      *Engine
	resumed     *saved
	p           progress
	clock       clock
	loggers     []logger
	interrupted bool // the context ended, and the state was saved
}

// Run trains as the options say and keeps the run's folder. When the context
// ends, the step is finished, the state saved, and the context's cause returned.
func Run(ctx context.Context, o Options, r Reporter) (report *Report, err error) {
	t := &training{o: o, r: r, clock: startClock()}
	defer t.close()
	defer func() { t.stopLoggers(err) }()
	if err := t.prepare(); err != nil {
		return nil, err
	}
	if o.Epochs == 0 {
		return t.validateOnly(ctx)
	}
	err = t.train(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if err := t.saveLast(); err != nil {
			return nil, fmt.Errorf("save the interrupted run: %w", err)
		}
		t.interrupted = true
		r.Logf("saved %s; --resume-from goes on from there", t.weights(lastName))
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return t.finish(ctx)
}

func (t *training) close() {
	if t.engine != nil {
		t.engine.Close()
	}
	if t.unlock != nil {
		t.unlock()
	}
}

// weights is the path of a file in the folder of weights.
func (t *training) weights(name string) string { return filepath.Join(t.dir, "weights", name) }

// prepare reads model and data, makes the folder and everything that an epoch needs.
func (t *training) prepare() error {
	if t.o.ResumeFrom != "" {
		if err := t.resume(); err != nil {
			return err
		}
	}
	if err := t.o.check(); err != nil {
		return err
	}
	if err := ort.Init(); err != nil {
		return err
	}
	for _, step := range []func() error{t.openModel, t.openData, t.fitModel, t.plan, t.checkAnchors, t.makeFolder, t.makeLoaders, t.drawLabels, t.startLoggers} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (t *training) openModel() (err error) {
	if t.resumed != nil {
		t.model, t.source = t.resumed.model, t.resumed.info.Source
		return nil
	}
	if t.model, err = LoadModel(t.o.Weights); err != nil {
		return inputFault{err}
	}
	if len(t.o.Freeze) == 0 {
		t.o.Freeze = t.model.Freeze
	}
	t.source, err = SourceOf(t.o.Weights)
	return err
}

func (t *training) openData() error {
	set, err := format.Open(t.o.Data, t.o.readOptions())
	if err != nil {
		return inputFault{err}
	}
	if t.o.SingleCls {
		oneClass(set)
	}
	t.set, t.fingerprint = set, fingerprint(set)
	t.r.Data(set)
	if t.resumed == nil || t.resumed.info.Data == t.fingerprint {
		return nil
	}
	if !t.o.Force {
		return &InputError{set.Path, errors.New("the data are not those that the run was started with")}
	}
	t.r.Warnf("%s: the data are not those that the run was started with", set.Path)
	return nil
}

// inputFault is an error in reading what the user named.
type inputFault struct{ error }

func (e inputFault) Unwrap() error  { return e.error }
func (e inputFault) BadInput() bool { return true }

// oneClass makes every object the same.
func oneClass(set *dataset.Set) {
	if len(set.Names) != 1 {
		set.Names = []string{"item"}
	}
	for _, samples := range set.Splits {
		for i := range samples {
			samples[i].Labels = slices.Clone(samples[i].Labels)
			for k := range samples[i].Labels {
				samples[i].Labels[k].Class = 0
			}
		}
	}
}

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
		return &InputError{t.set.Path, fmt.Errorf("%d classes, the run has %d", len(t.set.Names), t.model.Net.NC)}
	}
	t.model, t.freshHead = m, len(fresh) > 0
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
	if t.stages, err = t.o.stages(t.model); err != nil {
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
	t.side = ImageSize(t.model.Net, t.o.ImageSize, 2)
	if t.side != t.o.ImageSize {
		t.r.Warnf("image size %d is not a multiple of the largest stride %d, using %d", t.o.ImageSize, t.model.Net.MaxStride(), t.side)
	}
	t.loss = lossOf(t.o.Hyp).Scaled(t.model.Net, int64(t.side))
	if err := t.chooseBatch(); err != nil {
		return err
	}
	t.batch = min(t.o.BatchSize, len(t.set.Splits["train"]))
	return nil
}

func (t *training) makeFolder() (err error) {
	if t.resumed != nil {
		t.dir = t.resumed.runDir()
	} else if t.dir, err = NewFolder(t.o.Project, t.o.Name, t.o.ExistOK); err != nil {
		return err
	}
	if t.unlock, err = lockFolder(t.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(t.dir, "weights"), 0o777); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	t.dropLeftovers()
	opt, err := yaml.Marshal(t.o)
	if err != nil {
		return fmt.Errorf("write the options: %w", err)
	}
	hyp, err := yaml.Marshal(t.o.Hyp)
	if err != nil {
		return fmt.Errorf("write the hyperparameters: %w", err)
	}
	for name, data := range map[string][]byte{"opt.yaml": opt, "hyp.yaml": hyp, "freeze.yaml": t.stage.Plan.YAML()} {
		if err := writeFile(filepath.Join(t.dir, name), data); err != nil {
			return err
		}
	}
	for _, table := range t.tables() {
		if err := table.start(t.p.Epoch); err != nil {
			return err
		}
	}
	t.r.Logf("Logging results to %s", t.dir)
	return nil
}

// dropLeftovers removes what a killed run left half written.
func (t *training) dropLeftovers() {
	for _, dir := range []string{t.dir, filepath.Join(t.dir, "weights")} {
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if strings.Contains(f.Name(), ".tmp") {
				os.Remove(filepath.Join(dir, f.Name()))
			}
		}
	}
}

func (t *training) makeLoaders() (err error) {
	train, val := t.set.Splits["train"], t.set.Splits["val"]
	ram, disk := cacheBudgets(t.o.Cache)
	share := ram * int64(len(train)) / int64(max(len(train)+len(val), 1))
	o := dataset.LoaderOptions{
		Samples: train, BatchSize: max(t.batch, 1), ImageSize: t.side, Stride: int(t.model.Net.MaxStride()),
		Augment: true, Hyp: t.o.Hyp, Epochs: t.o.Epochs, CloseMosaic: t.o.CloseMosaic, MultiScale: t.o.MultiScale,
		Rect: t.o.Rect, Seed: t.o.Seed, Shuffle: !t.o.Rect, BadImages: t.o.BadImages,
		Workers: t.o.Workers, CacheRAM: share, Disk: disk, Prepare: t.match,
	}
	if t.o.ImageWeights {
		classes := dataset.ClassWeights(train, len(t.set.Names))
		o.Weights = func(int) []float64 { return dataset.ImageWeights(train, classes, t.p.Maps) }
	}
	if t.loader, err = dataset.NewLoader(o); err != nil {
		return &InputError{t.set.Path, err}
	}
	v := ValDefaults()
	v.Samples, v.BatchSize, v.ImageSize, v.SingleCls, v.Loss = val, 2*t.o.BatchSize, t.side, t.o.SingleCls, &t.loss
	v.Loader = dataset.LoaderOptions{Workers: t.o.Workers, CacheRAM: ram - share, Disk: disk, BadImages: t.o.BadImages}
	if t.validator, err = NewValidator(t.model.Net, v); err != nil {
		return &InputError{t.set.Path, err}
	}
	t.validator.Progress = t.r.Validating
	t.schedule = Schedule{Hyp: t.o.Hyp, Epochs: t.o.Epochs, Batches: t.loader.Batches(), BatchSize: t.o.BatchSize,
		Cosine: t.o.CosLR, Adam: t.o.Optimizer != "SGD"}
	if t.resumed == nil {
		t.p.LastStep, t.p.Maps = -1, make([]float64, len(t.set.Names))
	}
	return nil
}

// match assigns a batch's targets, in the loader's workers.
func (t *training) match(b *dataset.Batch) error {
	targets := make([]yolov5.Target, len(b.Targets))
	for i, o := range b.Targets {
		targets[i] = yolov5.Target{Image: int(o.Image), Class: int(o.Class), X: float64(o.X), Y: float64(o.Y), W: float64(o.W), H: float64(o.H)}
	}
	b.Extra = t.model.Net.Assign(targets, b.Height, b.Width, t.loss.AnchorT)
	return nil
}

// openEngine builds the graphs of the stage that the epoch is in, carrying over
// what an earlier engine or the resumed run leaves.
func (t *training) openEngine() error {
	stage := freeze.At(t.stages, t.p.Epoch)
	if t.engine != nil && stage.Epoch == t.stage.Epoch {
		return nil
	}
	state := t.model.State
	if t.engine != nil {
		state = t.engine.State(false)
		t.r.Logf("epoch %d: %v", t.p.Epoch, stage.Plan.Summary())
	}
	e, err := NewEngine(&Spec{
		Net: t.model.Net, State: state, Plan: stage.Plan, Batch: t.batch, Height: t.side, Width: t.side, Loss: t.loss,
		Optimizer: optim.Options{Algorithm: t.o.Optimizer, WeightDecay: t.schedule.WeightDecay(), ClipNorm: clipNorm},
	}, ort.Options{Device: t.o.Device})
	if err != nil {
		return err
	}
	switch {
	case t.engine != nil:
		if err := e.carry(t.engine); err != nil {
			e.Close()
			return err
		}
		t.engine.Close()
	case t.resumed != nil:
		t.resumed.restore(e)
		t.resumed = nil
	}
	t.engine, t.stage = e, stage
	return nil
}

// announce says what is about to start.
func (t *training) announce() {
	var counts [3]int
	for _, p := range optimParams(t.engine.Graphs.Trainable) {
		counts[p.Group]++
	}
	t.r.Logf("optimizer: %s(lr=%g) with parameter groups %d weight(decay=0), %d weight(decay=%g), %d bias", t.o.Optimizer, t.o.Hyp.LR0,
		counts[optim.Norms], counts[optim.Weights], t.schedule.WeightDecay(), counts[optim.Biases])
	device := t.engine.Device()
	if why := t.engine.training.session.Why(); why != "" {
		device += " (" + why + ")"
	}
	t.r.Logf("Image sizes %d train, %d val; device %s; ONNX Runtime %s", t.side, t.side, device, ort.Version())
	if t.p.Iteration > 0 {
		t.r.Logf("Resuming at epoch %d, batch %d, for %d epochs", t.p.Epoch, t.p.Batch, t.o.Epochs)
		return
	}
	t.r.Logf("Starting training for %d epochs", t.o.Epochs)
}

// validateOnly is a run of no epochs.
func (t *training) validateOnly(ctx context.Context) (*Report, error) {
	start := time.Now()
	e, err := t.validator.Run(ctx, t.model.Net, t.model.State, ort.Options{Device: t.o.Device})
	if err != nil {
		return nil, err
	}
	t.clock.validation += time.Since(start)
	r := t.report()
	r.Metrics = metricsOf(0, Row{Precision: e.Precision, Recall: e.Recall, MAP50: e.MAP50, MAP: e.MAP})
	return r, nil
}

// finish exports the best weights, draws, and sums the run up.
func (t *training) finish(ctx context.Context) (*Report, error) {
	start := time.Now()
	best, err := LoadModel(t.weights(bestName))
	if err != nil {
		return nil, fmt.Errorf("read back the best weights: %w", err)
	}
	source, err := SourceOf(best.Path)
	if err != nil {
		return nil, err
	}
	graph, err := Export(best, source, ExportOptions{Version: t.o.Version, Batch: 1, Height: t.side, Width: t.side})
	if err != nil {
		return nil, err
	}
	if err := wire.Write(t.weights(exportName), graph); err != nil {
		return nil, err
	}
	t.clock.saving += time.Since(start)
	t.lookAtBest(ctx, best)
	t.look(func() error { return drawResults(t.dir) })
	r := t.report()
	r.Best, r.Last, r.Export = t.weights(bestName), t.weights(lastName), t.weights(exportName)
	r.Metrics = metricsOf(t.p.BestEpoch, Row(t.p.Best))
	return r, r.write(filepath.Join(t.dir, "summary.json"))
}
