package main

import (
	"context"
	"math"
	"runtime"
	"time"

	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/workers"
)

// detection is one run of detect over all pictures.
type detection struct {
	t      *terminal
	finder *finder
	saver  *pictureSaver

	total, done, bad int
	firstBad         error
	inference        time.Duration
}

// prepared is a picture that was read and fitted.
type prepared struct {
	path     string
	original *picture.Image
	fitted   *picture.Image
	place    picture.Placement
	err      error
}

// run reads pictures ahead, on as many goroutines as there are cores, and
// detects in batches of neighbours of one size.
func (r *detection) run(ctx context.Context, pictures []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var batch []prepared
	for p := range r.prepare(ctx, pictures) {
		if p.err != nil {
			if err := r.flush(&batch); err != nil {
				return err
			}
			if err := r.skip(p); err != nil {
				return err
			}
			continue
		}
		if len(batch) > 0 && (batch[0].fitted.Width != p.fitted.Width || batch[0].fitted.Height != p.fitted.Height) {
			if err := r.flush(&batch); err != nil {
				return err
			}
		}
		if batch = append(batch, p); len(batch) == r.finder.batch {
			if err := r.flush(&batch); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.flush(&batch)
}

// prepare yields the pictures in order.
func (r *detection) prepare(ctx context.Context, pictures []string) <-chan prepared {
	ahead := make(chan chan prepared, runtime.GOMAXPROCS(0)+r.finder.batch)
	out := make(chan prepared)
	go func() {
		defer close(ahead)
		for _, path := range pictures {
			ready := make(chan prepared, 1)
			select {
			case ahead <- ready:
				go func() {
					p := prepared{path: path}
					if err := workers.Try(func() { p = r.finder.prepare(path) }); err != nil {
						p.err = err
					}
					ready <- p
				}()
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		defer close(out)
		for ready := range ahead {
			select {
			case out <- <-ready:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f *finder) prepare(path string) prepared {
	p := prepared{path: path}
	if p.original, p.err = picture.Decode(path, picture.Limits{MinSide: 1}); p.err != nil {
		return p
	}
	o := picture.LetterboxOptions{Auto: f.auto, Stride: f.stride, Enlarge: true}
	p.fitted, p.place = picture.Letterbox(p.original, f.width, f.height, o)
	return p
}

// flush detects in the batch gathered so far and empties it.
func (r *detection) flush(batch *[]prepared) error {
	list := *batch
	if len(list) == 0 {
		return nil
	}
	*batch = list[:0]
	width, height := list[0].fitted.Width, list[0].fitted.Height
	area := 3 * width * height
	images := make([]uint8, len(list)*area)
	for i, p := range list {
		planes(images[i*area:], p.fitted)
	}
	start := time.Now()
	found, err := r.finder.model.Detect(images, len(list), height, width, r.finder.nms)
	if err != nil {
		return err
	}
	took := time.Since(start)
	r.inference += took
	for i, p := range list {
		size := p.original
		metric.Restore(found[i], float32(p.place.RatioX), float32(p.place.PadX), float32(p.place.PadY), size.Width, size.Height)
		d := &detected{Path: p.path, Width: size.Width, Height: size.Height, Detections: objectsOf(found[i], r.finder.names()), raw: found[i]}
		if err := r.saver.add(d, size); err != nil {
			return err
		}
		if err := r.tell(d, took/time.Duration(len(list))); err != nil {
			return err
		}
	}
	return nil
}

// skip leaves out a picture that cannot be read.
func (r *detection) skip(p prepared) error {
	r.t.warnf("left out: %v", p.err)
	if r.bad++; r.firstBad == nil {
		r.firstBad = p.err
	}
	r.done++
	return r.t.stream(&detected{Path: p.path, Detections: []foundObject{}, Error: oneLine(p.err.Error())})
}

func (r *detection) tell(d *detected, took time.Duration) error {
	r.done++
	if r.t.json {
		return r.t.stream(d)
	}
	return d.write(printable{r.t.out}, r.done, r.total, took)
}

// rounded keeps as many digits as factor has zeros.
func rounded(v float32, factor float64) float64 { return math.Round(float64(v)*factor) / factor }
