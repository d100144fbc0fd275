package finetune

import (
	"context"
	"iter"
	"time"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/step"
)

// batches makes the batches of epochs: the loader of pictures, or that of features.
type batches interface {
	EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*loader.Batch, error]
	Waited() time.Duration
	Recycle(*loader.Batch)
}

// featureLoader makes batches of cached features: in each epoch the pictures
// in the order of the loader that they came from, of each the view whose turn it is.
type featureLoader struct {
	store   *featureStore
	loader  *loader.Loader // knows the order
	side    int
	prepare func(*loader.Batch) error
	waited  time.Duration
	idle    chan step.Inputs // whose memory can be used again
}

// ahead is how many batches are made before they are asked for.
const ahead = 2

func newFeatureLoader(s *featureStore, l *loader.Loader, side int, prepare func(*loader.Batch) error) *featureLoader {
	return &featureLoader{store: s, loader: l, side: side, prepare: prepare, idle: make(chan step.Inputs, ahead+2)}
}

func (f *featureLoader) Waited() time.Duration { return f.waited }

func (f *featureLoader) Recycle(b *loader.Batch) {
	select {
	case f.idle <- b.Extra.(stepInput).feed:
	default:
	}
}

func (f *featureLoader) EpochFrom(ctx context.Context, epoch, first int) iter.Seq2[*loader.Batch, error] {
	type made struct {
		batch *loader.Batch
		err   error
	}
	return func(yield func(*loader.Batch, error) bool) {
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
				b, err := f.batch(pictures, epoch%f.store.Views)
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

// batch reads one view of the given pictures; those that could not be decoded are left out.
func (f *featureLoader) batch(pictures []int, view int) (*loader.Batch, error) {
	s := f.store
	b := &loader.Batch{Width: f.side, Height: f.side}
	var records []int
	for _, p := range pictures {
		if r := view*s.Images + p; s.there[r] != 0 {
			records, b.Samples = append(records, r), append(b.Samples, p)
		}
	}
	b.Size = len(records)
	feed := f.memory(b.Size)
	to := make([][]byte, len(s.Layers))
	for i, r := range records {
		for k, layer := range s.Layers {
			to[k] = feed[step.FeatureName(layer)][int64(i)*s.Bytes[k] : int64(i+1)*s.Bytes[k]]
		}
		if err := s.read(r, to); err != nil {
			return nil, err
		}
		for _, t := range s.targets[r] {
			t.Image = int32(i)
			b.Targets = append(b.Targets, t)
		}
	}
	if err := f.prepare(b); err != nil {
		return nil, err
	}
	b.Extra = stepInput{b.Extra.(stepInput).matches, feed}
	return b, nil
}

// memory returns room for a batch of n pictures.
func (f *featureLoader) memory(n int) step.Inputs {
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
