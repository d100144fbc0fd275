package flags

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// CompleteCommand is what the shells' scripts call with the words up to the
// cursor; it prints a line "word<TAB>description" for each that may stand there.
const CompleteCommand = "__complete"

// Complete prints what may stand as the last of words. Where that is a value or
// an argument it prints nothing, and the shell offers files.
func Complete(a *cli.App, words []string, w io.Writer) {
	if len(words) == 0 {
		words = []string{""}
	}
	before, word := words[:len(words)-1], words[len(words)-1]
	cmd, depth := command(a, before)
	if depth < len(before) && (cmd == nil || TakesValue(cmd, before[len(before)-1])) {
		return
	}
	offer := func(name, usage string) {
		if strings.HasPrefix(name, word) {
			usage, _, _ = strings.Cut(strings.ReplaceAll(usage, "`", ""), "\n")
			fmt.Fprintf(w, "%s\t%s\n", name, usage)
		}
	}
	if strings.HasPrefix(word, "-") {
		if cmd != nil {
			for _, f := range cmd.Flags {
				if d, ok := f.(cli.DocGenerationFlag); ok {
					offer("--"+f.Names()[0], d.GetUsage())
				}
			}
		}
		offer("--help", "show help")
		return
	}
	list := a.Commands
	if cmd != nil {
		list = cmd.Subcommands
	}
	for _, c := range list {
		if depth == len(before) && !c.Hidden {
			offer(c.Name, c.Usage)
		}
	}
}
