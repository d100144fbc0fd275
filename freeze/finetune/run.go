package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/collective"
	"yolofreeze/onnx/wire"
)

// run is a run under way: what it is about, where it is kept, the loop, and who hears of it.
type run struct {
	job     *job
	folder  *folder
	loop    *loop // nil until all is read
	keeper  *keeper
	artist  *artist
	loggers *loggers
	clock   *clock

	interrupted bool // the context ended, and the state was saved
}

// Run trains as the options say and keeps the run's folder. When the context
// ends, the step is finished, the state saved, and the context's cause returned.
// Where the options name a run to resume, Run goes on with that.
func Run(ctx context.Context, o options.Options, r Reporter) (*Summary, error) {
	if o.ResumeFrom == "" {
		return start(ctx, nil, nil, o, r)
	}
	s, err := heeding(ctx, func() (*checkpoint.State, error) { return checkpoint.Read(o.ResumeFrom) })
	if err != nil {
		return nil, err
	}
	return start(ctx, nil, s, o, r)
}

// Resume is Run for who has read the state already, to begin with the options that the run
// is Resumed with; nil begins a new run. The state is the run's from then on. Where the process is
// one of several ranks, all of them call it alike; rank 0 reports and writes. The caller closes the group.
func Resume(ctx context.Context, ranks *collective.Group, s *checkpoint.State, o options.Options, r Reporter) (*Summary, error) {
	if s != nil {
		o.ResumeFrom = cmp.Or(o.ResumeFrom, s.Path)
	}
	return start(ctx, ranks, s, o, team{ranks}.heard(r))
}

func start(ctx context.Context, ranks *collective.Group, s *checkpoint.State, o options.Options, r Reporter) (report *Summary, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := &run{job: &job{o: &options.Settings{Options: o}, r: r, ranks: team{ranks}, resumed: s, stop: stop}, folder: &folder{}, loggers: &loggers{r: r}, clock: startClock()}
	defer func() {
		if err != nil && (t.loop == nil || t.loop.engine == nil) {
			t.folder.dropUnstarted(r)
		}
	}()
	defer t.close()
	defer func() { t.loggers.stop(ctx, t.ending(err)) }()
	if err := t.prepare(ctx); err != nil {
		return nil, err
	}
	if t.job.o.Epochs == 0 {
		return t.validateOnly(ctx)
	}
	err = t.loop.run(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if !ranks.Root() {
			return nil, context.Cause(ctx)
		}
		if err := t.keeper.state(); err != nil {
			return nil, fmt.Errorf("save the interrupted run: %w", err)
		}
		t.interrupted = true
		r.Logf("saved %s; `resume-from` goes on from there", t.folder.weights(checkpoint.LastFile))
		return nil, context.Cause(ctx)
	}
	if lost := (*loader.LostPictureError)(nil); errors.As(err, &lost) && !t.job.ranks.several() {
		return nil, t.stopAt(lost)
	}
	if err != nil {
		return nil, t.loop.outOfMemory(err)
	}
	if !ranks.Root() {
		return t.loop.summary(), nil
	}
	return t.finish(ctx)
}

// prepare reads model and data, makes the folder and everything that an epoch needs.
func (t *run) prepare(ctx context.Context) (err error) {
	j := t.job
	if j.resumed != nil {
		if err := j.resume(); err != nil {
			return err
		}
	}
	if j.o, err = j.o.Parse(); err != nil {
		return err
	}
	if err := j.checkDevice(); err != nil {
		return err
	}
	if err := j.settle(ctx); err != nil {
		return err
	}
	if err := j.agree(); err != nil {
		return err
	}
	if err := t.openFolder(); err != nil {
		return err
	}
	j.r.Logf("Logging results to %s", t.folder.dir)
	t.artist = &artist{j, t.folder, t.clock}
	if t.loop, err = t.newLoop(); err != nil {
		return err
	}
	if j.resumed == nil {
		t.artist.labels()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if j.o.Epochs > 0 && j.ranks.Root() {
		t.loggers.start(ctx, j, t.folder)
	}
	return nil
}

// newLoop makes the loop, and says who hears of its epochs in which order.
func (t *run) newLoop() (*loop, error) {
	j := t.job
	l := &loop{p: j.begin(), folder: t.folder, artist: t.artist, clock: t.clock, onBatch: j.r.Batch}
	var err error
	if l.pictures, l.validator, l.whole, err = j.loaders(func() []float64 { return l.p.Maps }); err != nil {
		return nil, err
	}
	l.trainer = newTrainer(j, l.pictures.Batches())
	l.p.Ranks = 0
	if j.ranks.several() {
		l.p.Ranks = j.ranks.Size()
	}
	t.keeper = &keeper{t.folder, l}
	if !j.ranks.Root() {
		return l, nil
	}
	l.onEpoch = []func(context.Context, EpochResult) error{t.keeper.epoch, t.loggers.epoch, unread(j.r, l.pictures, l.validator), func(_ context.Context, r EpochResult) error {
		j.r.Epoch(r)
		return nil
	}}
	return l, nil
}

func (t *run) ending(cause error) ending {
	e := ending{cause: cause, interrupted: t.interrupted}
	if t.loop != nil {
		e.epochs = t.loop.p.Epoch
	}
	return e
}

// stopAt saves the state before a picture that cannot be had: what is trained on and
// measured stays the same from the first epoch to the last.
func (t *run) stopAt(lost *loader.LostPictureError) error {
	if err := t.keeper.state(); err != nil {
		return fmt.Errorf("%w; and the state is not saved: %w", lost, err)
	}
	t.interrupted = true
	return &lostError{lost, t.folder.weights(checkpoint.LastFile)}
}

func (t *run) close() {
	if l := t.loop; l != nil {
		l.trainer.close()
		l.validator.Close()
	}
	t.job.features.close()
	t.folder.close()
}

// validateOnly is a run of no epochs.
func (t *run) validateOnly(ctx context.Context) (*Summary, error) {
	l, start := t.loop, time.Now()
	e, err := l.validator.Run(ctx, t.job.model, t.job.o.Runtime)
	if err != nil {
		return nil, err
	}
	t.clock.validation += time.Since(start)
	if err := unread(t.job.r, l.pictures, l.validator)(ctx, EpochResult{}); err != nil {
		return nil, err
	}
	r := l.summary()
	r.Metrics = runs.MetricsOf(0, runs.Row{Precision: e.Precision, Recall: e.Recall, MAP50: e.MAP50, MAP: e.MAP})
	return r, nil
}

// finish exports the best weights, draws, and sums the run up.
func (t *run) finish(ctx context.Context) (*Summary, error) {
	start, j, f := time.Now(), t.job, t.folder
	best, err := model.Load(f.weights(bestName))
	if err != nil {
		return nil, fmt.Errorf("read back the best weights: %w", err)
	}
	source, err := model.SourceOf(best.Path)
	if err != nil {
		return nil, err
	}
	graph, err := export.ONNX(best, source, export.Options{Version: j.o.Version, Batch: 1, Height: j.size.Height, Width: j.size.Width})
	if err != nil {
		return nil, err
	}
	if err := wire.Write(f.weights(exportName), graph); err != nil {
		return nil, err
	}
	if len(best.Net.Branches) > 0 && j.o.SavePT {
		j.r.Warnf("best.pt is not written: YOLOv5 has no model of %d branches", len(best.Net.Branches))
	} else if j.o.SavePT {
		if err := export.WriteTorch(f.weights(torchName), best, false, export.CheckpointFile); err != nil {
			return nil, err
		}
	}
	t.clock.saving += time.Since(start)
	_, own, _, err := best.Split() // validation knows the classes that are trained
	if err != nil {
		return nil, err
	}
	t.artist.best(ctx, t.loop.whole, own)
	t.artist.look(t.artist.results)
	r := t.loop.summary()
	r.Best, r.Last, r.Export = f.weights(bestName), f.weights(checkpoint.LastFile), f.weights(exportName)
	r.Metrics = runs.MetricsOf(t.loop.p.BestEpoch, runs.Row(t.loop.p.Best))
	if r.Branches, err = j.cost(ctx, graph); err != nil {
		return nil, err
	}
	return r, r.write(filepath.Join(f.dir, runs.SummaryFile))
}

// lostError is a run that stopped because a picture is gone, its state saved.
type lostError struct {
	lost  error
	saved string
}

func (e *lostError) Error() string {
	return fmt.Sprintf("stopped, since a picture cannot be read any more: %v", e.lost)
}

func (e *lostError) Unwrap() error { return e.lost }

// Hint says how the run goes on.
func (e *lostError) Hint() string {
	return "when it is there again, `resume " + e.saved + "` goes on with the same step"
}
