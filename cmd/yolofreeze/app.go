package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/urfave/cli/v2"
)

// commands lists every command in the order of the help page.
func commands() []*cli.Command {
	return []*cli.Command{
		doctorCommand(),
		inspectCommand(),
		convertCommand(),
		freezeCommand(),
		trainCommand(),
		detectCommand(),
		exportCommand(),
		compareCommand(),
		demoCommand(),
		datasetCommand(),
		completionCommand(),
		valCommand(),
		versionCommand(),
	}
}

// run executes one command line and returns the process's exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(commands(), args, stdin, stdout, stderr)
}

func execute(list []*cli.Command, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	t := newTerminal(stdin, stdout, stderr)
	defer func() {
		if p := recover(); p != nil {
			code = t.fail(internalError(p))
		}
	}()
	a := newApp(list, t)
	if len(args) > 1 && args[1] == completeCommand {
		complete(a, args[2:], t.out)
		return t.close(exitOK)
	}
	ctx, stop := t.watchSignals(context.Background())
	defer stop()
	err := a.RunContext(ctx, arrange(a, args))
	if cause := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	if err != nil {
		return t.close(t.fail(err))
	}
	return t.close(exitOK)
}

func newApp(list []*cli.Command, t *terminal) *cli.App {
	a := &cli.App{
		Name:      "yolofreeze",
		Usage:     "fine-tune YOLOv5 with frozen layers on ONNX Runtime",
		UsageText: "yolofreeze COMMAND [flags] [arguments]",
		Description: "Every flag can come from the environment (YOLOFREEZE_BATCH_SIZE for --batch-size) and from a\n" +
			"YAML file of flags (--config file.yaml); the command line wins over the environment, and that\n" +
			"over the file. Lists are written with commas: --freeze 0,1,2.",
		Commands:        list,
		HideHelpCommand: true,
		HideVersion:     true,
		Reader:          t.in,
		Writer:          t.out,
		ErrWriter:       t.err,
		ExitErrHandler:  func(*cli.Context, error) {}, // execute decides how the process ends
		OnUsageError:    onUsageError,
		Action:          group,
		Metadata:        map[string]any{terminalKey: t},
	}
	for _, c := range list {
		prepare(c)
	}
	addFlagNames(t.flags, list)
	return a
}

// prepare gives a command and those below it what all commands share: --config
// and --json, flags from the environment and the file, usage errors.
func prepare(c *cli.Command) {
	c.HideHelpCommand = true
	c.OnUsageError = onUsageError
	if len(c.Subcommands) > 0 {
		for _, sub := range c.Subcommands {
			prepare(sub)
		}
		c.Action = group
		return
	}
	c.Flags = append(c.Flags,
		&cli.StringFlag{Name: configFlag, Usage: "YAML `FILE` of flags for this command"},
		&cli.BoolFlag{Name: jsonFlag, Usage: "print the result as JSON"})
	for _, f := range c.Flags {
		fromEnvironment(f)
	}
	action := c.Action
	c.Action = func(c *cli.Context) error {
		if err := applyConfig(c); err != nil {
			return err
		}
		if err := checkSide(c); err != nil {
			return err
		}
		termOf(c).json = c.Bool(jsonFlag)
		return action(c)
	}
}

const (
	configFlag  = "config"
	jsonFlag    = "json"
	terminalKey = "terminal"
)

// fromEnvironment lets a flag be set by YOLOFREEZE_ and its name.
func fromEnvironment(f cli.Flag) {
	variables := reflect.ValueOf(f).Elem().FieldByName("EnvVars")
	variables.Set(reflect.ValueOf([]string{environmentName(f)}))
}

func environmentName(f cli.Flag) string {
	return "YOLOFREEZE_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
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
	err := usageErrorf("unknown command %q", strings.TrimSpace(commandPath(c)+" "+name))
	return err.didYouMean(nearest(name, names), "see yolofreeze --help")
}

func subcommands(c *cli.Context) []*cli.Command {
	if c.Command == nil || len(c.Command.Subcommands) == 0 {
		return c.App.Commands
	}
	return c.Command.Subcommands
}

// commandPath names the command without the program: "dataset check".
func commandPath(c *cli.Context) string {
	if c.Command == nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(c.Command.HelpName, c.App.Name))
}

// onUsageError words what urfave/cli reports of flags.
func onUsageError(c *cli.Context, err error, _ bool) error {
	path := commandPath(c)
	help := "see " + strings.TrimSpace("yolofreeze "+path) + " --help"
	prefix := ""
	if path != "" {
		prefix = path + ": "
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return usageErrorf("%s%s", prefix, strings.TrimSuffix(err.Error(), ": parse error")).hinted(help)
	}
	var names []string
	if c.Command != nil {
		for _, f := range c.Command.Flags {
			if f != cli.HelpFlag {
				names = append(names, f.Names()...)
			}
		}
	}
	name = strings.TrimLeft(name, "-")
	near := nearest(name, names)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return usageErrorf("%sunknown flag --%s", prefix, name).didYouMean(near, help)
}

// needArgs is for the top of an Action: it refuses a number of arguments outside
// least … most; most < 0 is any number.
func needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	help := "usage: " + strings.TrimSpace(fmt.Sprintf("yolofreeze %s [flags] %s", commandPath(c), c.Command.ArgsUsage))
	switch {
	case n < least:
		return usageErrorf("%s: %d of %d arguments given", commandPath(c), n, least).hinted(help)
	case most >= 0 && n > most:
		hint := help
		if most == 0 {
			hint = "lists are written with commas, such as --freeze 0,1,2"
		}
		return usageErrorf("%s: unexpected argument %q", commandPath(c), c.Args().Get(most)).hinted(hint)
	}
	return nil
}

// needFlags is for flags that have no default. Commands must not mark a flag
// Required: that is asked before the file of flags is read.
func needFlags(c *cli.Context, names ...string) error {
	for _, name := range names {
		_, text := findFlag(c.Command.Flags, name).(*cli.StringFlag)
		if !c.IsSet(name) || text && c.String(name) == "" {
			return usageErrorf("%s: flag --%s is missing", commandPath(c), name).
				hinted("see yolofreeze " + commandPath(c) + " --help")
		}
	}
	return nil
}

func internalError(p any) error {
	if os.Getenv("YOLOFREEZE_DEBUG") != "" {
		panic(p)
	}
	return fmt.Errorf("internal error: %v (YOLOFREEZE_DEBUG=1 shows where)", p)
}
