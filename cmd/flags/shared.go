package flags

import (
	"github.com/urfave/cli/v2"
)

// Flags that every command has.
const (
	Config = "config"
	JSON   = "json"
)

// Flags that several commands share carry YOLOv5's names, all of them.

// Named is the flag of an option of train.
func Named(name string) cli.Flag { return Of(optionNamed(name)) }

// Shared are flags of train that another command has, too.
func Shared(names ...string) (flags []cli.Flag) {
	for _, name := range names {
		flags = append(flags, Named(name))
	}
	return flags
}

// Data are those of commands that read a data set.
func Data() []cli.Flag { return Shared("data", "classes", "bad-labels", "bad-images") }

// BatchSize is for commands that do not look for what fits into memory.
func BatchSize(size int) cli.Flag {
	return &cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: size, Usage: "pictures a `BATCH`"}
}

// AddNames lists the names of all flags of commands.
func AddNames(names map[string]bool, list []*cli.Command) {
	for _, c := range list {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				names[name] = true
			}
		}
		AddNames(names, c.Subcommands)
	}
}
