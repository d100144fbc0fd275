package main

import (
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset/loader"
)

// Flags that several commands share carry YOLOv5's names, all of them.

// sharedFlags are flags of train that another command has, too.
func sharedFlags(names ...string) (flags []cli.Flag) {
	for _, name := range names {
		flags = append(flags, flagOf(optionNamed(name)))
	}
	return flags
}

// dataFlags are those of commands that read a data set.
func dataFlags() []cli.Flag { return sharedFlags("data", "classes", "bad-labels", "bad-images") }

func imgszFlag() cli.Flag { return flagOf(optionNamed("imgsz")) }

func deviceFlag() cli.Flag { return flagOf(optionNamed("device")) }

// batchSizeFlag is for commands that do not look for what fits into memory.
func batchSizeFlag(size int) cli.Flag {
	return &cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: size, Usage: "pictures a `BATCH`"}
}

// checkSide refuses sides of pictures for which no memory would do, in any command.
func checkSide(c *cli.Context) error {
	if findFlag(c.Command.Flags, "imgsz") == nil {
		return nil
	}
	if side := c.Int("imgsz"); side < 1 || side > loader.MaxImageSize {
		return usageErrorf("%s: --imgsz %d: want 1 to %d", commandPath(c), side, loader.MaxImageSize)
	}
	return nil
}

// spelt writes as flags the options that packages name in backquotes: `amp fp16`
// becomes --amp fp16.
func (t *terminal) spelt(text string) string {
	return quoted.ReplaceAllStringFunc(text, func(option string) string {
		words := strings.Trim(option, "`")
		if name, _, _ := strings.Cut(words, " "); !t.flags[flagName(name)] {
			return option
		}
		return "--" + words
	})
}

var quoted = regexp.MustCompile("`[a-z][^`]*`")

// addFlagNames lists the names of all flags of commands.
func addFlagNames(names map[string]bool, list []*cli.Command) {
	for _, c := range list {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				names[name] = true
			}
		}
		addFlagNames(names, c.Subcommands)
	}
}
