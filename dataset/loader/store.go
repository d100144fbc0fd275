package loader

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"syscall"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

// errSkipped stands for a picture left out because it cannot be decoded.
var errSkipped = errors.New("picture skipped")

// BadPicture is a picture that was skipped, and why.
type BadPicture struct {
	Path string
	Err  error
}

// pictureStore gives decoded pictures, resized for training, and keeps as many
// as its budgets allow. It may be used from several goroutines.
type pictureStore struct {
	samples []dataset.Sample
	size    int
	smooth  bool // shrink by area
	limits  picture.Limits
	reject  bool // a bad picture is an error
	replace bool // the next sample stands in for a bad one
	disk    *diskCache

	mu     sync.Mutex
	kept   []*picture.Image // by sample; nil: not in memory
	seen   []bool           // by sample: it was decoded before
	budget int64            // bytes that may still be kept
	failed map[int]error
}

func newPictureStore(o *Options) (*pictureStore, error) {
	s := &pictureStore{
		samples: o.Samples, size: o.size().Longer(), smooth: !o.Augment, limits: o.Limits,
		reject: o.BadImages == dataset.Reject, replace: o.Augment || o.Shuffle,
		kept: make([]*picture.Image, len(o.Samples)), seen: make([]bool, len(o.Samples)), budget: o.CacheRAM, failed: map[int]error{},
	}
	if o.Disk.Dir == "" {
		return s, nil
	}
	var err error
	s.disk, err = openDiskCache(o.Disk)
	return s, err
}

// open returns a sample's picture, which must not be changed, and its labels.
// In training the sample that follows stands in for one that cannot be
// decoded, so that batches keep their size; in validation that is errSkipped.
// A picture that the system does not give, or that was sound before, ends the epoch
// instead: what is trained on and measured never depends on such a thing.
func (s *pictureStore) open(ctx context.Context, i int) (*picture.Image, []dataset.Label, error) {
	var last error
	for range s.samples {
		img, err := s.picture(ctx, i)
		var lost *LostPictureError
		switch {
		case err == nil:
			return img, s.samples[i].Labels, nil
		case errors.As(err, &lost), ctx.Err() != nil:
			return nil, nil, err
		case s.reject:
			return nil, nil, &BadPictureError{err}
		case !s.replace:
			return nil, nil, errSkipped
		}
		last = err
		i = (i + 1) % len(s.samples)
	}
	return nil, nil, &BadPictureError{fmt.Errorf("none of %d pictures can be decoded; the last: %w", len(s.samples), last)}
}

// LostPictureError is a picture that was there when the run began and that the system
// does not give any more, or that has become unreadable since.
type LostPictureError struct{ Err error }

func (e *LostPictureError) Error() string { return e.Err.Error() }

func (e *LostPictureError) Unwrap() error { return e.Err }

// BadPictureError is a picture that cannot be used where that is not to be
// skipped.
type BadPictureError struct{ Err error }

func (e *BadPictureError) Error() string { return e.Err.Error() }

func (e *BadPictureError) Unwrap() error { return e.Err }

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *BadPictureError) BadInput() bool { return true }

// picture finds a picture in memory, on disk, or decodes it.
func (s *pictureStore) picture(ctx context.Context, i int) (*picture.Image, error) {
	s.mu.Lock()
	img, err := s.kept[i], s.failed[i]
	s.mu.Unlock()
	if img != nil || err != nil {
		return img, err
	}
	img, err = s.patiently(ctx, &s.samples[i])
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.seen[i] = true
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.seen[i] || isSystem(err):
		return nil, &LostPictureError{err}
	default:
		s.failed[i] = err
		return nil, err
	}
	if n := int64(len(img.Pix)); s.kept[i] == nil && n <= s.budget {
		s.kept[i] = img
		s.budget -= n
	}
	return img, nil
}

// patience is how often, with growing waits of together four seconds, a picture is
// asked for that the system does not give.
const patience = 6

func (s *pictureStore) patiently(ctx context.Context, sample *dataset.Sample) (img *picture.Image, err error) {
	wait := 60 * time.Millisecond
	for range patience {
		if img, err = s.load(sample); !isSystem(err) {
			return img, err
		}
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// isSystem tells an error that the system answers for from one of what is in a file.
func isSystem(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number)
}

func (s *pictureStore) load(sample *dataset.Sample) (*picture.Image, error) {
	var key string
	if s.disk != nil {
		key = s.disk.key(sample.Path, s.size, s.smooth)
		if img := s.disk.read(key); img != nil {
			return img, nil
		}
	}
	img, err := picture.DecodeInto(sample.Path, s.limits, func(img *picture.Image) (*picture.Image, error) {
		if img.Width != sample.Width || img.Height != sample.Height {
			return nil, fmt.Errorf("%s: is %dx%d pixels, was %dx%d when the data set was read",
				sample.Path, img.Width, img.Height, sample.Width, sample.Height)
		}
		return picture.FitSide(img, s.size, s.smooth), nil
	})
	if err != nil {
		return nil, err
	}
	if s.disk != nil {
		s.disk.write(key, img)
	}
	return img, nil
}

func (s *pictureStore) bad() []BadPicture {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []int
	for i := range s.failed {
		list = append(list, i)
	}
	sort.Ints(list)
	out := make([]BadPicture, len(list))
	for k, i := range list {
		out[k] = BadPicture{s.samples[i].Path, s.failed[i]}
	}
	return out
}
