package flags

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
)

// Path names the command without the program: "dataset check".
func Path(c *cli.Context) string {
	if c.Command == nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(c.Command.HelpName, c.App.Name))
}

// FromEnvironment lets a flag be set by YOLOFREEZE_ and its name.
func FromEnvironment(f cli.Flag) {
	variables := reflect.ValueOf(f).Elem().FieldByName("EnvVars")
	variables.Set(reflect.ValueOf([]string{EnvironmentName(f)}))
}

// EnvironmentName is the variable that sets a flag.
func EnvironmentName(f cli.Flag) string {
	return "YOLOFREEZE_" + strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
}

// OnUsageError words what urfave/cli reports of flags.
func OnUsageError(c *cli.Context, err error, _ bool) error {
	path := Path(c)
	help := "see " + strings.TrimSpace("yolofreeze "+path) + " --help"
	prefix := ""
	if path != "" {
		prefix = path + ": "
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return term.Usagef("%s%s", prefix, strings.TrimSuffix(err.Error(), ": parse error")).Hinted(help)
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
	near := Nearest(name, names)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return term.Usagef("%sunknown flag --%s", prefix, name).DidYouMean(near, help)
}

// NeedArgs is for the top of an Action: it refuses a number of arguments outside
// least … most; most < 0 is any number.
func NeedArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	help := "usage: " + strings.TrimSpace(fmt.Sprintf("yolofreeze %s [flags] %s", Path(c), c.Command.ArgsUsage))
	switch {
	case n < least:
		return term.Usagef("%s: %d of %d arguments given", Path(c), n, least).Hinted(help)
	case most >= 0 && n > most:
		return term.Usagef("%s: unexpected argument %q", Path(c), c.Args().Get(most)).Hinted(help)
	}
	return nil
}

// Need is for flags that have no default. Commands must not mark a flag
// Required: that is asked before the file of flags is read.
func Need(c *cli.Context, names ...string) error {
	for _, name := range names {
		_, text := Find(c.Command.Flags, name).(*cli.StringFlag)
		if !c.IsSet(name) || text && c.String(name) == "" {
			return term.Usagef("%s: flag --%s is missing", Path(c), name).
				Hinted("see yolofreeze " + Path(c) + " --help")
		}
	}
	return nil
}

// CheckSide refuses sides of pictures for which no memory would do, in any command.
func CheckSide(c *cli.Context) error {
	if Find(c.Command.Flags, "imgsz") == nil {
		return nil
	}
	size := dataset.Size{Height: c.Int("imgsz"), Width: c.Int("imgsz")} // of drawn data sets, which are square
	if _, sides := Find(c.Command.Flags, "imgsz").(*sizeFlag); sides {
		size = Size(c)
	}
	if min(size.Height, size.Width) < 1 || size.Longer() > loader.MaxImageSize {
		return term.Usagef("%s: --imgsz %v: want 1 to %d", Path(c), size, loader.MaxImageSize)
	}
	return nil
}
