package synth

import (
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
	"yolofreeze/dataset/yolo"
	"yolofreeze/onnx/disk"
)

// Options says what is drawn; zero fields take the defaults named.
type Options struct {
	Shapes     []string       // the classes in order; the family "plain"
	Counts     map[string]int // pictures per split; train 128, val 32
	Size       int            // side in pixels; 160
	MaxObjects int            // at most this many in a picture, at least one; 4
	Seed       uint64
	JPEG       bool // instead of PNG
}

func (o Options) filled() (Options, error) {
	if len(o.Shapes) == 0 {
		o.Shapes = Families["plain"]
	}
	if len(o.Counts) == 0 {
		o.Counts = map[string]int{"train": 128, "val": 32}
	}
	if o.Size == 0 {
		o.Size = 160
	}
	if o.MaxObjects == 0 {
		o.MaxObjects = 4
	}
	for _, name := range o.Shapes {
		if shapes[name] == nil {
			return o, fmt.Errorf("shape %q: there is no such shape", name)
		}
	}
	if err := dataset.CheckNames(o.Shapes); err != nil {
		return o, fmt.Errorf("shapes: %w", err)
	}
	if o.Size < 32 || o.Size > 4096 {
		return o, fmt.Errorf("size %d: must be from 32 to 4096", o.Size)
	}
	if o.MaxObjects < 1 || o.MaxObjects > 100 {
		return o, fmt.Errorf("objects %d: must be from 1 to 100", o.MaxObjects)
	}
	for split, n := range o.Counts {
		if n < 0 || n > 10_000_000 {
			return o, fmt.Errorf("%s: %d pictures: must be from 0 to 10000000", split, n)
		}
	}
	return o, nil
}

// Write draws a YOLO data set into a folder that must not exist or be empty.
func Write(dir string, o Options) error {
	o, err := o.filled()
	if err != nil {
		return err
	}
	return dataset.WriteFolder(dir, func(tmp string) error {
		var splits []string
		for _, split := range dataset.SplitNames {
			if o.Counts[split] == 0 {
				continue
			}
			splits = append(splits, split)
			if err := dataset.MakeFolders(tmp, "images/"+split, "labels/"+split); err != nil {
				return err
			}
			if err := o.writeSplit(tmp, split); err != nil {
				return err
			}
		}
		return yolo.WriteConfig(tmp, dir, o.Shapes, splits)
	})
}

func (o Options) writeSplit(dir, split string) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < o.Counts[split] && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = o.writePicture(dir, split, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (o Options) writePicture(dir, split string, i int) error {
	img, labels := o.Picture(split, i)
	name, ext := fmt.Sprintf("%06d", i), ".png"
	if o.JPEG {
		ext = ".jpg"
	}
	if err := encode(filepath.Join(dir, "images", split, name+ext), img, o.JPEG); err != nil {
		return err
	}
	return disk.Put(filepath.Join(dir, "labels", split, name+".txt"), disk.Bytes(yolo.FormatLabels(labels, dataset.WriteOptions{})))
}

func encode(file string, img *picture.Image, asJPEG bool) error {
	rgba := image.NewRGBA(image.Rect(0, 0, img.Width, img.Height))
	for i := range img.Width * img.Height {
		copy(rgba.Pix[4*i:4*i+3], img.Pix[3*i:3*i+3])
		rgba.Pix[4*i+3] = 255
	}
	return disk.Put(file, func(w io.Writer) error {
		if asJPEG {
			return jpeg.Encode(w, rgba, &jpeg.Options{Quality: 95})
		}
		return png.Encode(w, rgba)
	})
}
