package detect

import (
	"context"
	"math"
	"runtime"
	"time"

	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/picture"
	"yolofreeze/onnx/workers"
)

// Picture is what was found in one; its JSON keys are stable.
type Picture struct {
	Path    string   `json:"path"`
	Width   int      `json:"width"`
	Height  int      `json:"height"`
	Objects []Object `json:"detections"` // the most confident first
	Error   string   `json:"error,omitempty"`

	Err  error         `json:"-"` // why the picture was left out; nil: it was not
	Took time.Duration `json:"-"` // inference and suppression, its share of the batch's

	image *picture.Image
	raw   []metric.Detection // before rounding
}

// Object is one detection, rounded to what a picture can tell.
type Object struct {
	Class int        `json:"class"`
	Name  string     `json:"name"`
	Conf  float64    `json:"conf"`
	XYXY  [4]float64 `json:"xyxy"` // left, top, right, bottom in pixels of the picture
}

// prepared is a picture that was read and fitted.
type prepared struct {
	path     string
	original *picture.Image
	fitted   *picture.Image
	place    picture.Fit
	err      error
}

// Run reads pictures ahead, on as many goroutines as there are cores, detects in batches
// of neighbours of one size, and hands over each picture in its order.
func (f *Finder) Run(ctx context.Context, paths []string, each func(*Picture) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var batch []prepared
	flush := func() error {
		list := batch
		batch = batch[:0]
		return f.detect(list, each)
	}
	for p := range f.prepare(ctx, paths) {
		if p.err != nil {
			if err := flush(); err != nil {
				return err
			}
			if err := each(&Picture{Path: p.path, Objects: []Object{}, Err: p.err, Error: p.err.Error()}); err != nil {
				return err
			}
			continue
		}
		if len(batch) > 0 && (batch[0].fitted.Width != p.fitted.Width || batch[0].fitted.Height != p.fitted.Height) {
			if err := flush(); err != nil {
				return err
			}
		}
		if batch = append(batch, p); len(batch) == f.Batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return flush()
}

// prepare yields the pictures in order.
func (f *Finder) prepare(ctx context.Context, paths []string) <-chan prepared {
	ahead := make(chan chan prepared, runtime.GOMAXPROCS(0)+f.Batch)
	out := make(chan prepared)
	go func() {
		defer close(ahead)
		for _, path := range paths {
			ready := make(chan prepared, 1)
			select {
			case ahead <- ready:
				go func() {
					p := prepared{path: path}
					if err := workers.Try(func() { p = f.read(path) }); err != nil {
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

func (f *Finder) read(path string) prepared {
	p := prepared{path: path}
	if p.original, p.err = picture.Decode(path, picture.Limits{MinSide: 1}); p.err != nil {
		return p
	}
	o := picture.LetterboxOptions{Auto: !f.Fixed, Stride: f.stride, Enlarge: true}
	p.fitted, p.place = picture.Letterbox(p.original, f.Width, f.Height, o)
	return p
}

// detect detects in pictures of one size and hands them over.
func (f *Finder) detect(list []prepared, each func(*Picture) error) error {
	if len(list) == 0 {
		return nil
	}
	width, height := list[0].fitted.Width, list[0].fitted.Height
	area := 3 * width * height
	images := make([]uint8, len(list)*area)
	for i, p := range list {
		planes(images[i*area:], p.fitted)
	}
	start := time.Now()
	found, err := f.model.Detect(images, len(list), height, width, f.nms)
	if err != nil {
		return err
	}
	took := time.Since(start) / time.Duration(len(list))
	for i, p := range list {
		size := p.original
		metric.Restore(found[i], float32(p.place.RatioX), float32(p.place.PadX), float32(p.place.PadY), size.Width, size.Height)
		d := &Picture{Path: p.path, Width: size.Width, Height: size.Height, Objects: objectsOf(found[i], f.names()), Took: took, image: size, raw: found[i]}
		if err := each(d); err != nil {
			return err
		}
	}
	return nil
}

// objectsOf names detections.
func objectsOf(found []metric.Detection, names []string) []Object {
	list := make([]Object, len(found))
	for i, d := range found {
		list[i] = Object{d.Class, names[d.Class], rounded(d.Conf, 1e5),
			[4]float64{rounded(d.X1, 1e2), rounded(d.Y1, 1e2), rounded(d.X2, 1e2), rounded(d.Y2, 1e2)}}
	}
	return list
}

// rounded keeps as many digits as factor has zeros.
func rounded(v float32, factor float64) float64 { return math.Round(float64(v)*factor) / factor }

// planes lays a picture out as red, green and blue planes.
func planes(dst []uint8, img *picture.Image) {
	n := img.Width * img.Height
	for i := range n {
		dst[i], dst[n+i], dst[2*n+i] = img.Pix[3*i], img.Pix[3*i+1], img.Pix[3*i+2]
	}
}
