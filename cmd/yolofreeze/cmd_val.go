package main

import (
	"errors"
	"io"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/datasets"
	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/dataset/metric"
	"yolofreeze/freeze/detect"
	"yolofreeze/freeze/finetune/plot"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/runs"
	"yolofreeze/freeze/validate"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/ort"
)

func valCommand() *cli.Command {
	d := validate.Defaults()
	return &cli.Command{
		Name:  "val",
		Usage: "measure a model's average precision on a split",
		Flags: slices.Concat(
			flags.Group(flags.ModelAndData, append([]cli.Flag{
				flags.NewList("weights", "`MODEL` to validate: .pt, .safetensors, an artifacts folder, or an exported .onnx; several are an ensemble"), offlineFlag()},
				append(flags.Data(),
					&cli.StringFlag{Name: "task", Value: "val", Usage: "`SPLIT`: train, val or test; speed measures time, study sizes from 256 to 1536, of each model by itself"},
					&cli.BoolFlag{Name: "single-cls", Usage: "treat all classes as one"})...)...),
			flags.Group("Pictures", flags.BatchSize(d.BatchSize), flags.Named("imgsz"),
				&cli.IntFlag{Name: "workers", Value: 0, Usage: "`N` goroutines that load pictures; 0: one a core"}),
			flags.Group("Detections", flags.Suppression(d.Conf, d.IoU, d.MaxDet)...),
			flags.Forward(),
			flags.Group("Views", &cli.BoolFlag{Name: "augment", Usage: "look at each picture in three sizes, once mirrored, as YOLOv5 does"}),
			flags.Group(flags.Saving, append([]cli.Flag{
				&cli.BoolFlag{Name: "verbose", Usage: "a line per class"},
				&cli.BoolFlag{Name: "save-txt", Usage: "save detections as YOLO labels"},
				&cli.BoolFlag{Name: "save-hybrid", Usage: "with --save-txt's files, labels and detections mixed, to label what lacks labels: the figures say nothing then"},
				&cli.BoolFlag{Name: "save-conf", Usage: "with their confidence"},
				&cli.BoolFlag{Name: "save-json", Usage: "save detections as COCO results"},
				&cli.BoolFlag{Name: "plots", Usage: "draw curves, the confusion matrix and the first batches, as train does at its end"}},
				flags.RunFolder("val")...)...),
		),
		Action: val,
	}
}

// valResult is what val prints with --json.
type valResult struct {
	Weights   string         `json:"weights"`
	Data      string         `json:"data"`
	Split     string         `json:"split"`
	ImageSize int            `json:"imgsz"`
	Height    int            `json:"imgsz_height,omitempty"` // where it is not imgsz, the width
	Images    int            `json:"images"`
	Instances int            `json:"instances"`
	Precision float64        `json:"precision"`
	Recall    float64        `json:"recall"`
	MAP50     float64        `json:"map50"`
	MAP       float64        `json:"map"`
	PerClass  []runs.Class   `json:"per_class"`
	Speed     validate.Speed `json:"speed_ms"`
	Skipped   []string       `json:"skipped,omitempty"`
	RunDir    string         `json:"run_dir,omitempty"`
}

func val(c *cli.Context) error {
	if err := flags.NeedArgs(c, 0, 0); err != nil {
		return err
	}
	if err := flags.Need(c, "weights", "data"); err != nil {
		return err
	}
	task := c.String("task")
	split := task
	if task == taskSpeed || task == taskStudy {
		split = "val"
	} else if !slices.Contains(dataset.SplitNames, split) {
		return term.Usagef("val: task %q: want train, val, test, speed or study", task)
	}
	t := term.Of(c)
	if err := datasets.CheckPolicies(c); err != nil {
		return err
	}
	runtime, products, err := flags.Runtime(c)
	if err != nil {
		return err
	}
	models, err := valModels(c)
	if err != nil {
		return err
	}
	set, err := datasets.Open(c, split)
	if err != nil {
		return err
	}
	j := &valJob{c: c, t: t, set: set, names: set.Names, split: split, runtime: runtime, products: products}
	if task != split {
		return j.study(task, models)
	}
	if err := sameClasses(models); err != nil {
		return err
	}
	if err := j.match(models[0]); err != nil {
		return err
	}
	r, err := j.measure(models, valSize{pixels: flags.Size(c), conf: c.Float64("conf-thres"), iou: c.Float64("iou-thres")})
	if err != nil {
		return err
	}
	perClass := c.Bool("verbose") || models[0].Net.NC < 50
	return t.Result(r, func(w io.Writer) error { return r.write(w, perClass && models[0].Net.NC > 1) })
}

// valJob is what models are measured on, and by what.
type valJob struct {
	c        *cli.Context
	t        *term.Terminal
	set      *dataset.Set
	names    []string // the data's own
	split    string
	runtime  ort.Options
	products onnx.DType
}

// valSize is what tasks change from one measurement to the next.
type valSize struct {
	pixels    dataset.Size
	conf, iou float64
	alone     bool // only figures are wanted: nothing is saved
}

// match has the data's classes go by a model's.
func (j *valJob) match(m *model.Model) error {
	if j.c.Bool("single-cls") {
		return nil
	}
	given := j.set.Names
	moved, err := j.set.MatchNames(m.Names)
	switch {
	case err != nil:
		return term.BadInputf("%v", err).Hinted("validate with the data that the model was trained for")
	case moved:
		j.t.Logf("classes are matched by name: the data have %s, the model %s", dataset.ListNames(given), dataset.ListNames(m.Names))
	case !slices.Equal(given, m.Names):
		j.t.Warnf("the model's classes have other names, and are taken in their order: %s, in the data %s", dataset.ListNames(m.Names), dataset.ListNames(given))
	}
	return nil
}

// measure validates a model, or several as an ensemble, whose classes the data were matched with.
func (j *valJob) measure(models []*model.Model, size valSize) (*valResult, error) {
	c, t, set, m := j.c, j.t, j.set, models[0]
	o := validate.Defaults()
	var err error
	o.AMP, o.Others, o.Augment, o.Hybrid = j.products, models[1:], c.Bool("augment"), c.Bool("save-hybrid")
	pixels := ensembleSize(models, size.pixels)
	o.Samples, o.BatchSize, o.ImageSize, o.Height = set.Splits[j.split], c.Int("batch-size"), pixels.Width, pixels.Other()
	o.Conf, o.IoU, o.MaxDet, o.SingleCls = size.conf, size.iou, c.Int("max-det"), c.Bool("single-cls")
	o.Reading.Workers, o.Agnostic = c.Int("workers"), c.Bool("agnostic-nms")
	if o.Replaces, err = detect.Replacements(c.StringSlice("replaces"), m.Names); err != nil {
		if bad := (*detect.ClassError)(nil); errors.As(err, &bad) {
			return nil, noSuchClass("val", bad)
		}
		return nil, err
	}
	if len(o.Replaces) == 0 { // else what these find counts, though the data do not know it
		if o.Classes = m.BranchClasses(j.names); o.Classes != nil {
			t.Logf("the data know none of the other branches' classes: %d of %d classes are looked for", len(o.Classes), m.Net.NC)
		}
	}
	if err := j.check(m, o); err != nil {
		return nil, err
	}
	v, err := validate.New(m.Net, o)
	if err != nil {
		return nil, err
	}
	in := flags.Inputs(c)
	in.Files = slices.DeleteFunc(in.Files, func(file string) bool { return slices.Contains(flags.List(c, "weights"), file) }) // which val has no file to write over with
	in.Folders = set.Folders()
	var dir string
	var saver *detect.Results
	if !size.alone {
		if dir, saver, err = valFolder(c, m.Names, in); err != nil {
			return nil, err
		}
	}
	if saver != nil {
		v.Each = func(f validate.Found) error {
			return saver.Add(f.Sample.Path, f.Sample.Width, f.Sample.Height, f.Detections)
		}
	}
	if c.Bool("plots") && !size.alone {
		v.Seen = func(index int, b *loader.Batch, found [][]metric.Detection) {
			if err := plot.ValBatch(dir, index, b, found, m.Names, o.Samples); err != nil {
				t.Warnf("%v", err)
			}
		}
	}
	b := t.Bar("validating", v.Batches())
	v.Progress = func(int, int) { b.Add(1) }
	e, err := v.Run(c.Context, m, j.runtime)
	b.Finish()
	if err != nil {
		return nil, err
	}
	names := slices.Clone(m.Names)
	if o.SingleCls {
		names[0] = "item" // which all are counted as
	}
	r := &valResult{Weights: paths(models), Data: set.Path, Split: j.split, ImageSize: o.ImageSize, Height: o.Height, Images: e.Images, Instances: e.Instances,
		Precision: e.Precision, Recall: e.Recall, MAP50: e.MAP50, MAP: e.MAP, PerClass: e.Classes(names), Speed: e.Speed()}
	for _, bad := range v.Bad() {
		t.Warnf("%s was skipped: %v", bad.Path, bad.Err)
		r.Skipped = append(r.Skipped, bad.Path)
	}
	if r.RunDir = dir; saver != nil {
		if err := saver.Finish(); err != nil {
			return nil, err
		}
	}
	if c.Bool("plots") && !size.alone {
		for name, draw := range plot.Evaluation(&e.Result, names) {
			err = errors.Join(err, draw(filepath.Join(dir, name)))
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// valFolder makes the run's folder if anything is to be saved, and what saves detections in
// it if those are, too.
func valFolder(c *cli.Context, names []string, in disk.Inputs) (dir string, saver *detect.Results, err error) {
	o := detect.ResultsOptions{Text: c.Bool("save-txt") || c.Bool("save-hybrid"), Conf: c.Bool("save-conf")}
	if c.Bool("save-json") {
		o.File = stem(flags.List(c, "weights")[0]) + "_predictions.json"
	}
	if !o.Text && o.File == "" && !c.Bool("plots") {
		return "", nil, nil
	}
	if o.Dir, err = runs.NewFolder(c.String("project"), c.String("name"), c.Bool("exist-ok"), in); err != nil {
		return "", nil, err
	}
	if o.Text || o.File != "" {
		saver, err = detect.NewResults(o, names)
	}
	return o.Dir, saver, err
}

func (j *valJob) check(m *model.Model, o validate.Options) error {
	c, set := j.c, j.set
	switch {
	case o.AMP != onnx.Undefined && m.Quantised():
		return term.Usagef("val: --amp, --half: %s computes on 8-bit integers", m.Path)
	case o.BatchSize < 1:
		return term.Usagef("val: batch-size %d: want 1 or more", o.BatchSize)
	case !(o.Conf >= 0 && o.Conf < 1):
		return term.Usagef("val: conf-thres %g: want 0 or more, less than 1", o.Conf)
	case !(o.IoU > 0 && o.IoU <= 1):
		return term.Usagef("val: iou-thres %g: want more than 0, at most 1", o.IoU)
	case o.MaxDet < 0:
		return term.Usagef("val: max-det %d: want 0 (no limit) or more", o.MaxDet)
	case m.Quantised() && (o.Augment || len(o.Others) > 0):
		return term.Usagef("val: --augment, several --weights: %s computes on 8-bit integers, and runs as it is", m.Path)
	case c.Bool("save-conf") && !c.Bool("save-txt") && !c.Bool("save-hybrid"):
		return term.Usagef("val: --save-conf needs --save-txt")
	case len(o.Samples) == 0:
		return term.BadInputf("%s: split %s is empty", set.Path, j.split)
	}
	if o.Conf > .001 && c.String("task") != taskSpeed {
		term.Of(c).Warnf("--conf-thres %g is above 0.001, average precision will come out too low", o.Conf)
	}
	return nil
}

// write prints the lines that YOLOv5 prints.
func (r *valResult) write(w io.Writer, perClass bool) error {
	row := func(name string, images, instances int, values ...float64) {
		term.Fprintf(w, "%22s%11d%11d", name, images, instances)
		for _, v := range values {
			term.Fprintf(w, "%11.3g", v)
		}
		term.Fprintf(w, "\n")
	}
	term.Fprintf(w, "%22s%11s%11s%11s%11s%11s%11s\n", "Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
	row("all", r.Images, r.Instances, r.Precision, r.Recall, r.MAP50, r.MAP)
	if perClass {
		for _, c := range r.PerClass {
			row(c.Name, c.Images, c.Instances, c.Precision, c.Recall, c.AP50, c.AP)
		}
	}
	_, err := term.Fprintf(w, "Speed: %.1fms pre-process, %.1fms inference, %.1fms NMS per image at %d pixels\n",
		r.Speed.Pre, r.Speed.Inference, r.Speed.NMS, r.ImageSize)
	if r.RunDir != "" {
		_, err = term.Fprintf(w, "Results saved to %s\n", r.RunDir)
	}
	return err
}
