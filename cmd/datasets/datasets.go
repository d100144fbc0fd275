// Package datasets has the commands about data sets, and how others open one and tell of it.
package datasets

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze/finetune/plot"
	"yolofreeze/onnx/disk"
)

// Command is "dataset"; more are subcommands that need a model.
func Command(more ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name:        "dataset",
		Usage:       "check, convert, count, split, draw, preview and label data sets",
		Subcommands: append([]*cli.Command{checkCommand(), statsCommand(), convertDataCommand(), splitCommand(), synthCommand(), previewCommand()}, more...),
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
	if err := CheckPolicies(c); err != nil {
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
