package loader

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// MaxImageSize bounds the side to which pictures are brought: a batch of one then has
// 200 MB, and a network's values many times that.
const MaxImageSize = 8192

// Options says what a Loader makes. The zero values of fields not marked
// otherwise switch things off.
type Options struct {
	Samples   []dataset.Sample
	BatchSize int
	ImageSize int // width, and height unless Height says another; with Rect the longer side
	Height    int // 0: ImageSize
	Stride    int // what the sides of pictures are multiples of; 0: 32

	Augmentation

	Rect        bool    // batches of like shapes, as small as these allow: no shuffling, no mosaics
	Pad         float64 // strides added to the sides of such batches: .5 in YOLOv5's validation
	Part, Parts int     // of batches that are the same in every epoch only every Parts-th, from Part on; 0: all

	Seed     uint64
	Shuffle  bool
	DropLast bool // leaves out a last batch that is not full
	// Weights gives, before an epoch, each sample's weight; samples are then
	// drawn with replacement. nil takes each sample once.
	Weights func(epoch int) []float64

	Reading
}

// Augmentation says how pictures are changed before they are trained on.
type Augmentation struct {
	Augment     bool // HSV, flips, perspective and mosaics with the chances of Hyp
	Hyp         dataset.Hyp
	Nine        float64 // share of mosaics made of nine pictures instead of four
	Epochs      int     // of the whole run; only CloseMosaic asks
	CloseMosaic int     // the last epochs that go without mosaics
	MultiScale  bool    // each batch has a side of its own, from half to one and a half ImageSize
	Quad        bool    // four pictures make one of twice the side; a batch has a quarter as many
}

// Reading says how pictures come from their files, and what is kept of them.
type Reading struct {
	BadImages dataset.Policy // Skip (default) or Reject, for pictures that cannot be decoded
	Limits    picture.Limits
	Workers   int   // goroutines; 0: one per core
	Prefetch  int   // batches made ahead; 0: 3
	CacheRAM  int64 // bytes of decoded pictures to keep in memory
	Disk      DiskCache
}

// Loader makes batches of pictures ahead of their consumer. Everything random
// comes from generators seeded by (Seed, epoch, sample), so that the batches do
// not depend on the number of workers.
type Loader struct {
	o      Options
	fixed  []plan // with Rect or Parts: the batches of every epoch
	store  *pictureStore
	waited atomic.Int64

	mu      sync.Mutex
	studios []*studio
	images  [][]uint8 // of recycled batches
}

// size is that of pictures without Rect.
func (o *Options) size() dataset.Size { return dataset.SizeOf(o.ImageSize, o.Height) }

// New checks the options. Nothing is read yet.
func New(o Options) (*Loader, error) {
	if o.Stride == 0 {
		o.Stride = 32
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Prefetch <= 0 {
		o.Prefetch = 3
	}
	if o.BadImages == "" {
		o.BadImages = dataset.Skip
	}
	switch {
	case o.BatchSize < 1:
		return nil, fmt.Errorf("load pictures: batch size %d, want 1 or more", o.BatchSize)
	case o.Quad && o.BatchSize%4 != 0:
		return nil, fmt.Errorf("load pictures: batch size %d with quad, want a multiple of 4", o.BatchSize)
	case o.Quad && (o.Rect || len(o.Samples) < 4):
		return nil, fmt.Errorf("load pictures: quad needs at least 4 pictures and no rect")
	case o.Stride < 1 || o.ImageSize < o.Stride || o.ImageSize%o.Stride != 0:
		return nil, fmt.Errorf("load pictures: image size %d, want a multiple of the stride %d", o.ImageSize, o.Stride)
	case o.ImageSize > MaxImageSize || o.Height > MaxImageSize:
		return nil, fmt.Errorf("load pictures: image size %v, want %d at most", o.size(), MaxImageSize)
	case o.Height < 0 || o.Height%o.Stride != 0:
		return nil, fmt.Errorf("load pictures: image height %d, want a multiple of the stride %d", o.Height, o.Stride)
	case o.Rect && !o.size().IsSquare():
		return nil, fmt.Errorf("load pictures: rect makes shapes of its own: want one side, not %v", o.size())
	case len(o.Samples) == 0:
		return nil, fmt.Errorf("load pictures: the split is empty")
	case o.BadImages != dataset.Skip && o.BadImages != dataset.Reject:
		return nil, fmt.Errorf("load pictures: bad-images %q: must be skip or reject", o.BadImages)
	}
	for _, s := range o.Samples {
		if s.Width < 1 || s.Height < 1 {
			return nil, fmt.Errorf("load pictures: %s: size %dx%d unknown", s.Path, s.Width, s.Height)
		}
	}
	store, err := newPictureStore(&o)
	if err != nil {
		return nil, err
	}
	l := &Loader{o: o, store: store}
	if o.Rect {
		l.fixed = rectPlans(o.Samples, o.BatchSize, o.ImageSize, o.Stride, o.Pad)
		if last := len(l.fixed) - 1; o.DropLast && len(l.fixed[last].slots) < o.BatchSize {
			l.fixed = l.fixed[:last]
		}
	} else if o.Parts > 1 {
		all := make([]int, len(o.Samples))
		for i := range all {
			all[i] = i
		}
		l.fixed = evenPlans(all, o.BatchSize, o.size(), o.DropLast)
	}
	if o.Parts > 1 {
		all := l.fixed
		l.fixed = nil
		for i := o.Part; i < len(all); i += o.Parts {
			l.fixed = append(l.fixed, all[i])
		}
	}
	return l, nil
}

// Batches returns the number of batches in an epoch. Epochs can have fewer
// only where every picture of a batch was skipped.
func (l *Loader) Batches() int {
	n := len(l.o.Samples)
	switch {
	case l.o.Rect || l.o.Parts > 1:
		return len(l.fixed)
	case l.o.DropLast:
		return n / l.o.BatchSize
	case l.o.Quad && n%l.o.BatchSize < 4: // too few for one more picture
		return n / l.o.BatchSize
	}
	return (n + l.o.BatchSize - 1) / l.o.BatchSize
}

// Waited returns how long consumers have waited for batches so far.
func (l *Loader) Waited() time.Duration { return time.Duration(l.waited.Load()) }

// Bad lists the pictures skipped so far, in the order of the samples.
func (l *Loader) Bad() []BadPicture { return l.store.bad() }

// Recycle gives a batch's memory back; the batch must not be used any more.
func (l *Loader) Recycle(b *Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.images) <= l.o.Prefetch+1 {
		l.images = append(l.images, b.Images)
	}
	b.Images = nil
}

// buffer returns n bytes, recycled where possible.
func (l *Loader) buffer(n int) []uint8 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, img := range l.images {
		if cap(img) >= n {
			l.images = slices.Delete(l.images, i, i+1)
			return img[:n]
		}
	}
	return make([]uint8, n)
}

// job is a batch in the making.
type job struct {
	plan
	index                 int
	slotWidth, slotHeight int // of the picture of one slot
	batch                 *Batch
	left                  atomic.Int64 // pictures still to be made
	made                  []made       // one a picture
	done                  chan struct{}
	err                   error // set before done is closed
}

// made is what one picture contributes besides its pixels.
type made struct {
	skipped bool
	sample  int
	targets []Target
	frame   Frame
	err     error
}

// task is one picture of a job.
type task struct {
	job *job
	i   int
}

// Epoch gives the batches of an epoch in order, made by goroutines ahead of
// the consumer; they end with the loop. An error ends the epoch: the
// context's, or that of a picture under the policy reject. Epochs of
// one loader must not run at the same time.
func (l *Loader) Epoch(ctx context.Context, epoch int) iter.Seq2[*Batch, error] {
	return l.EpochFrom(ctx, epoch, 0)
}

// EpochFrom is Epoch without its first batches, which are not made: a run that
// was stopped within an epoch goes on with the batch it would have had.
func (l *Loader) EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		e, err := l.epoch(epoch)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		jobs, tasks := make(chan *job, l.o.Prefetch), make(chan task)
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		group.Go(func() { e.produce(ctx, first, jobs, tasks) })
		for range l.o.Workers {
			group.Go(func() { e.work(ctx, tasks) })
		}
		for {
			b, err := l.next(ctx, jobs)
			if b == nil && err == nil {
				return
			}
			if b != nil && b.Size == 0 {
				continue
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// next waits for the next batch; nil without an error at the end.
func (l *Loader) next(ctx context.Context, jobs <-chan *job) (*Batch, error) {
	start := time.Now()
	defer func() { l.waited.Add(int64(time.Since(start))) }()
	select {
	case j, more := <-jobs:
		if !more {
			return nil, ctx.Err()
		}
		select {
		case <-j.done:
			if j.err != nil {
				return nil, j.err
			}
			return j.batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
