package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/yolo"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
)

// convertResult is what convert did; its JSON keys are stable.
type convertResult struct {
	Artifacts     string   `json:"artifacts"`
	Parameters    int      `json:"parameters"`  // tensors of the network, statistics included
	Transferred   int      `json:"transferred"` // of them, those taken from the weights
	Reinitialised []string `json:"reinitialised"`
	NC            int      `json:"nc"`
	Names         []string `json:"names"`
}

func convertCommand() *cli.Command {
	return &cli.Command{
		Name:      "convert",
		Usage:     "turn a pretrained checkpoint into an artifacts folder",
		ArgsUsage: "WEIGHTS",
		Description: "The folder holds the training, optimizer and evaluation graphs, the weights and what was frozen:\n" +
			"nothing yet, which yolofreeze freeze changes. With --data or --classes the head is made anew for\n" +
			"other classes.",
		Flags: []cli.Flag{
			offlineFlag(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write"},
			&cli.StringFlag{Name: "cfg", Usage: "layers of a bare state dict: the YAML `FILE` of its YOLOv5 model"},
			&cli.StringFlag{Name: "data", Usage: "take the classes of this data set: a data.yaml, a VOC devkit, or COCO `FILES`"},
			&cli.StringSliceFlag{Name: "classes", Usage: "class `NAMES` in order, or their number"},
			flags.Named("imgsz"), flags.BatchSize(16),
			flags.Named("optimizer"),
			flags.Named("hyp"),
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that a new head's weights are drawn from"},
			&cli.BoolFlag{Name: "exist-ok", Usage: "write over an artifacts folder that is there"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			if err := flags.Need(c, "output"); err != nil {
				return err
			}
			return convert(c)
		},
	}
}

func convert(c *cli.Context) error {
	t, weights, dir := term.Of(c), c.Args().First(), c.String("output")
	o, err := bundleOptions(c)
	if err != nil {
		return err
	}
	in := flags.Inputs(c)
	in.Folders = []string{weights} // where it is one
	if err := disk.CheckOutput(dir, in); err != nil {
		return err
	}
	if err := artifact.Free(dir, c.Bool("exist-ok")); err != nil {
		return err
	}
	if weights, err = weightsFile(c, weights); err != nil {
		return err
	}
	m, err := model.LoadAs(weights, c.String("cfg"))
	if err != nil {
		return term.BadInput(err)
	}
	source, err := model.SourceOf(weights)
	if err != nil {
		return err
	}
	_, trained, _, err := m.Split()
	if err != nil {
		return err
	}
	names, err := wantedClasses(c, trained.Names)
	if err != nil {
		return err
	}
	m, fresh, err := m.ForClasses(names, c.Uint64("seed"))
	if err != nil {
		return err
	}
	size := flags.Size(c).Rounded(int(m.Net.MaxStride()), 2)
	o.ImageSize, o.Height = size.Width, size.Other()
	plan, err := m.Plan(nil, nil)
	if err != nil {
		return err
	}
	bundle, err := export.NewBundle(m, plan, source, o)
	if err != nil {
		return fmt.Errorf("convert %s: %w", weights, err)
	}
	t.StopGracefully("finishing the folder")
	if err := artifact.Write(dir, bundle, c.Bool("exist-ok")); err != nil {
		return err
	}
	r := convertResult{dir, len(m.State), len(m.State) - len(fresh), append([]string{}, fresh...), m.Net.NC, m.Names}
	return t.Result(r, func(w io.Writer) error {
		writeNotes(w, m)
		for _, name := range r.Reinitialised {
			term.Fprintf(w, "initialised afresh for %d classes: %s\n", r.NC, name)
		}
		_, err := term.Fprintf(w, "%s: transferred %d of %d tensors from %s; next: yolofreeze freeze %s --freeze backbone\n",
			dir, r.Transferred, r.Parameters, filepath.Base(weights), dir)
		return err
	})
}

// bundleOptions reads what graphs are written for, but for the picture's side,
// which depends on the model.
func bundleOptions(c *cli.Context) (o export.BundleOptions, err error) {
	o = export.BundleOptions{Version: readVersion().Version, Batch: c.Int("batch-size"), Optimizer: c.String("optimizer")}
	i := slices.IndexFunc(step.Optimizers, func(name string) bool { return strings.EqualFold(name, o.Optimizer) })
	switch {
	case i < 0:
		return o, term.Usagef("convert: --optimizer %s: want one of %s", o.Optimizer, strings.Join(step.Optimizers, ", "))
	case o.Batch < 1:
		return o, term.Usagef("convert: --batch-size %d: want at least 1", o.Batch)
	}
	o.Optimizer = step.Optimizers[i]
	if o.Hyp, err = flags.Hyp(c); err != nil {
		return o, term.BadInput(err)
	}
	return o, nil
}

// wantedClasses returns the classes that --data or --classes ask for, else the model's own.
func wantedClasses(c *cli.Context, own []string) ([]string, error) {
	given := c.StringSlice("classes")
	switch data := c.String("data"); {
	case data != "" && len(given) > 0:
		return nil, term.Usagef("convert: --data and --classes both say what the classes are")
	case data != "":
		return classesOf(data)
	case len(given) == 1:
		if n, err := strconv.Atoi(given[0]); err == nil {
			return numbered(n, own)
		}
	case len(given) == 0:
		return own, nil
	}
	if err := dataset.CheckNames(given); err != nil {
		return nil, term.Usagef("convert: --classes: %v", err)
	}
	return given, nil
}

// numbered names n classes: the model's own when it has as many.
func numbered(n int, own []string) ([]string, error) {
	const most = 10000
	if n < 1 || n > most {
		return nil, term.Usagef("convert: --classes %d: want 1 to %d", n, most)
	}
	if n == len(own) {
		return own, nil
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("class%d", i)
	}
	return names, nil
}

// classesOf reads the class names of a data set; of a data.yaml nothing else.
func classesOf(data string) ([]string, error) {
	if ext := strings.ToLower(filepath.Ext(data)); ext == ".yaml" || ext == ".yml" {
		config, err := yolo.ReadConfig(data)
		if err != nil {
			return nil, term.BadInput(err)
		}
		return config.Names, nil
	}
	set, err := format.Open(data, dataset.ReadOptions{CacheDir: dataset.DefaultCacheDir()})
	if err != nil {
		return nil, term.BadInput(err)
	}
	return set.Names, nil
}
