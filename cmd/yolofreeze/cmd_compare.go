package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/matrix"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/compare"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/disk"
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "put runs side by side, or run frozen against unfrozen first, and write a report",
		ArgsUsage: "[RUN_FOLDER…]",
		Description: "With folders of runs, yolofreeze's or YOLOv5's own, or folders of such folders, it only reads.\n" +
			"Without, it trains: every --freeze with every --weights, --hyp and seed, each in a process of its\n" +
			"own; train's other flags hold for all. Runs that are done are not repeated, interrupted ones go on.\n" +
			"--matrix FILE is a YAML file of these flags in which runs may name variants:\n" +
			"  epochs: 30\n  seeds: [0, 1, 2]\n  runs:\n    unfrozen: {}\n    backbone: {freeze: backbone}\n    neck too: {freeze: \"0-23\", bn: batch}",
		Flags:  append(compareFlags(), flags.Train(options.AllRuns)...),
		Action: compareRuns,
	}
}

// compareFlags are compare's own; some repeat what train takes once.
func compareFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: filepath.Join("runs", "compare"), Usage: "`FOLDER` for the report, and for the runs"},
		&cli.StringFlag{Name: "title", Value: "Comparison of runs", Usage: "the report's `TITLE`"},
		&cli.Float64SliceFlag{Name: "reach", Usage: "time runs to these `PERCENT` of the best mAP (default: 50,80,90,95)"},
		&cli.StringFlag{Name: "matrix", Usage: "YAML `FILE` of flags and named variants"},
		flags.NewList("weights", "`MODEL` to start from; repeated: one run of each"),
		offlineFlag(),
		flags.NewList("freeze", "what stays as it is, as train has it, with +cache[=K] to cache its features; repeated: one run of each (default: 0, then backbone)"),
		flags.NewList("hyp", "hyperparameters as train has them; repeated: one run of each"),
		&cli.Uint64SliceFlag{Name: "seeds", Usage: "`SEEDS` of each variant's runs (default: 0)"},
		&cli.BoolFlag{Name: "dry-run", Usage: "only list what would run"},
		&cli.StringFlag{Name: "devices", Usage: "train as many runs at once as `LIST` has devices, each on one: cuda:0,cuda:1"},
		&cli.StringFlag{Name: "cell", Usage: "train the runs of task `K/N` alone, and write no report; auto: the run of this array job's task"},
		&cli.StringFlag{Name: "emit", Usage: "print an array job that trains each run as a task of its own: `SYSTEM` slurm or kubernetes"},
	}
}

func compareRuns(c *cli.Context) error {
	t := term.Of(c)
	for _, share := range c.Float64Slice("reach") {
		if !(share > 0 && share <= 100) {
			return term.Usagef("compare: --reach %g: want per cent above 0, at most 100", share)
		}
	}
	dirs := c.Args().Slice()
	if len(dirs) > 0 {
		if name := trainingFlag(c); name != "" {
			return term.Usagef("compare: --%s is for training, but folders of runs are given, which are only read", name)
		}
		found, err := runFolders(dirs)
		if err != nil {
			return err
		}
		dirs = found
		if err := claimOutput(c, dirs); err != nil {
			return err
		}
	} else {
		cells, err := matrix.Read(c)
		if err != nil {
			return err
		}
		if c.IsSet("devices") && c.IsSet("device") {
			return term.Usagef("compare: --devices and --device exclude each other: a run has one of the first, or all have the second")
		}
		if c.IsSet("emit") {
			return emitCells(c, cells)
		}
		if c.IsSet("cell") {
			if cells, err = matrix.Share(cells, c.String("cell")); err != nil {
				return err
			}
		}
		if c.Bool("dry-run") {
			return listCells(t, cells)
		}
		for _, cell := range cells {
			if err := cell.CheckFolder(filepath.Join(c.String("output"), cell.Name)); err != nil {
				return err
			}
		}
		for _, weights := range append(flags.List(c, "weights"), c.String("teacher")) { // before the first run begins
			if _, err := weightsFile(c, weights); err != nil {
				return err
			}
		}
		if err := claimOutput(c, nil); err != nil {
			return err
		}
		t.StopGracefully(term.Saving)
		if dirs, err = matrix.Run(c.Context, t, c.String("output"), cells, options.Devices(c.String("devices"))); err != nil {
			return err
		}
		if c.IsSet("cell") {
			t.Logf("these runs are done; when all are, the same command without --cell writes the report")
			return nil
		}
	}
	return report(t, c.String("output"), c.String("title"), dirs, c.Float64Slice("reach"))
}

// emitCells prints an array job with a task for each run.
func emitCells(c *cli.Context, cells []matrix.Cell) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	command := []string{"yolofreeze"}
	for i, skip := 1, false; i < len(os.Args); i++ {
		switch word := os.Args[i]; {
		case skip:
			skip = false
		case word == "--emit" || word == "-emit":
			skip = true
		case strings.HasPrefix(word, "--emit=") || strings.HasPrefix(word, "-emit="):
		default:
			command = append(command, word)
		}
	}
	text, err := matrix.Emit(c.String("emit"), len(cells), dir, command)
	if err != nil {
		return err
	}
	_, err = term.Of(c).Text().Write([]byte(text))
	return err
}

// claimOutput makes the folder of the report, which may hold the runs, but not lie in one.
func claimOutput(c *cli.Context, dirs []string) error {
	output, in := c.String("output"), flags.Inputs(c)
	in.Folders = dirs
	for _, name := range []string{compare.ReportHTML, compare.ReportMarkdown, compare.ReportJSON} {
		if err := disk.CheckOutput(filepath.Join(output, name), in); err != nil {
			return err
		}
	}
	return disk.Claim(output, disk.Inputs{})
}

// trainingFlag names a flag given that only training heeds, "" when there is none.
func trainingFlag(c *cli.Context) string {
	reading := []string{"output", "title", "reach", flags.Config, flags.JSON, flags.Quiet}
	for _, f := range c.Command.Flags {
		if name := f.Names()[0]; c.IsSet(name) && !slices.Contains(reading, name) && name != "help" {
			return name
		}
	}
	return ""
}

// runFolders replaces folders that hold no results by the runs in them.
func runFolders(args []string) ([]string, error) {
	var dirs []string
	for _, arg := range args {
		if disk.Exists(filepath.Join(arg, runs.ResultsFile)) {
			dirs = append(dirs, arg)
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, term.BadInput(fmt.Errorf("%s: read the run: %w", arg, disk.Cause(err)))
		}
		before := len(dirs)
		for _, e := range entries {
			if dir := filepath.Join(arg, e.Name()); disk.Exists(filepath.Join(dir, runs.ResultsFile)) {
				dirs = append(dirs, dir)
			}
		}
		if len(dirs) == before {
			return nil, term.BadInputf("%s: no results.csv in it, nor in a folder in it", arg).Hinted("give folders of runs, such as runs/train/exp")
		}
	}
	return dirs, nil
}

// report reads runs, writes the report and prints its summary.
func report(t *term.Terminal, output, title string, dirs []string, reach []float64) error {
	var read []*compare.Run
	for i, dir := range dirs {
		run, err := compare.Read(dir)
		if none := (*runs.NoRowError)(nil); errors.As(err, &none) && (len(read) > 0 || i < len(dirs)-1) {
			t.Warnf("%v; the run is left out", err)
			continue
		}
		if err != nil {
			return err
		}
		for _, warning := range run.Warnings {
			t.Warnf("%s", warning)
		}
		read = append(read, run)
	}
	targets := make([]float64, len(reach))
	for i, percent := range reach {
		targets[i] = percent / 100
	}
	comparison, err := compare.New(title, read, targets...)
	if err != nil {
		return err
	}
	files, err := compare.WriteReport(output, comparison)
	if err != nil {
		return err
	}
	result := struct {
		*compare.Comparison
		Files []string `json:"files"`
	}{comparison, files}
	return t.Result(result, func(w io.Writer) error {
		if err := comparison.WriteText(w); err != nil {
			return err
		}
		_, err := term.Fprintf(w, "report: %s\n", strings.Join(files, ", "))
		return err
	})
}

// listCells prints what would run.
func listCells(t *term.Terminal, cells []matrix.Cell) error {
	return t.Result(struct {
		Runs []matrix.Cell `json:"runs"`
	}{cells}, func(w io.Writer) error {
		for _, cell := range cells {
			if _, err := term.Fprintf(w, "%s: train %s\n", cell.Name, strings.Join(cell.Flags, " ")); err != nil {
				return err
			}
		}
		return nil
	})
}
