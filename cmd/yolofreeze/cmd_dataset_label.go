package main

import (
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/datasets"
	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze/detect"
	"yolofreeze/onnx/disk"
)

func labelCommand() *cli.Command {
	return &cli.Command{
		Name:      "label",
		Usage:     "have a model propose labels for pictures that have none",
		ArgsUsage: "PICTURES…",
		Description: "PICTURES are files, folders, globs, .txt lists, or - for a list on standard input. Those that have labels\n" +
			"(in labels beside images, in Annotations, or beside them) are passed over. VOC, COCO and Label Studio get confidences,\n" +
			"Label Studio as predictions; YOLO only with --save-conf, since training does not take a sixth column.",
		Flags: slices.Concat(
			flags.Group(flags.ModelAndData,
				&cli.StringFlag{Name: "weights", Usage: "`MODEL`: .pt, .safetensors, an artifacts folder, or an exported .onnx"}, offlineFlag(),
				&cli.StringFlag{Name: "data", Usage: "`DATA` whose labelled pictures are passed over, too"},
				&cli.BoolFlag{Name: "relabel", Usage: "take pictures that have labels, too"}),
			flags.Group("Pictures", flags.Named("imgsz"), flags.BatchSize(1)),
			flags.Group("Detections", append(flags.Suppression(.25, .45, 1000),
				&cli.StringSliceFlag{Name: "classes", Usage: "keep only these `CLASSES`, by number or name, in this order"})...),
			flags.Forward(),
			flags.Group(flags.Saving, append(datasets.WriteFlags(),
				&cli.BoolFlag{Name: "save-conf", Usage: "YOLO: write confidences as a sixth column"})...),
		),
		Action: labelPictures,
	}
}

func labelPictures(c *cli.Context) error {
	if err := flags.Need(c, "weights"); err != nil {
		return err
	}
	if err := checkDetections(c); err != nil {
		return err
	}
	if c.NArg() == 0 {
		return term.Usagef("dataset label: no pictures given").Hinted("usage: yolofreeze dataset label --weights MODEL --output FOLDER PICTURES…")
	}
	if err := datasets.CheckWrite(c); err != nil {
		return err
	}
	runtime, products, err := flags.Runtime(c)
	if err != nil {
		return err
	}
	t := term.Of(c)
	pictures, barren, err := detect.Sources(c.Args().Slice(), t.In)
	if err != nil {
		return err
	}
	for _, source := range barren {
		t.Warnf("%s: no picture found", source)
	}
	if pictures, err = unlabelled(c, pictures); err != nil {
		return err
	}
	f, err := openFinder(c, []string{c.String("weights")}, products, runtime)
	if err != nil {
		return err
	}
	defer f.Close()
	t.StopGracefully("nothing is written")
	objects, bad, first := 0, 0, error(nil)
	samples, names, err := f.Label(c.Context, pictures, func(p *detect.Picture) error {
		objects += len(p.Objects)
		if disk.Fault(p.Err) {
			return p.Err // it may go well the next time, and a set without the picture would look whole
		}
		if p.Err != nil {
			t.Warnf("left out: %v", p.Err)
			if bad++; first == nil {
				first = p.Err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(samples) == 0 {
		return term.BadInputf("none of %d pictures could be read, the first: %v", len(pictures), first)
	}
	t.Logf("%d objects in %d pictures", objects, len(samples))
	set := &dataset.Set{Path: c.String("weights"), Names: names, Splits: map[string][]dataset.Sample{"train": samples}}
	if err := datasets.Write(c, set, dataset.WriteOptions{Conf: c.Bool("save-conf"), Proposed: true}); err != nil {
		return err
	}
	if bad > 0 {
		return term.BadInputf("%d of %d pictures could not be read, the first: %v", bad, len(pictures), first)
	}
	return nil
}

// unlabelled leaves out pictures that have labels, unless --relabel takes them.
func unlabelled(c *cli.Context, pictures []string) ([]string, error) {
	if c.Bool("relabel") {
		return pictures, nil
	}
	known := map[string]bool{} // by whole path
	if c.String("data") != "" {
		set, err := format.Open(c.String("data"), dataset.ReadOptions{CacheDir: dataset.DefaultCacheDir(), BoxesOnly: true, AllowUnfit: true})
		if err != nil {
			return nil, term.BadInput(err)
		}
		for _, samples := range set.Splits {
			for _, s := range samples {
				known[wholePath(s.Path)] = len(s.Labels) > 0
			}
		}
	}
	var rest []string
	for _, path := range pictures {
		if !known[wholePath(path)] && format.LabelsOf(path) == "" {
			rest = append(rest, path)
		}
	}
	if n := len(pictures) - len(rest); n > 0 {
		term.Of(c).Logf("%d of %d pictures have labels and are passed over", n, len(pictures))
	}
	if len(rest) == 0 {
		return nil, term.BadInputf("all %d pictures have labels", len(pictures)).Hinted("--relabel takes them, too")
	}
	return rest, nil
}

// wholePath is a path by which a file is known whatever folder it is named from.
func wholePath(path string) string {
	whole, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(whole); err == nil {
		return real
	}
	return whole
}
