package finetune

import (
	"context"
	"iter"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/features"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/workers"
)

// batch is what a step takes.
type batch struct {
	*loader.Batch
	inputs step.Inputs // pictures, or what frozen layers made of them
}

// samples are the indices of its pictures; those of no batch are none.
func (b *batch) samples() []int {
	if b == nil {
		return nil
	}
	return b.Samples
}

// batches makes the batches of epochs: of pictures, or of cached features.
type batches interface {
	EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*batch, error]
	Waited() time.Duration
	Recycle(*batch)
}

// pictureSource makes batches of pictures.
type pictureSource struct{ loader *loader.Loader }

func (s pictureSource) Waited() time.Duration { return s.loader.Waited() }
func (s pictureSource) Recycle(b *batch)      { s.loader.Recycle(b.Batch) }

func (s pictureSource) EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*batch, error] {
	return func(yield func(*batch, error) bool) {
		for b, err := range s.loader.EpochFrom(ctx, epoch, first) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&batch{b, step.Inputs{step.ImagesName: b.Images}}, nil) {
				return
			}
		}
	}
}

// featureSource makes batches of cached features: in each epoch the pictures
// in the order of the loader that they came from, of each the view whose turn it is.
type featureSource struct {
	store  *features.Store
	loader *loader.Loader // knows the order
	size   dataset.Size
	waited time.Duration
	idle   chan step.Inputs // whose memory can be used again
}

// ahead is how many batches are made before they are asked for.
const ahead = 2

func newFeatureSource(s *features.Store, l *loader.Loader, size dataset.Size) *featureSource {
	return &featureSource{store: s, loader: l, size: size, idle: make(chan step.Inputs, ahead+2)}
}

func (f *featureSource) Waited() time.Duration { return f.waited }

func (f *featureSource) Recycle(b *batch) {
	select {
	case f.idle <- b.inputs:
	default:
	}
}

func (f *featureSource) EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*batch, error] {
	type made struct {
		batch *batch
		err   error
	}
	return func(yield func(*batch, error) bool) {
		order, err := f.loader.Order(epoch)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		queue := make(chan made, ahead)
		defer func() { // the maker must not outlive the loop: it reads the mapped file
			cancel()
			for range queue {
			}
		}()
		go func() {
			defer close(queue)
			for _, pictures := range order[min(first, len(order)):] {
				var b *batch
				var err error
				if failed := workers.Try(func() { b, err = f.view(pictures, epoch%f.store.Views) }); failed != nil {
					b, err = nil, failed
				}
				if b != nil && b.Size == 0 {
					continue
				}
				select {
				case queue <- made{b, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
		for {
			start := time.Now()
			m, more := <-queue
			f.waited += time.Since(start)
			if err := ctx.Err(); err != nil { // the maker may have ended before the epoch did
				m = made{nil, err}
			} else if !more {
				return
			}
			if !yield(m.batch, m.err) || m.err != nil {
				return
			}
		}
	}
}

// view reads one view of the given pictures; those that could not be decoded are left out.
func (f *featureSource) view(pictures []int, view int) (*batch, error) {
	s := f.store
	b := &batch{Batch: &loader.Batch{Width: f.size.Width, Height: f.size.Height}}
	var records []int
	for _, p := range pictures {
		if r := view*s.Images + p; s.Has(r) {
			records, b.Samples = append(records, r), append(b.Samples, p)
		}
	}
	b.Size = len(records)
	b.inputs = f.memory(b.Size)
	to := make([][]byte, len(s.Layers))
	for i, r := range records {
		for k, layer := range s.Layers {
			to[k] = b.inputs[step.FeatureName(layer)][int64(i)*s.Bytes[k] : int64(i+1)*s.Bytes[k]]
		}
		if err := s.Read(r, to); err != nil {
			return nil, err
		}
		for _, t := range s.Targets(r) {
			t.Image = int32(i)
			b.Targets = append(b.Targets, t)
		}
	}
	return b, nil
}

// memory returns room for a batch of n pictures.
func (f *featureSource) memory(n int) step.Inputs {
	var feed step.Inputs
	select {
	case feed = <-f.idle:
	default:
		feed = step.Inputs{}
	}
	for k, layer := range f.store.Layers {
		name, bytes := step.FeatureName(layer), int64(n)*f.store.Bytes[k]
		if int64(cap(feed[name])) < bytes {
			feed[name] = make([]byte, bytes)
		}
		feed[name] = feed[name][:bytes]
	}
	return feed
}
