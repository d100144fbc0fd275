package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/synth"
	"yolofreeze/freeze/finetune/plot"
	"yolofreeze/onnx/disk"
)

func datasetCommand() *cli.Command {
	return &cli.Command{
		Name:        "dataset",
		Usage:       "check, convert, count, split, draw and preview data sets",
		Subcommands: []*cli.Command{checkCommand(), statsCommand(), convertDataCommand(), splitCommand(), synthCommand(), previewCommand()},
	}
}

const dataUsage = "DATA is a data.yaml, a VOC devkit, .json files (\"train=a.json,val=b.json\"), or what a label tool exports: a folder or a .zip."

// readFlags are those of subcommands that read DATA.
func readFlags(more ...cli.Flag) []cli.Flag {
	return append(append(flags.Data()[1:], // all but --data
		&cli.BoolFlag{Name: "keep-difficult", Usage: "of VOC, keep objects marked difficult"},
		&cli.BoolFlag{Name: "keep-crowd", Usage: "of COCO, keep boxes around crowds"}), more...)
}

// readData opens the one argument. With a *dataset.BadDataError the set comes too, and
// if asked for, one that nothing can be learnt from.
func readData(c *cli.Context, allowUnfit bool) (*dataset.Set, *format.Found, error) {
	if err := flags.NeedArgs(c, 1, 1); err != nil {
		return nil, nil, err
	}
	if err := checkPolicies(c); err != nil {
		return nil, nil, err
	}
	o := readOptions(c)
	o.AllowUnfit = allowUnfit
	o.Splits, o.KeepDifficult, o.KeepCrowd = nil, c.Bool("keep-difficult"), c.Bool("keep-crowd")
	f, err := format.Find(c.Args().First())
	if err != nil {
		return nil, nil, term.BadInput(err)
	}
	set, err := f.Open(o)
	return set, f, term.BadInput(err)
}

// checkResult is what check found; its JSON keys are stable.
type checkResult struct {
	Path   string          `json:"path"`
	Format string          `json:"format"`
	Names  []string        `json:"names"`
	OK     bool            `json:"ok"`
	Report *dataset.Report `json:"report"`
	Why    string          `json:"why"` // it was taken for that format
}

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "list everything that is wrong with a data set",
		ArgsUsage:   "DATA",
		Description: dataUsage + "\nWhat would stop training ends with exit code 3.",
		Flags:       readFlags(&cli.BoolFlag{Name: "decode", Usage: "decode every picture, not only its header"}),
		Action: func(c *cli.Context) error {
			set, found, err := readData(c, true)
			var bad *dataset.BadDataError
			if err != nil && (set == nil || !errors.As(err, &bad)) {
				return err
			}
			if err := dataset.Check(set, dataset.CheckOptions{Decode: c.Bool("decode")}); err != nil {
				return fmt.Errorf("checking %s: %w", set.Path, err)
			}
			if set.Report.Problems == nil {
				set.Report.Problems = []dataset.Problem{} // [] in JSON, not null
			}
			unfit := set.Report.Unfit
			if unfit == nil {
				set.Report.Unfit = []dataset.Unfit{}
			}
			r := checkResult{set.Path, found.Format, set.Names, bad == nil && set.Report.Corrupt == 0 && len(unfit) == 0, &set.Report, found.Why}
			if err := term.Of(c).Result(r, r.write); err != nil {
				return err
			}
			switch {
			case bad != nil:
				return term.BadInputf("%s: %d problems; the first: %s", set.Path, len(bad.Problems)+bad.More, bad.Problems[0])
			case len(unfit) > 0:
				return term.BadInput(&dataset.UnfitError{Path: set.Path, Splits: unfit})
			case set.Report.Corrupt > 0:
				return term.BadInputf("%s: %d pictures cannot be used", set.Path, set.Report.Corrupt)
			}
			return nil
		},
	}
}

func (r *checkResult) write(w io.Writer) error {
	term.Fprintf(w, "%s: %s, %d classes: %s\n", r.Path, r.Format, len(r.Names), strings.Join(r.Names, ", "))
	term.Fprintf(w, "taken for %s: %s\n", r.Format, r.Why)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	term.Fprintf(t, "split\tpictures\tobjects\tfound\tmissing\tempty\tcorrupt\trescued\tduplicates\tclipped\tdropped\tignored\torphans\t\n")
	for _, split := range dataset.SplitNames {
		if n, ok := r.Report.Splits[split]; ok {
			term.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", split, n.Pictures, n.Objects, n.Found, n.Missing, n.Empty,
				n.Corrupt, n.Rescued, n.Duplicates, n.Clipped, n.Dropped, n.Ignored, n.Orphans)
		}
	}
	t.Flush()
	for _, p := range r.Report.Problems {
		term.Fprintln(w, p.String())
	}
	if r.Report.More > 0 {
		term.Fprintf(w, "and %d more problems\n", r.Report.More)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Report.Unknown)) {
		term.Fprintf(w, "%d objects are of the class %q, which is not in the list\n", r.Report.Unknown[name], name)
	}
	for _, split := range dataset.SplitNames {
		if names := r.Report.NeverSeen[split]; len(names) > 0 {
			term.Fprintf(w, "%s has no object of: %s\n", split, strings.Join(names, ", "))
		}
	}
	if list := r.Report.Misnamed; len(list) > 0 {
		term.Fprintf(w, "%d pictures have names of other formats, the first %s, a %s: read by content\n", len(list), list[0].Path, list[0].Format)
	}
	for _, s := range r.Report.Shared {
		term.Fprintf(w, "in %s: %s\n", strings.Join(s.Splits, " and "), strings.Join(s.Paths, " = "))
	}
	for _, f := range r.Report.Unfit {
		term.Fprintln(w, f.String())
	}
	verdict := "nothing stands against training"
	if !r.OK {
		verdict = "training would refuse or skip what is listed"
	}
	_, err := term.Fprintln(w, verdict)
	return err
}

func statsCommand() *cli.Command {
	return &cli.Command{
		Name:        "stats",
		Usage:       "count pictures, objects, classes and sizes",
		ArgsUsage:   "DATA",
		Description: dataUsage,
		Flags:       readFlags(&cli.StringFlag{Name: "plots", Usage: "`FOLDER` for plots of classes, places and sizes of objects, per split"}),
		Action: func(c *cli.Context) error {
			set, _, err := readData(c, false)
			if err != nil {
				return err
			}
			r := struct {
				Path   string                    `json:"path"`
				Splits map[string]*dataset.Stats `json:"splits"`
				Files  []string                  `json:"files,omitempty"`
			}{Path: set.Path, Splits: map[string]*dataset.Stats{}}
			for split := range set.Splits {
				r.Splits[split] = set.Stats(split)
			}
			if dir := c.String("plots"); dir != "" {
				if r.Files, err = plotStats(dir, set); err != nil {
					return fmt.Errorf("plotting %s: %w", set.Path, err)
				}
			}
			return term.Of(c).Result(r, func(w io.Writer) error { return writeStats(w, r.Splits) })
		},
	}
}

// plotStats draws the objects of every split into a folder.
func plotStats(dir string, set *dataset.Set) (files []string, err error) {
	if err := disk.Claim(dir, disk.Inputs{Files: []string{set.Path}, Folders: set.Folders()}); err != nil {
		return nil, err
	}
	for _, split := range dataset.SplitNames {
		samples, ok := set.Splits[split]
		if !ok {
			continue
		}
		labels, pairs := filepath.Join(dir, split+"_labels.jpg"), filepath.Join(dir, split+"_labels_correlogram.jpg")
		if err := plot.Labels(labels, samples, set.Names); err != nil {
			return nil, err
		}
		if err := plot.Correlogram(pairs, samples); err != nil {
			return nil, err
		}
		files = append(files, labels, pairs)
	}
	return files, nil
}

func writeStats(w io.Writer, splits map[string]*dataset.Stats) error {
	var err error
	for _, split := range dataset.SplitNames {
		s := splits[split]
		if s == nil {
			continue
		}
		term.Fprintf(w, "%s: %d pictures (%d background), %d objects: %d small, %d medium, %d large\n",
			split, s.Pictures, s.Background, s.Objects, s.Small, s.Medium, s.Large)
		spread := func(what string, r dataset.Range) {
			term.Fprintf(w, "  %-22s %.4g to %.4g, median %.4g, mean %.4g\n", what, r.Min, r.Max, r.Median, r.Mean)
		}
		spread("picture width", s.Width)
		spread("picture height", s.Height)
		spread("objects a picture", s.PerPicture)
		spread("box width, of picture", s.BoxWidth)
		spread("box height, of picture", s.BoxHeight)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, class := range s.Classes {
			term.Fprintf(t, "  %s\t%d objects\tin %d pictures\n", class.Name, class.Objects, class.Pictures)
		}
		err = t.Flush()
	}
	return err
}

// written is a data set that a subcommand wrote; its JSON keys are stable.
type written struct {
	Path     string         `json:"path"`
	Format   string         `json:"format"`
	Names    []string       `json:"names"`
	Pictures map[string]int `json:"pictures"` // by split
}

func (r *written) write(w io.Writer) error {
	var parts []string
	for _, split := range dataset.SplitNames {
		if n, ok := r.Pictures[split]; ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, split))
		}
	}
	_, err := term.Fprintf(w, "%s: %s, %s pictures, %d classes\n", r.Path, r.Format, strings.Join(parts, ", "), len(r.Names))
	return err
}

// writeFlags are those of subcommands that write a data set.
func writeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write; must not exist or be empty"},
		&cli.StringFlag{Name: "to", Value: format.Formats[0], Usage: "`FORMAT`: " + strings.Join(format.Formats, ", ")},
		&cli.BoolFlag{Name: "link", Usage: "link to the pictures instead of copying them"},
		&cli.BoolFlag{Name: "outlines", Usage: "YOLO: write outlines where there are any"},
	}
}

// writeData writes a set as --to and --output say.
func writeData(c *cli.Context, set *dataset.Set) error {
	dir, to := c.String("output"), c.String("to")
	if err := disk.CheckOutput(dir, disk.Inputs{Files: []string{set.Path}, Folders: set.Folders()}); err != nil {
		return err
	}
	term.Of(c).StopGracefully("clearing away what was begun")
	o := dataset.WriteOptions{Link: c.Bool("link"), Outlines: c.Bool("outlines"), Stop: func() error { return context.Cause(c.Context) }}
	if err := format.Write(to, dir, set, o); err != nil {
		return fmt.Errorf("writing data set: %w", err)
	}
	r := written{dir, to, set.Names, map[string]int{}}
	for split, samples := range set.Splits {
		r.Pictures[split] = len(samples)
	}
	return term.Of(c).Result(r, r.write)
}

func checkWrite(c *cli.Context) error {
	if !slices.Contains(format.Formats, c.String("to")) {
		return term.Usagef("%s: --to %s: want one of %s", flags.Path(c), c.String("to"), strings.Join(format.Formats, ", "))
	}
	return checkOutput(c)
}

// checkOutput refuses a folder that holds something before anything is read.
func checkOutput(c *cli.Context) error {
	if err := flags.Need(c, "output"); err != nil {
		return err
	}
	dir := c.String("output")
	if err := disk.CheckOutput(dir, flags.Inputs(c)); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return term.BadInputf("--output %s: is there and not an empty folder", dir).Hinted("name a new folder")
	}
	return nil
}

func convertDataCommand() *cli.Command {
	return &cli.Command{
		Name:        "convert",
		Usage:       "write a data set in another format: VOC, COCO or YOLO",
		ArgsUsage:   "DATA",
		Description: dataUsage,
		Flags:       append(readFlags(), writeFlags()...),
		Action: func(c *cli.Context) error {
			if err := checkWrite(c); err != nil {
				return err
			}
			set, _, err := readData(c, false)
			if err != nil {
				return err
			}
			reportProblems(term.Of(c), &set.Report)
			return writeData(c, set)
		},
	}
}

func splitCommand() *cli.Command {
	return &cli.Command{
		Name:        "split",
		Usage:       "deal a data set's pictures anew to train, val and test",
		ArgsUsage:   "DATA",
		Description: dataUsage + "\nThe same seed deals the same pictures the same way on every machine.",
		Flags: append(readFlags(), append(writeFlags(),
			&cli.StringSliceFlag{Name: "shares", Value: cli.NewStringSlice("0.8", "0.2"), Usage: "`SHARES` of train, val and test, adding up to 1"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the deal is drawn from"})...),
		Action: func(c *cli.Context) error {
			if err := checkWrite(c); err != nil {
				return err
			}
			shares, err := readShares(c.StringSlice("shares"))
			if err != nil {
				return err
			}
			set, _, err := readData(c, false)
			if err != nil {
				return err
			}
			reportProblems(term.Of(c), &set.Report)
			dealt, err := set.Split(shares, c.Uint64("seed"))
			if err != nil {
				return term.BadInput(fmt.Errorf("splitting %s: %w", set.Path, err))
			}
			return writeData(c, dealt)
		},
	}
}

func readShares(texts []string) (shares [3]float64, err error) {
	sum := 0.0
	for i, text := range texts {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= 1) || i > 2 {
			return shares, term.Usagef("dataset split: --shares %s: want up to three numbers from 0 to 1", strings.Join(texts, ","))
		}
		shares[i], sum = v, sum+v
	}
	if math.Abs(sum-1) > 1e-6 {
		return shares, term.Usagef("dataset split: --shares %s add up to %.4g, not to 1", strings.Join(texts, ","), sum)
	}
	return shares, nil
}

func synthCommand() *cli.Command {
	return &cli.Command{
		Name:  "synth",
		Usage: "draw a data set of simple shapes",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FOLDER` to write; must not exist or be empty"},
			&cli.StringFlag{Name: "shapes", Value: "plain", Usage: "`NAMES` of shapes or families (" +
				strings.Join(slices.Sorted(maps.Keys(synth.Families)), ", ") + "): " + strings.Join(synth.Names(), ", ")},
			&cli.IntFlag{Name: "train", Value: 128, Usage: "`N` pictures for training"},
			&cli.IntFlag{Name: "val", Value: 32, Usage: "`N` pictures for validation"},
			&cli.IntFlag{Name: "imgsz", Aliases: []string{"img", "img-size"}, Value: 160, Usage: "side in `PIXELS`"},
			&cli.IntFlag{Name: "max-objects", Value: 4, Usage: "at most `N` objects a picture"},
			&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that everything is drawn from"},
			&cli.BoolFlag{Name: "jpeg", Usage: "JPEG pictures instead of PNG"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			if err := checkOutput(c); err != nil {
				return err
			}
			for _, name := range []string{"train", "val", "imgsz", "max-objects"} {
				if c.Int(name) < 1 {
					return term.Usagef("dataset synth: --%s %d: want at least 1", name, c.Int(name))
				}
			}
			shapes, err := synth.Parse(c.String("shapes"))
			if err != nil {
				return term.Usagef("dataset synth: --shapes: %v", err)
			}
			counts := map[string]int{"train": c.Int("train"), "val": c.Int("val")}
			o := synth.Options{Shapes: shapes, Counts: counts, Size: c.Int("imgsz"), MaxObjects: c.Int("max-objects"), Seed: c.Uint64("seed"), JPEG: c.Bool("jpeg")}
			if err := synth.Write(c.String("output"), o); err != nil {
				return fmt.Errorf("drawing data set: %w", err)
			}
			r := written{c.String("output"), "yolo", shapes, counts}
			return term.Of(c).Result(r, r.write)
		},
	}
}
