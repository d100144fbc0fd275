package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/detect"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

func detectCommand() *cli.Command {
	return &cli.Command{
		Name:      "detect",
		Usage:     "find objects in pictures",
		ArgsUsage: "PICTURES…",
		Description: "PICTURES are files, folders, globs, .txt lists, or - for a list on standard input. Annotated copies\n" +
			"go to a new folder below --project.",
		Flags: slices.Concat(
			flags.Group(flags.ModelAndData,
				flags.NewList("weights", "`MODEL`: .pt, .safetensors, an artifacts folder, or an exported .onnx, also YOLOv5's own; several are an ensemble"), offlineFlag(),
				flags.NewList("source", "further `PICTURES`")),
			flags.Group("Pictures", flags.Named("imgsz"), flags.BatchSize(1)),
			flags.Group("Detections", append(flags.Suppression(.25, .45, 1000),
				&cli.StringSliceFlag{Name: "classes", Usage: "keep only these `CLASSES`, by number or name"})...),
			flags.Forward(),
			flags.Group("Views", &cli.BoolFlag{Name: "augment", Usage: "look at each picture in three sizes, once mirrored, as YOLOv5 does"}),
			flags.Group("Drawing",
				&cli.IntFlag{Name: "line-thickness", Usage: "`PIXELS`; 0: by the picture's size"},
				&cli.BoolFlag{Name: "hide-labels", Usage: "draw boxes only"},
				&cli.BoolFlag{Name: "hide-conf", Usage: "draw labels without confidence"}),
			flags.Group(flags.Saving, append([]cli.Flag{
				&cli.BoolFlag{Name: "nosave", Usage: "save no annotated pictures"},
				&cli.BoolFlag{Name: "save-txt", Usage: "save detections as YOLO labels"},
				&cli.BoolFlag{Name: "save-conf", Usage: "with their confidence"},
				&cli.IntFlag{Name: "save-format", Usage: "labels of --save-txt as `FORMAT` 0: centre and size, YOLO's; 1: left, top, right, bottom; all as shares of the picture's"},
				&cli.BoolFlag{Name: "save-csv", Usage: "save detections as predictions.csv"},
				&cli.BoolFlag{Name: "save-json", Usage: "save detections as detections.json"},
				&cli.BoolFlag{Name: "save-crop", Usage: "save each detection as a picture"}},
				flags.RunFolder("detect")...)...),
		),
		Action: detectObjects,
	}
}

func detectObjects(c *cli.Context) error {
	if err := flags.Need(c, "weights"); err != nil {
		return err
	}
	if err := checkDetect(c); err != nil {
		return err
	}
	runtime, products, err := flags.Runtime(c)
	if err != nil {
		return err
	}
	t := term.Of(c)
	sources := c.Args().Slice()
	for _, value := range flags.List(c, "source") {
		sources = append(sources, detect.SplitSources(value)...)
	}
	pictures, barren, err := detect.Sources(sources, t.In)
	if err != nil {
		return err
	}
	for _, source := range barren {
		t.Warnf("%s: no picture found", source)
	}
	f, err := openFinder(c, flags.List(c, "weights"), products, runtime)
	if err != nil {
		return err
	}
	defer f.Close()
	in := flags.Inputs(c)
	in.Files = append(in.Files, pictures...)
	saver, err := detect.NewSaver(saveOptions(c), in)
	if err != nil {
		return err
	}
	t.Logf("%d pictures, %dx%d, on %s", len(pictures), f.Width, f.Height, f.Device())
	start := time.Now()
	t.StopGracefully("finishing the picture and what lists them")
	r := detection{t: t, saver: saver, total: len(pictures)}
	if err := errors.Join(f.Run(c.Context, pictures, r.add), saver.Finish()); err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(max(r.done-r.bad, 1)) }
	t.Logf("Speed: %.1fms inference and NMS, %.1fms in all per image", each(r.inference), each(time.Since(start)))
	if saver.Dir != "" {
		t.Logf("Results saved to %s", saver.Dir)
	}
	if r.bad > 0 {
		return term.BadInputf("%d of %d pictures could not be read, the first: %v", r.bad, r.total, r.firstBad)
	}
	return nil
}

// detection is one run of detect over all pictures.
type detection struct {
	t     *term.Terminal
	saver *detect.Saver

	total, done, bad int
	firstBad         error
	inference        time.Duration
}

// add saves and tells what was found in a picture.
func (r *detection) add(p *detect.Picture) error {
	r.done++
	if p.Err != nil {
		r.t.Warnf("left out: %v", p.Err)
		if r.bad++; r.firstBad == nil {
			r.firstBad = p.Err
		}
		return r.t.Stream(p)
	}
	r.inference += p.Took
	if err := r.saver.Add(p); err != nil {
		return err
	}
	if r.t.JSON {
		return r.t.Stream(p)
	}
	_, err := term.Fprintf(r.t.Text(), "image %d/%d %s: %dx%d %s, %.1fms\n", r.done, r.total, p.Path, p.Width, p.Height, describe(p), p.Took.Seconds()*1e3)
	return err
}

func checkDetect(c *cli.Context) error {
	switch {
	case c.NArg()+len(flags.List(c, "source")) == 0:
		return term.Usagef("detect: no pictures given").Hinted("usage: yolofreeze detect --weights MODEL PICTURES…")
	case c.Int("line-thickness") < 0:
		return term.Usagef("detect: --line-thickness %d: want 0 or more", c.Int("line-thickness"))
	case c.Int("save-format") != 0 && c.Int("save-format") != 1:
		return term.Usagef("detect: --save-format %d: want 0 or 1", c.Int("save-format"))
	case c.Bool("save-conf") && !c.Bool("save-txt"):
		return term.Usagef("detect: --save-conf needs --save-txt")
	}
	return checkDetections(c)
}

// checkDetections refuses numbers that make no sense of flags.Suppression and flags.BatchSize.
func checkDetections(c *cli.Context) error {
	conf, iou := c.Float64("conf-thres"), c.Float64("iou-thres")
	switch name := flags.Path(c); {
	case c.Int("batch-size") < 1:
		return term.Usagef("%s: --batch-size %d: want at least 1", name, c.Int("batch-size"))
	case !(conf >= 0 && conf < 1):
		return term.Usagef("%s: --conf-thres %g: want 0 or more, less than 1", name, conf)
	case !(iou > 0 && iou <= 1):
		return term.Usagef("%s: --iou-thres %g: want more than 0, at most 1", name, iou)
	case c.Int("max-det") < 0:
		return term.Usagef("%s: --max-det %d: want 0 or more", name, c.Int("max-det"))
	}
	return nil
}

// openFinder opens a model, or several as an ensemble.
func openFinder(c *cli.Context, given []string, products onnx.DType, runtime ort.Options) (*detect.Finder, error) {
	var models []string
	for _, name := range given {
		weights, err := weightsFile(c, name)
		if err != nil {
			return nil, err
		}
		models = append(models, weights)
	}
	size := flags.Size(c)
	f, err := detect.Open(detect.Options{Weights: models[0], Others: models[1:], Augment: c.Bool("augment"), ImageSize: size.Width, Height: size.Other(), Batch: c.Int("batch-size"), Classes: c.StringSlice("classes"), Replaces: c.StringSlice("replaces"),
		NMS: metric.NMSOptions{Conf: c.Float64("conf-thres"), IoU: c.Float64("iou-thres"), MaxDet: c.Int("max-det"), Agnostic: c.Bool("agnostic-nms")},
		AMP: products, Runtime: runtime})
	if bad := (*detect.ClassError)(nil); errors.As(err, &bad) {
		return nil, noSuchClass(flags.Path(c), bad)
	}
	if err != nil {
		return nil, term.BadInput(err)
	}
	if f.Fixed && (f.Height != size.Height || f.Width != size.Width) && c.IsSet("imgsz") {
		term.Of(c).Warnf("%s takes pictures of %dx%d only: --imgsz %v is left aside", models[0], f.Width, f.Height, size)
	}
	return f, nil
}

// noSuchClass is the error of a flag that names a class which the model does not have.
func noSuchClass(command string, bad *detect.ClassError) error {
	return term.Usagef("%s: --%s %s: the model has no such class", command, bad.Option, bad.Text).DidYouMean(flags.Nearest(bad.Text, bad.Names), "")
}

func saveOptions(c *cli.Context) detect.SaveOptions {
	return detect.SaveOptions{Project: c.String("project"), Name: c.String("name"), ExistOK: c.Bool("exist-ok"),
		Pictures: !c.Bool("nosave"), Text: c.Bool("save-txt"), Conf: c.Bool("save-conf"), Corners: c.Int("save-format") == 1, CSV: c.Bool("save-csv"), JSON: c.Bool("save-json"), Crops: c.Bool("save-crop"),
		Pen: detect.Pen{Thickness: c.Int("line-thickness"), Labels: !c.Bool("hide-labels"), Conf: !c.Bool("hide-conf")}}
}

// describe words a picture's detections as YOLOv5 does: "2 persons, 1 dog".
func describe(p *detect.Picture) string {
	if len(p.Objects) == 0 {
		return "(no detections)"
	}
	var order []int
	count, name := map[int]int{}, map[int]string{}
	for _, o := range p.Objects {
		if count[o.Class] == 0 {
			order = append(order, o.Class)
		}
		count[o.Class]++
		name[o.Class] = o.Name
	}
	parts := make([]string, len(order))
	for i, class := range order {
		parts[i] = fmt.Sprintf("%d %s", count[class], name[class])
		if count[class] > 1 {
			parts[i] += "s"
		}
	}
	return strings.Join(parts, ", ")
}
