package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/artifact"
)

// freezeResult is a plan as freeze prints it; its JSON keys are stable.
type freezeResult struct {
	Artifacts string         `json:"artifacts"`
	DryRun    bool           `json:"dry_run"`
	Freeze    []string       `json:"freeze"`
	BN        []string       `json:"bn"`
	Frozen    []string       `json:"frozen"`
	Trainable []string       `json:"trainable"`
	Counts    freeze.Summary `json:"counts"`
}

func freezeCommand() *cli.Command {
	return &cli.Command{
		Name:      "freeze",
		Usage:     "choose which parameters of an artifacts folder train",
		ArgsUsage: "ARTIFACTS",
		Description: "Selectors: N, the first N layers; 0,1,5 or 0-9, exactly those; backbone, neck, head; prefixes such\n" +
			"as model.24.m.0; globs such as *.bn.*; !model.9. takes back; @freeze.yaml repeats a plan; 0 is nothing.\n" +
			"The folder's graphs are built anew. With --dry-run WEIGHTS of any kind will do.",
		Flags: append(freezeFlags(), verboseFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would train, and change nothing"}),
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			if c.Bool("dry-run") {
				return showPlan(c)
			}
			if err := flags.Need(c, "freeze"); err != nil {
				return err
			}
			return refreeze(c)
		},
	}
}

// freezeFlags are those of commands that make a plan.
func freezeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "freeze", Usage: "`SELECTORS` of what stays as it is"},
		&cli.StringSliceFlag{Name: "bn", Usage: "`MODE` of frozen BatchNorm: eval (standard), batch or affine-only; or SELECTOR=MODE"},
	}
}

// planOf makes the plan that --freeze and --bn ask for, by default the one
// that the weights come with.
func planOf(c *cli.Context, m *model.Model) (*freeze.Plan, error) {
	selectors := m.Freeze
	if c.IsSet("freeze") {
		selectors = c.StringSlice("freeze")
	}
	return m.Plan(selectors, c.StringSlice("bn"))
}

// showPlan prints the plan tensor by tensor.
func showPlan(c *cli.Context) error {
	m, err := model.Load(c.Args().First())
	if err != nil {
		return term.BadInput(err)
	}
	plan, err := planOf(c, m)
	if err != nil {
		return err
	}
	return term.Of(c).Result(resultOf(c, plan), func(w io.Writer) error {
		if err := plan.WriteTable(w); err != nil {
			return err
		}
		term.Fprintf(w, "\n")
		writeNotes(w, m, plan.RateLines()...)
		_, err := term.Fprintf(w, "%s\n", plan.Summary())
		return err
	})
}

// refreeze rewrites the folder.
func refreeze(c *cli.Context) error {
	dir := c.Args().First()
	if !artifact.Is(dir) {
		err := term.BadInputf("%s: not an artifacts folder", dir)
		return err.Hinted("yolofreeze convert WEIGHTS -o DIR makes one; --dry-run takes weights of any kind")
	}
	m, bundle, err := model.OpenArtifacts(dir)
	if err != nil {
		return term.BadInput(err)
	}
	plan, err := planOf(c, m)
	if err != nil {
		return err
	}
	term.Of(c).StopGracefully("finishing the folder")
	if err := export.Refreeze(dir, readVersion().Version, m, bundle, plan); err != nil {
		return err
	}
	return term.Of(c).Result(resultOf(c, plan), func(w io.Writer) error {
		for _, line := range frozenLines(c, plan) {
			term.Fprintf(w, "freezing %s\n", line)
		}
		writeNotes(w, m, plan.RateLines()...)
		_, err := term.Fprintln(w, plan.Summary())
		return err
	})
}

// verboseFlag is for commands that say what is frozen.
func verboseFlag() cli.Flag {
	return &cli.BoolFlag{Name: "verbose", Usage: "name each frozen tensor, not only layers"}
}

// frozenLines say what is frozen, by layers or, with --verbose, by tensors.
func frozenLines(c *cli.Context, plan *freeze.Plan) []string {
	if c.Bool("verbose") {
		return plan.FrozenNames()
	}
	return plan.FrozenLayers()
}

// writeNotes writes what a user should know of the model, and further lines.
func writeNotes(w io.Writer, m *model.Model, lines ...string) {
	for _, note := range append(m.Notes(), lines...) {
		term.Fprintln(w, note)
	}
}

func resultOf(c *cli.Context, plan *freeze.Plan) freezeResult {
	return freezeResult{
		Artifacts: c.Args().First(), DryRun: c.Bool("dry-run"),
		Freeze: append([]string{}, plan.Selectors...), BN: append([]string{}, plan.Policies...),
		Frozen: plan.FrozenNames(), Trainable: plan.TrainableNames(), Counts: plan.Summary(),
	}
}
