package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/dataset/picture"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/ort"
)

func detectCommand() *cli.Command {
	return &cli.Command{
		Name:      "detect",
		Usage:     "find objects in pictures",
		ArgsUsage: "PICTURES…",
		Description: "PICTURES are files, folders, globs, .txt lists, or - for a list on standard input. Annotated copies\n" +
			"go to a new folder below --project.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "weights", Usage: "`MODEL`: .pt, .safetensors, an artifacts folder, or an exported .onnx, also YOLOv5's own"},
			newListFlag("source", "further `PICTURES`"),
			imgszFlag(), batchSizeFlag(1), deviceFlag(),
			&cli.Float64Flag{Name: "conf-thres", Value: .25, Usage: "least `CONFIDENCE` of a detection"},
			&cli.Float64Flag{Name: "iou-thres", Value: .45, Usage: "`IOU` above which a detection suppresses another"},
			&cli.IntFlag{Name: "max-det", Value: 1000, Usage: "most detections `N` a picture"},
			&cli.StringSliceFlag{Name: "classes", Usage: "keep only these `CLASSES`, by number or name"},
			&cli.BoolFlag{Name: "agnostic-nms", Usage: "detections of different classes suppress each other too"},
			&cli.BoolFlag{Name: "save-txt", Usage: "save detections as YOLO labels"},
			&cli.BoolFlag{Name: "save-conf", Usage: "with their confidence"},
			&cli.BoolFlag{Name: "save-csv", Usage: "save detections as predictions.csv"},
			&cli.BoolFlag{Name: "save-json", Usage: "save detections as detections.json"},
			&cli.BoolFlag{Name: "save-crop", Usage: "save each detection as a picture"},
			&cli.BoolFlag{Name: "nosave", Usage: "save no annotated pictures"},
			&cli.IntFlag{Name: "line-thickness", Usage: "`PIXELS`; 0: by the picture's size"},
			&cli.BoolFlag{Name: "hide-labels", Usage: "draw boxes only"},
			&cli.BoolFlag{Name: "hide-conf", Usage: "draw labels without confidence"},
			&cli.StringFlag{Name: "project", Value: filepath.Join("runs", "detect"), Usage: "`FOLDER` of runs"},
			&cli.StringFlag{Name: "name", Value: "exp", Usage: "`NAME` of this run's folder"},
			&cli.BoolFlag{Name: "exist-ok", Usage: "write into a folder that is there"},
		},
		Action: detect,
	}
}

// detected is what detect says of one picture; its JSON keys are stable.
type detected struct {
	Path       string        `json:"path"`
	Width      int           `json:"width"`
	Height     int           `json:"height"`
	Detections []foundObject `json:"detections"`
	Error      string        `json:"error,omitempty"` // why the picture was left out

	raw []metric.Detection
}

type foundObject struct {
	Class int        `json:"class"`
	Name  string     `json:"name"`
	Conf  float64    `json:"conf"`
	XYXY  [4]float64 `json:"xyxy"` // left, top, right, bottom in pixels of the picture
}

// finder is a model that is ready to detect.
type finder struct {
	model interface {
		Detect(images []uint8, n, height, width int, o metric.NMSOptions) ([][]metric.Detection, error)
		Device() string
		Close()
	}
	names         func() []string // an .onnx file may only tell when it runs
	stride        int
	batch         int // pictures at a time
	height, width int // of the letterbox
	auto          bool
	nms           metric.NMSOptions
}

func detect(c *cli.Context) error {
	if err := needFlags(c, "weights"); err != nil {
		return err
	}
	if err := checkDetect(c); err != nil {
		return err
	}
	t := termOf(c)
	sources := c.Args().Slice()
	for _, value := range listOf(c, "source") {
		sources = append(sources, splitSources(value)...)
	}
	pictures, err := findPictures(sources, t)
	if err != nil {
		return err
	}
	f, err := newFinder(c)
	if err != nil {
		return err
	}
	defer f.model.Close()
	saver, err := newPictureSaver(c, pictures)
	if err != nil {
		return err
	}
	t.logf("%d pictures, %dx%d, on %s", len(pictures), f.width, f.height, f.model.Device())
	r := detection{t: t, finder: f, saver: saver, total: len(pictures)}
	start := time.Now()
	t.stopGracefully("finishing the picture and what lists them")
	if err := errors.Join(r.run(c.Context, pictures), saver.finish()); err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(max(r.done-r.bad, 1)) }
	t.logf("Speed: %.1fms inference and NMS, %.1fms in all per image", each(r.inference), each(time.Since(start)))
	if saver.dir != "" {
		t.logf("Results saved to %s", saver.dir)
	}
	if r.bad > 0 {
		return badInputf("%d of %d pictures could not be read, the first: %v", r.bad, r.total, r.firstBad)
	}
	return nil
}

func checkDetect(c *cli.Context) error {
	conf, iou := c.Float64("conf-thres"), c.Float64("iou-thres")
	switch {
	case c.NArg()+len(listOf(c, "source")) == 0:
		return usageErrorf("detect: no pictures given").hinted("usage: yolofreeze detect --weights MODEL PICTURES…")
	case c.Int("batch-size") < 1:
		return usageErrorf("detect: --batch-size %d: want at least 1", c.Int("batch-size"))
	case !(conf >= 0 && conf < 1):
		return usageErrorf("detect: --conf-thres %g: want 0 or more, less than 1", conf)
	case !(iou > 0 && iou <= 1):
		return usageErrorf("detect: --iou-thres %g: want more than 0, at most 1", iou)
	case c.Int("max-det") < 0 || c.Int("line-thickness") < 0:
		return usageErrorf("detect: --max-det %d, --line-thickness %d: want 0 or more", c.Int("max-det"), c.Int("line-thickness"))
	case c.Bool("save-conf") && !c.Bool("save-txt"):
		return usageErrorf("detect: --save-conf needs --save-txt")
	}
	return nil
}

// newFinder opens the model of --weights.
func newFinder(c *cli.Context) (*finder, error) {
	weights, o := c.String("weights"), ort.Options{Device: c.String("device")}
	f := &finder{batch: c.Int("batch-size"), nms: metric.NMSOptions{Conf: c.Float64("conf-thres"), IoU: c.Float64("iou-thres"),
		MaxDet: c.Int("max-det"), Agnostic: c.Bool("agnostic-nms")}}
	if kind, err := model.KindOf(weights); err != nil {
		return nil, badInput(err)
	} else if kind == model.KindONNX {
		return f, f.openExported(c, weights, o)
	}
	m, err := model.Load(weights)
	if err != nil {
		return nil, badInput(err)
	}
	side := model.ImageSize(m.Net, c.Int("imgsz"), 1)
	f.names, f.stride, f.height, f.width, f.auto = func() []string { return m.Names }, int(m.Net.MaxStride()), side, side, true
	if f.nms.Classes, err = classNumbers(c.StringSlice("classes"), m.Names); err != nil {
		return nil, err
	}
	f.model, err = step.NewDetector(m.Net, m.State, o)
	return f, err
}

func (f *finder) openExported(c *cli.Context, weights string, o ort.Options) error {
	e, err := export.Open(weights, o)
	if err != nil {
		return badInput(err)
	}
	f.model, f.names, f.stride = e, func() []string { return e.Names }, e.Stride
	side := (c.Int("imgsz") + e.Stride - 1) / e.Stride * e.Stride
	f.height, f.width, f.auto = side, side, e.Height == 0 && e.Width == 0
	if e.Height > 0 {
		f.height = e.Height
	}
	if e.Width > 0 {
		f.width = e.Width
	}
	if f.height > loader.MaxImageSize || f.width > loader.MaxImageSize {
		e.Close()
		return badInputf("%s takes pictures of %dx%d: want %d at most", weights, f.width, f.height, loader.MaxImageSize)
	}
	if f.height != side && c.IsSet("imgsz") {
		termOf(c).warnf("%s takes pictures of %dx%d only: --imgsz %d is left aside", weights, f.width, f.height, c.Int("imgsz"))
	}
	if e.Batch > 0 {
		f.batch = e.Batch
	}
	f.nms.Classes, err = classNumbers(c.StringSlice("classes"), e.Names)
	if err != nil {
		e.Close()
	}
	return err
}

// classNumbers reads classes given by number or name.
func classNumbers(given, names []string) ([]int, error) {
	var list []int
	for _, text := range given {
		number, err := strconv.Atoi(text)
		for i, name := range names {
			if err != nil && name == text {
				number, err = i, nil
			}
		}
		if err != nil || number < 0 || number >= len(names) {
			return nil, usageErrorf("detect: --classes %s: the model has no such class", text).didYouMean(nearest(text, names), "")
		}
		list = append(list, number)
	}
	return list, nil
}

// describe words a picture's detections as YOLOv5 does: "2 persons, 1 dog".
func (d *detected) describe() string {
	if d.Error != "" {
		return d.Error
	}
	if len(d.Detections) == 0 {
		return "(no detections)"
	}
	var order []int
	count, name := map[int]int{}, map[int]string{}
	for _, o := range d.Detections {
		if count[o.Class] == 0 {
			order = append(order, o.Class)
		}
		count[o.Class]++
		name[o.Class] = o.Name
	}
	parts := make([]string, len(order))
	for i, class := range order {
		parts[i] = fmt.Sprintf("%d %s", count[class], oneLine(name[class]))
		if count[class] > 1 {
			parts[i] += "s"
		}
	}
	return strings.Join(parts, ", ")
}

func (d *detected) write(w io.Writer, i, n int, took time.Duration) error {
	_, err := fmt.Fprintf(w, "image %d/%d %s: %dx%d %s, %.1fms\n", i, n, oneLine(d.Path), d.Width, d.Height, d.describe(), took.Seconds()*1e3)
	return err
}

// objectsOf names detections; numbers are rounded to what a picture can tell.
func objectsOf(found []metric.Detection, names []string) []foundObject {
	list := make([]foundObject, len(found))
	for i, d := range found {
		list[i] = foundObject{d.Class, names[d.Class], rounded(d.Conf, 1e5),
			[4]float64{rounded(d.X1, 1e2), rounded(d.Y1, 1e2), rounded(d.X2, 1e2), rounded(d.Y2, 1e2)}}
	}
	return list
}

// planes lays a picture out as red, green and blue planes.
func planes(dst []uint8, img *picture.Image) {
	n := img.Width * img.Height
	for i := range n {
		dst[i], dst[n+i], dst[2*n+i] = img.Pix[3*i], img.Pix[3*i+1], img.Pix[3*i+2]
	}
}
