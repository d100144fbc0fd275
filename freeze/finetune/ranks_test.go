package finetune

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"yolofreeze/freeze/checkpoint"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/collective"
)

// asRanks runs the options on ranks within this process; each rank has its context and, on rank
// 0, the reporter.
func asRanks(t *testing.T, size int, o options.Options, q *quiet, contexts ...context.Context) []error {
	t.Helper()
	errs := make([]error, size)
	var all sync.WaitGroup
	for _, g := range collective.InProcess(size) {
		ctx := t.Context()
		if g.Rank() < len(contexts) {
			ctx = contexts[g.Rank()]
		}
		var state *checkpoint.State
		if o.ResumeFrom != "" {
			var err error
			if state, err = checkpoint.Read(o.ResumeFrom); err != nil {
				t.Fatal(err)
			}
		}
		all.Go(func() {
			_, err := Resume(ctx, g, state, o, q)
			errs[g.Rank()] = g.Close(err, 3)
		})
	}
	all.Wait()
	return errs
}

func mustRunRanks(t *testing.T, size int, o options.Options, q *quiet) {
	t.Helper()
	for rank, err := range asRanks(t, size, o, q) {
		if err != nil {
			t.Fatalf("rank %d of %d: %v", rank, size, err)
		}
	}
}

// ranksRun are options of a run with an odd number of pictures for each of two ranks' batches, in
// which BatchNorm has batch statistics, and the number of steps that wait grows.
func ranksRun(t *testing.T) options.Options {
	o := smallRun(t)
	o.Kernels, o.Unfreeze, o.Epochs = "stock", []string{"1:all"}, 2
	return o
}

// TestRanks: two ranks end in the same state (which each epoch sees to), and so does a run that
// was stopped after any batch, on whichever rank, and went on.
func TestRanks(t *testing.T) {
	o := ranksRun(t)
	q := &quiet{t: t}
	mustRunRanks(t, 2, o, q)
	if !q.heard("2 ranks, 2 pictures of a batch on each") || len(q.rows) != 2 {
		t.Errorf("heard %q", q.lines)
	}
	dir := filepath.Join(o.Project, o.Name)
	straight := map[string][]byte{}
	for _, name := range lasting {
		straight[name] = fixture.MustRead(t, filepath.Join(dir, name))
	}
	stopped := errors.New("stopped")
	for rank := range 2 {
		for batch := 1; batch <= 5; batch += 2 {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			contexts := []context.Context{t.Context(), t.Context()}
			contexts[rank] = ctx
			errs := asRanks(t, 2, o, &quiet{t: t, onBatch: func(n int) {
				if n == batch {
					cancel(stopped)
				}
			}}, contexts...)
			for i, err := range errs {
				if want := map[bool]error{true: stopped, false: errStopped}[i == rank]; !errors.Is(err, want) {
					t.Fatalf("stopped on rank %d, rank %d returned %v", rank, i, err)
				}
			}
			mustRunRanks(t, 2, resumed(t, dir), &quiet{t: t})
			sameFiles(t, straight, dir)
		}
	}
}

// TestRanksResumeOther: a run goes on with another number of ranks, and says that it differs then.
func TestRanksResumeOther(t *testing.T) {
	o := ranksRun(t)
	o.Epochs, o.Unfreeze = 1, nil
	mustRunRanks(t, 2, o, &quiet{t: t})
	dir := filepath.Join(o.Project, o.Name)
	for _, size := range []int{1, 4} {
		again := resumed(t, dir)
		again.Epochs, again.Force = again.Epochs+1, true
		q := &quiet{t: t}
		mustRunRanks(t, size, again, q)
		if !q.heard("it does not come to the same weights") {
			t.Errorf("%d ranks: heard %q", size, q.lines)
		}
	}
}

// TestRanksFew: there are fewer pictures than ranks.
func TestRanksFew(t *testing.T) {
	o := ranksRun(t)
	train := filepath.Join(filepath.Dir(o.Data), "images", "train")
	pictures, err := os.ReadDir(train)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures[2:] {
		if err := os.Remove(filepath.Join(train, p.Name())); err != nil {
			t.Fatal(err)
		}
	}
	o.BatchSize, o.Epochs, o.Unfreeze = 6, 1, nil
	mustRunRanks(t, 3, o, &quiet{t: t})
}

// TestRanksFail: what goes wrong on one rank ends all, and rank 0 can say where.
func TestRanksFail(t *testing.T) {
	o := ranksRun(t)
	o.Hyp.LR0, o.Hyp.WarmupBiasLR = math.MaxFloat32, math.MaxFloat32
	for rank, err := range asRanks(t, 2, o, &quiet{t: t}) {
		if lost := (*NonFiniteError)(nil); !errors.As(err, &lost) {
			t.Errorf("rank %d ends with %v", rank, err)
		}
	}
	for _, c := range []struct {
		change func(*options.Options)
		want   string
	}{
		{func(o *options.Options) { o.BatchSize = 5 }, "must be a multiple"},
		{func(o *options.Options) { o.BatchSize = options.AutoBatch }, "give the total"},
		{func(o *options.Options) { o.ImageWeights = true }, "use one device"},
		{func(o *options.Options) { o.CacheFeatures = 1 }, "one device"},
		{func(o *options.Options) { o.Device = "cpu,tpu" }, `device "tpu" is not known`},
		{func(o *options.Options) { o.Data = "nowhere" }, "nowhere"},
	} {
		o := ranksRun(t)
		c.change(&o)
		for rank, err := range asRanks(t, 2, o, &quiet{t: t}) {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("rank %d ends with %v, want %q", rank, err, c.want)
			}
		}
	}
}
