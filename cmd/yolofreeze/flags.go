package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset"
)

// Flags that several commands share carry YOLOv5's names, all of them.

func imgszFlag() cli.Flag {
	return &cli.IntFlag{Name: "imgsz", Aliases: []string{"img", "img-size"}, Value: 640,
		Usage: "image side in `PIXELS`, rounded up to a multiple of the largest stride", Action: checkSide}
}

// checkSide refuses sides of pictures for which no memory would do.
func checkSide(c *cli.Context, side int) error {
	if side < 1 || side > dataset.MaxImageSize {
		return usageErrorf("%s: --imgsz %d: want 1 to %d", commandPath(c), side, dataset.MaxImageSize)
	}
	return nil
}

func batchSizeFlag(size int) cli.Flag {
	return &cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: size, Usage: "pictures a `BATCH`"}
}

func hypFlag() cli.Flag {
	return &cli.StringFlag{Name: "hyp", Value: "low", Usage: "hyperparameters: a `FILE` of YOLOv5's, or " + strings.Join(dataset.HypNames(), ", ")}
}

func mosaic9Flag() cli.Flag {
	return &cli.Float64Flag{Name: "mosaic9", Usage: "`SHARE` of mosaics made of nine pictures, not four"}
}

func deviceFlag() cli.Flag {
	return &cli.StringFlag{Name: "device", Value: "auto", Usage: "`DEVICE` to run on: cpu, cuda[:N], webgpu[:N], openvino[:N], a provider's library, or auto"}
}

func providerOptionFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "provider-option", Usage: "`KEY=VALUE` for the device's execution provider, such as gpu_mem_limit=4294967296 or use_tf32=0"}
}

// optional is a flag that may stand without its value, as YOLOv5's --cache and
// --resume do. The next word is its value unless that is a flag itself.
type optional interface {
	alone() string // its value then
}

// optionalText is a flag of text that may stand alone.
type optionalText struct {
	*cli.StringFlag
	value string
}

func (f *optionalText) alone() string { return f.value }

// viewsFlag is --cache-features.
type viewsFlag struct{ *cli.GenericFlag }

func (f *viewsFlag) alone() string { return strconv.Itoa(defaultViews) }

func cacheFeaturesFlag() cli.Flag {
	return &viewsFlag{&cli.GenericFlag{Name: "cache-features", Value: new(views),
		Usage: fmt.Sprintf("run frozen first layers once on `K` augmented views of each picture (alone: %d), keep what they put out on disk, and train the rest from there", defaultViews)}}
}

// defaultViews is a number of views with which fine-tuning still sees variety.
const defaultViews = 4

// views is the value of --cache-features.
type views int

// Set reads a number of views.
func (v *views) Set(text string) error {
	switch text {
	case "true":
		*v = defaultViews
		return nil
	case "false":
		*v = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no number of views", text)
	}
	*v = views(n)
	return nil
}

func (v *views) String() string { return strconv.Itoa(int(*v)) }

// Get lets compare hand the value on.
func (v *views) Get() any { return int(*v) }
