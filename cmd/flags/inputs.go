package flags

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/onnx/disk"
)

// outputFlags name what a command writes.
var outputFlags = []string{"output", "project", "name", "plots"}

// Inputs are the files that arguments and flags of a command name, which it therefore
// must not write over: whatever value leads to a file, but for outputs.
func Inputs(c *cli.Context) (in disk.Inputs) {
	values := c.Args().Slice()
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !c.IsSet(name) || slices.Contains(outputFlags, name) {
			continue
		}
		switch f.(type) {
		case *cli.StringFlag, *OptionalText:
			values = append(values, c.String(name))
		case *hypFlag:
			values = append(values, c.Generic(name).(*hypValue).text)
		case *cli.StringSliceFlag:
			values = append(values, c.StringSlice(name)...)
		case *listFlag:
			values = append(values, List(c, name)...)
		}
	}
	for _, value := range values {
		if file := strings.TrimPrefix(value, "@"); disk.IsFile(file) {
			in.Files = append(in.Files, file)
		}
	}
	return in
}
