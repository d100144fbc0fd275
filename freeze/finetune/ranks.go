package finetune

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"

	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/collective"
)

// errStopped is why a run ends on a rank when another one was asked to stop.
var errStopped = errors.New("another rank was asked to stop")

// team are the ranks of a run; a nil Group is this process alone.
type team struct{ *collective.Group }

// several tells whether there are more ranks than this one.
func (t team) several() bool { return t.Size() > 1 }

// fit refuses what several ranks cannot do together.
func (t team) fit(o *options.Options) error {
	if !t.several() {
		return nil
	}
	bad := func(format string, args ...any) error { return &options.Error{Reason: fmt.Sprintf(format, args...)} }
	switch {
	case o.BatchSize == options.AutoBatch:
		return bad("batch size %d with %d devices: what fits is not sought on several; give the total", options.AutoBatch, t.Size())
	case o.BatchSize%t.Size() != 0:
		return bad("batch size %d: it is the total of %d devices, and must be a multiple of that", o.BatchSize, t.Size())
	case o.ImageWeights:
		return bad("image weights draw from all pictures, and each of %d devices has its own: use one device", t.Size())
	case o.CacheFeatures > 0:
		return bad("cache-features goes with one device, not with %d", t.Size())
	}
	o.NoPlots = o.NoPlots || !t.Root()
	return nil
}

// share returns this rank's own pictures, the same in all epochs: every Size-th of an order that
// all draw alike, and as many on each rank, for which the first ones of a rank come twice.
func (t team) share(all []dataset.Sample, seed uint64) (own []dataset.Sample) {
	if !t.several() || len(all) == 0 {
		return all
	}
	order := rand.New(rand.NewPCG(seed, uint64(t.Size()))).Perm(len(all))
	for _, i := range t.Share(len(all)) {
		own = append(own, all[order[i]])
	}
	for i := 0; len(own)*t.Size() < len(all) || len(own) == 0; i++ {
		own = append(own, all[order[(t.Rank()+i)%len(all)]])
	}
	return own
}

// seed is that of a rank's pictures: as YOLOv5's, each rank of several has another.
func (t team) seed(seed uint64) uint64 {
	if !t.several() {
		return seed
	}
	return seed + 1 + uint64(t.Rank())
}

// odd is the first rank whose sum is not rank 0's, 0 where there is none.
func (t team) odd(sum []byte) (int, error) {
	sums, err := t.Gather(sum)
	return max(slices.IndexFunc(sums, func(s []byte) bool { return !bytes.Equal(s, sums[0]) }), 0), err
}

// agree sees that all ranks are about to train the same, and tells of it.
func (j *job) agree() error {
	if was := max(j.begin().Ranks, 1); j.resumed != nil && was != j.ranks.Size() {
		j.r.Warnf("the run had %d ranks so far, and goes on with %d: each has other pictures, so it does not come to the same weights", was, j.ranks.Size())
	}
	if !j.ranks.several() {
		return nil
	}
	h := sha256.New()
	o := j.o.Options
	o.Device, o.Workers, o.Cache, o.NoPlots, o.Data, o.Weights = "", 0, "", false, "", "" // which may differ from host to host
	text, err := o.YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %s %v %+v", text, j.fingerprint, j.model.Net.Anchors, j.begin())
	for _, name := range slices.Sorted(maps.Keys(j.model.State)) {
		h.Write(j.model.State[name].Raw)
	}
	rank, err := j.ranks.odd(h.Sum(nil))
	if err != nil {
		return err
	}
	if rank > 0 {
		return &options.Error{Reason: fmt.Sprintf("rank %d was given other weights, data or options than rank 0", rank)}
	}
	j.r.Logf("%d ranks, %d pictures of a batch on each; gradients are summed once a step", j.ranks.Size(), j.o.BatchSize/j.ranks.Size())
	return nil
}

// inStep goes through a rank's batches at the pace of all: as long as one has a batch, all take a
// turn; who has none left gets nil. When a rank is asked to stop, all do so behind the next step.
func (l *loop) inStep(ctx context.Context, own iter.Seq2[*batch, error]) iter.Seq2[*batch, error] {
	if !l.ranks.several() {
		return own
	}
	return func(yield func(*batch, error) bool) {
		next, stop := iter.Pull2(own)
		defer stop()
		for {
			b, err, more := next()
			turn := [2]float64{} // ranks that have a batch, and that are to stop
			if more {
				turn[0] = 1
			}
			if ctx.Err() != nil {
				turn[1] = 1
			}
			if err == nil {
				err = l.ranks.SumFloat64(turn[:])
			}
			switch {
			case err != nil:
				yield(nil, err)
				return
			case turn[1] > 0 && (l.p.Batch == 0 || l.p.LastStep == l.p.Iteration-1):
				l.stop(errStopped)
				yield(nil, context.Canceled)
				return
			case turn[0] == 0 || !yield(b, nil):
				return
			}
		}
	}
}

// mean puts the mean over all ranks that had a batch in the place of a batch's losses, and returns
// how many pictures all of them had.
func (l *loop) mean(s *stepped, pictures int, had bool) (int, error) {
	if !l.ranks.several() {
		return pictures, nil
	}
	sums := []float64{s.loss.Box, s.loss.Obj, s.loss.Cls, float64(pictures), 0}
	if had {
		sums[4] = 1
	}
	if err := l.ranks.SumFloat64(sums); err != nil {
		return 0, err
	}
	s.loss.Box, s.loss.Obj, s.loss.Cls = sums[0]/sums[4], sums[1]/sums[4], sums[2]/sums[4]
	return int(sums[3]), nil
}

// alike sees that all ranks hold the same state, to the byte, as they do as long as they compute
// alike: on processors that round otherwise they would drift apart.
func (l *loop) alike() error {
	if !l.ranks.several() {
		return nil
	}
	if err := l.engine.Sync(); err != nil {
		return err
	}
	h := sha256.New()
	for _, p := range l.engine.Graphs.Trainable { // running statistics differ until the next step
		h.Write(l.engine.Trained[p.Name].Raw)
	}
	for _, name := range slices.Sorted(maps.Keys(l.engine.Optimizer)) {
		h.Write(l.engine.Optimizer[name].Raw)
	}
	rank, err := l.ranks.odd(h.Sum(nil))
	if err == nil && rank > 0 {
		err = fmt.Errorf("epoch %d: rank %d holds other weights than rank 0; their hosts or runtimes compute differently", l.p.Epoch, rank)
	}
	return err
}

// openFolder opens the run's folder on rank 0, and tells the others where it is.
func (t *run) openFolder() error {
	j := t.job
	if j.ranks.Root() {
		if err := t.folder.open(j); err != nil {
			return err
		}
		if err := t.folder.describe(j); err != nil {
			return err
		}
	}
	dirs, err := j.ranks.Gather([]byte(t.folder.dir))
	if err == nil {
		t.folder.dir = string(dirs[0])
	}
	return err
}

// silent hears what a rank does that is not rank 0, and says nothing.
type silent struct{}

func (silent) Logf(string, ...any)  {}
func (silent) Warnf(string, ...any) {}
func (silent) Data(*dataset.Set)    {}
func (silent) Plan(*freeze.Plan)    {}
func (silent) Batch(BatchResult)    {}
func (silent) Validating(int, int)  {}
func (silent) Epoch(EpochResult)    {}

// heard is who hears of a run on a rank.
func (t team) heard(r Reporter) Reporter {
	if t.Root() {
		return r
	}
	return silent{}
}
