package loader

import (
	"context"
	"errors"
	"fmt"
	"math"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/workers"
)

// What a generator is for, told apart in its seed.
const (
	forOrder = iota
	forPicture
	forScale
	forQuad
)

// epoch makes the batches of one epoch.
type epoch struct {
	*Loader
	number int
	pool   []int // the samples of the epoch, in its order
	plans  []plan
	mosaic bool
}

func (l *Loader) epoch(number int) (*epoch, error) {
	o := &l.o
	e := &epoch{Loader: l, number: number, plans: l.fixed}
	e.mosaic = !o.Rect && (o.CloseMosaic <= 0 || number < o.Epochs-o.CloseMosaic)
	r := generator(o.Seed, forOrder, uint64(number))
	var weights []float64
	if o.Weights != nil {
		weights = o.Weights(number)
		if len(weights) != len(o.Samples) {
			return nil, fmt.Errorf("draw pictures: %d weights for %d samples", len(weights), len(o.Samples))
		}
	}
	switch {
	case o.Rect || weights == nil && !o.Shuffle:
		for i := range o.Samples {
			e.pool = append(e.pool, i)
		}
	case weights == nil:
		e.pool = r.Perm(len(o.Samples))
	default:
		e.pool = weightedDraws(weights, len(o.Samples), r)
	}
	if !o.Rect && o.Parts <= 1 {
		e.plans = evenPlans(e.pool, o.BatchSize, o.size(), o.DropLast)
	}
	return e, nil
}

// Order returns the samples of an epoch's batches, in turn.
func (l *Loader) Order(epoch int) ([][]int, error) {
	e, err := l.epoch(epoch)
	if err != nil {
		return nil, err
	}
	order := make([][]int, len(e.plans))
	for i, p := range e.plans {
		for _, s := range p.slots {
			order[i] = append(order[i], s.sample)
		}
	}
	return order, nil
}

// perPicture is how many slots of a plan make one picture.
func (e *epoch) perPicture() int {
	if e.o.Quad {
		return 4
	}
	return 1
}

// produce hands out the pictures of the batches from first on, no more than Prefetch
// unfinished or unclaimed batches ahead.
func (e *epoch) produce(ctx context.Context, first int, jobs chan<- *job, tasks chan<- task) {
	defer close(jobs)
	defer close(tasks)
	for i, p := range e.plans {
		n := len(p.slots) / e.perPicture()
		if i < first || n == 0 {
			continue
		}
		w, h := p.width, p.height
		if e.o.Quad {
			p.width, p.height = 2*w, 2*h
		}
		if e.o.MultiScale {
			p.width, p.height = e.scaled(i, p.width, p.height)
		}
		b := &Batch{Size: n, Width: p.width, Height: p.height}
		j := &job{plan: p, index: i, slotWidth: w, slotHeight: h, batch: b, made: make([]made, n), done: make(chan struct{})}
		j.left.Store(int64(n))
		if j.err = workers.Try(func() { b.Images = e.buffer(n * 3 * p.width * p.height) }); j.err != nil {
			close(j.done)
			n = 0
		}
		select {
		case jobs <- j:
		case <-ctx.Done():
			return
		}
		for k := range n {
			select {
			case tasks <- task{j, k}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// scaled draws the size of a batch: a side from half to one and a half times
// the image size, both sides rounded up to the stride.
func (e *epoch) scaled(batch, w, h int) (int, int) {
	size, stride := e.o.size().Longer(), e.o.Stride
	if e.o.Quad {
		size *= 2
	}
	from, to := size/2, size*3/2+stride
	side := (from + generator(e.o.Seed, forScale, uint64(e.number), uint64(batch)).IntN(to-from)) / stride * stride
	side = max(side, stride)
	factor := float64(side) / float64(max(w, h))
	up := func(v int) int { return int(math.Ceil(float64(v)*factor/float64(stride))) * stride }
	return up(w), up(h)
}

func (e *epoch) work(ctx context.Context, tasks <-chan task) {
	st := e.studio(ctx)
	defer e.giveBack(st)
	for t := range tasks {
		if ctx.Err() != nil {
			return
		}
		j := t.job
		if err := workers.Try(func() { j.made[t.i] = e.picture(st, j, t.i) }); err != nil {
			j.made[t.i] = made{err: err}
		}
		if j.left.Add(-1) == 0 {
			if err := workers.Try(func() { j.err = e.finish(j) }); err != nil {
				j.err = err
			}
			close(j.done)
		}
	}
}

// studio returns an idle studio or a new one, which opens pictures until ctx ends.
func (e *epoch) studio(ctx context.Context) *studio {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := &studio{hyp: &e.o.Hyp}
	if n := len(e.studios); n > 0 {
		st, e.studios = e.studios[n-1], e.studios[:n-1]
	}
	st.open = func(i int) (*picture.Image, []dataset.Label, error) { return e.store.open(ctx, i) }
	return st
}

func (e *epoch) giveBack(st *studio) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.studios = append(e.studios, st)
}

// finish joins the pictures of a batch, closing the gaps of skipped ones.
func (e *epoch) finish(j *job) error {
	b := j.batch
	area := 3 * b.Width * b.Height
	kept := 0
	for i, m := range j.made {
		if m.err != nil {
			return m.err
		}
		if m.skipped {
			continue
		}
		if kept < i {
			copy(b.Images[area*kept:area*(kept+1)], b.Images[area*i:])
		}
		for _, t := range m.targets {
			t.Image = int32(kept)
			b.Targets = append(b.Targets, t)
		}
		b.Samples = append(b.Samples, m.sample)
		b.Frames = append(b.Frames, m.frame)
		kept++
	}
	b.Size, b.Images = kept, b.Images[:area*kept]
	return nil
}

// picture makes picture i of a batch, pixels included.
func (e *epoch) picture(st *studio, j *job, i int) made {
	n := e.perPicture()
	slots := j.slots[n*i : n*(i+1)]
	img, m := e.single(st, j, slots[0])
	if e.o.Quad {
		img, m = e.quad(st, j, i, slots, img, m)
	}
	if m.err != nil || m.skipped {
		return m
	}
	b := j.batch
	if img.Width != b.Width || img.Height != b.Height {
		img = picture.Resize(img, b.Width, b.Height, false)
	}
	area := 3 * b.Width * b.Height
	img.Planes(b.Images[area*i : area*(i+1)])
	return m
}

// single makes the picture of one slot, of the size of the plan before quad
// and scaling. The picture is valid until the studio's next.
func (e *epoch) single(st *studio, j *job, s slot) (*picture.Image, made) {
	w, h := j.slotWidth, j.slotHeight
	m := made{sample: s.sample}
	var img *picture.Image
	var objs []object
	if e.o.Augment {
		d := &drawer{
			r: generator(e.o.Seed, forPicture, uint64(e.number), uint64(s.sample), uint64(s.repeat)),
			h: &e.o.Hyp, nine: e.o.Nine, size: e.o.size(), pool: e.pool,
		}
		params := d.picture(s.sample, e.mosaic)
		img, objs, m.err = st.augmented(s.sample, params, w, h)
	} else {
		var place picture.Fit
		img, objs, place, m.err = st.plain(s.sample, w, h, false)
		m.frame.PadX, m.frame.PadY = place.PadX, place.PadY
		m.frame.Ratio = place.RatioY
	}
	if errors.Is(m.err, errSkipped) {
		return nil, made{skipped: true}
	}
	if m.err == nil {
		sample := &e.o.Samples[s.sample]
		m.frame.Width, m.frame.Height = sample.Width, sample.Height
		if !e.o.Augment {
			_, resized := picture.FitSize(sample.Width, sample.Height, e.o.size().Longer())
			m.frame.Ratio *= float64(resized) / float64(sample.Height) // the height's, also for widths, as YOLOv5
		}
		m.targets = targets(nil, objs, w, h)
	}
	return img, m
}

// quad puts the first of four pictures, made already, and the others into one
// of twice the side, or enlarges the first to that size, as a coin decides.
func (e *epoch) quad(st *studio, j *job, i int, slots []slot, img *picture.Image, m made) (*picture.Image, made) {
	if m.err != nil || m.skipped {
		return img, m
	}
	if generator(e.o.Seed, forQuad, uint64(e.number), uint64(j.index), uint64(i)).Float64() < .5 {
		return picture.Resize(img, 2*img.Width, 2*img.Height, false), m
	}
	out := st.quad.Sized(2*img.Width, 2*img.Height)
	all := m
	all.targets = nil
	for k, s := range slots {
		if k > 0 {
			if img, m = e.single(st, j, s); m.err != nil || m.skipped {
				return img, m
			}
		}
		column, row := k/2, k%2
		part{column * img.Width, row * img.Height, img.Width, img.Height}.paste(out, img)
		for _, t := range m.targets {
			t.X, t.Y = (t.X+float32(column))/2, (t.Y+float32(row))/2
			t.W, t.H = t.W/2, t.H/2
			all.targets = append(all.targets, t)
		}
	}
	return out, all
}
