package datasets

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/onnx/disk"
)

func previewCommand() *cli.Command {
	return &cli.Command{
		Name:        "preview",
		Usage:       "draw batches as training would see them: train_batch0.jpg and on",
		ArgsUsage:   "DATA",
		Description: dataUsage + "\nWith the same options and seed they are the batches of train.",
		Flags: readFlags(append(flags.Shared("imgsz", "hyp", "mosaic9", "rect", "quad", "multi-scale", "seed"),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write; must not exist or be empty"},
			&cli.StringFlag{Name: "split", Value: "train", Usage: "`SPLIT` to draw"},
			&cli.IntFlag{Name: "batches", Value: 3, Usage: "`N` first batches"},
			&cli.IntFlag{Name: "epoch", Usage: "of epoch `N`, the first being 0"},
			flags.BatchSize(16),
			&cli.IntFlag{Name: "stride", Value: 32, Usage: "the network's largest stride in `PIXELS`, of which sides are multiples: 64 with P6"},
		)...),
		Action: preview,
	}
}

func preview(c *cli.Context) error {
	o, err := previewOptions(c)
	if err != nil {
		return err
	}
	if err := checkOutput(c); err != nil {
		return err
	}
	set, _, err := readData(c, false)
	if err != nil {
		return err
	}
	reportProblems(term.Of(c), &set.Report)
	split := c.String("split")
	if o.Samples = set.Splits[split]; len(o.Samples) == 0 {
		return term.BadInputf("%s: has no split %q", set.Path, split)
	}
	o.BatchSize = min(o.BatchSize, len(o.Samples))
	if o.Quad {
		o.BatchSize -= o.BatchSize % 4
	}
	loader, err := loader.New(o)
	if err != nil {
		return term.BadInput(err)
	}
	if err := disk.CheckOutput(c.String("output"), disk.Inputs{Folders: set.Folders()}); err != nil {
		return err
	}
	files, err := writeSheets(c, loader, set.Names, o.Samples)
	if err != nil {
		return err
	}
	r := struct {
		Path  string   `json:"path"`
		Files []string `json:"files"`
	}{set.Path, files}
	return term.Of(c).Result(r, func(w io.Writer) (err error) {
		for _, file := range files {
			if _, err = term.Fprintln(w, file); err != nil {
				return err
			}
		}
		return nil
	})
}

// previewOptions are those of train's loader, but for the samples.
func previewOptions(c *cli.Context) (o loader.Options, err error) {
	for name, least := range map[string]int{"batches": 1, "epoch": 0, "batch-size": 1, "stride": 1} {
		if v := c.Int(name); v < least {
			return o, term.Usagef("dataset preview: --%s %d: want %d or more", name, v, least)
		}
	}
	nine := c.Float64("mosaic9")
	switch rect, quad := c.Bool("rect"), c.Bool("quad"); {
	case rect && quad:
		return o, term.Usagef("dataset preview: --quad joins square pictures, --rect makes others: use one of them")
	case quad && c.Int("batch-size")%4 != 0:
		return o, term.Usagef("dataset preview: --batch-size %d with --quad: want a multiple of 4", c.Int("batch-size"))
	case !(nine >= 0 && nine <= 1):
		return o, term.Usagef("dataset preview: --mosaic9 %g: want a share from 0 to 1", nine)
	}
	hyp, err := flags.Hyp(c)
	if err != nil {
		return o, err
	}
	stride := c.Int("stride")
	size := flags.Size(c).Rounded(stride, 2)
	return loader.Options{BatchSize: c.Int("batch-size"), ImageSize: size.Width, Height: size.Other(), Stride: stride,
		Rect: c.Bool("rect"), Shuffle: !c.Bool("rect"), Seed: c.Uint64("seed"),
		Augmentation: loader.Augmentation{Augment: true, Hyp: hyp, Nine: nine, MultiScale: c.Bool("multi-scale"), Quad: c.Bool("quad")},
		Reading:      loader.Reading{BadImages: dataset.Policy(c.String("bad-images"))}}, nil
}

// writeSheets draws the first batches of an epoch.
func writeSheets(c *cli.Context, l *loader.Loader, names []string, samples []dataset.Sample) (files []string, err error) {
	dir := c.String("output")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("making folder: %w", err)
	}
	for b, err := range l.Epoch(c.Context, c.Int("epoch")) {
		if err != nil {
			return nil, term.BadInput(err)
		}
		titles := make([]string, len(b.Samples))
		for i, s := range b.Samples {
			titles[i] = filepath.Base(samples[s].Path)
		}
		path := filepath.Join(dir, fmt.Sprintf("train_batch%d.jpg", len(files)))
		if err := b.WriteSheet(path, b.Marks(), names, titles); err != nil {
			return nil, err
		}
		if files = append(files, path); len(files) == c.Int("batches") {
			break
		}
		l.Recycle(b)
	}
	return files, nil
}
