package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/datasets"
	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
)

// commands lists every command in the order of the help page.
func commands() []*cli.Command {
	return []*cli.Command{
		setupCommand(),
		doctorCommand(),
		inspectCommand(),
		convertCommand(),
		freezeCommand(),
		trainCommand(),
		detectCommand(),
		exportCommand(),
		compareCommand(),
		demoCommand(),
		datasets.Command(labelCommand()),
		completionCommand(),
		valCommand(),
		weightsCommand(),
		versionCommand(),
	}
}

// run executes one command line and returns the process's exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(commands(), args, stdin, stdout, stderr)
}

func execute(list []*cli.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	t := term.New(stdin, stdout, stderr)
	defer func() {
		if p := recover(); p != nil {
			code = t.Fail(internalError(p))
		}
	}()
	a := newApp(list, t)
	if len(args) > 1 && args[1] == flags.CompleteCommand {
		flags.Complete(a, args[2:], t.Out)
		return t.Close(term.ExitOK)
	}
	ctx, stop := t.WatchSignals(context.Background())
	defer stop()
	line, notes, err := flags.Arrange(a, args)
	for _, note := range notes {
		t.Logf("%s", note)
	}
	if err == nil {
		err = a.RunContext(ctx, line)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	if err != nil {
		return t.Close(t.Fail(err))
	}
	return t.Close(term.ExitOK)
}

func newApp(list []*cli.Command, t *term.Terminal) *cli.App {
	a := &cli.App{
		Name:      "yolofreeze",
		Usage:     "fine-tune YOLOv5 with frozen layers on ONNX Runtime",
		UsageText: "yolofreeze COMMAND [flags] [arguments]",
		Description: "Every flag can come from the environment (YOLOFREEZE_BATCH_SIZE for --batch-size) and from a\n" +
			"YAML file of flags (--config file.yaml); the command line wins over the environment, and that\n" +
			"over the file. Lists are written with commas or blanks, --freeze 0,1,2 or --freeze 0 1 2; names of\n" +
			"flags may be cut short where that is unambiguous, and are YOLOv5's.",
		Commands:        list,
		HideHelpCommand: true,
		HideVersion:     true,
		Reader:          t.In,
		Writer:          t.Out,
		ErrWriter:       t.Err,
		ExitErrHandler:  func(*cli.Context, error) {}, // execute decides how the process ends
		OnUsageError:    flags.OnUsageError,
		Action:          group,
		Metadata:        map[string]any{term.Key: t},
	}
	for _, c := range list {
		prepare(c)
	}
	flags.AddNames(t.Flags, list)
	return a
}

// prepare gives a command and those below it what all commands share: --config,
// --json and --quiet, flags from the environment and the file, usage errors.
func prepare(c *cli.Command) {
	c.HideHelpCommand = true
	c.OnUsageError = flags.OnUsageError
	if len(c.Subcommands) > 0 {
		for _, sub := range c.Subcommands {
			prepare(sub)
		}
		c.Action = group
		return
	}
	c.Flags = append(c.Flags,
		&cli.StringFlag{Name: flags.Config, Usage: "YAML `FILE` of flags for this command"},
		&cli.BoolFlag{Name: flags.JSON, Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: flags.Quiet, Usage: "say no more than results, warnings and errors"})
	for _, f := range c.Flags {
		flags.FromEnvironment(f)
	}
	action := c.Action
	c.Action = func(c *cli.Context) error {
		if err := flags.ApplyConfig(c); err != nil {
			return err
		}
		if err := flags.CheckSide(c); err != nil {
			return err
		}
		t := term.Of(c)
		if t.JSON = c.Bool(flags.JSON); c.Bool(flags.Quiet) {
			t.Hush()
		}
		return action(c)
	}
}

// group is what a command that only holds others does by itself.
func group(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	name := c.Args().First()
	var names []string
	for _, sub := range subcommands(c) {
		names = append(names, sub.Names()...)
	}
	err := term.Usagef("unknown command %q", strings.TrimSpace(flags.Path(c)+" "+name))
	return err.DidYouMean(flags.Nearest(name, names), "see yolofreeze --help")
}

func subcommands(c *cli.Context) []*cli.Command {
	if c.Command == nil || len(c.Command.Subcommands) == 0 {
		return c.App.Commands
	}
	return c.Command.Subcommands
}

func internalError(p any) error {
	if os.Getenv("YOLOFREEZE_DEBUG") != "" {
		panic(p)
	}
	return fmt.Errorf("internal error: %v (YOLOFREEZE_DEBUG=1 shows where)", p)
}
