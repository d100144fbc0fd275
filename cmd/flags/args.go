package flags

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// Arrange lets flags stand after arguments, which urfave/cli does not read, and
// turns "help X" into "X --help" and "--version" into the command.
func Arrange(a *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	rest := args[1:]
	switch rest[0] {
	case "help", "h":
		rest = append(slices.Clone(rest[1:]), "--help")
	case "--version", "-v":
		rest = append([]string{"version"}, rest[1:]...)
	}
	cmd, depth := command(a, rest)
	if cmd == nil || len(cmd.Subcommands) > 0 {
		return append(args[:1:1], rest...)
	}
	out := append(args[:1:1], rest[:depth]...)
	var positional []string
	for rest = rest[depth:]; len(rest) > 0; rest = rest[1:] {
		word := rest[0]
		if word == "--" {
			positional = append(positional, rest[1:]...)
			break
		}
		if len(word) < 2 || word[0] != '-' {
			positional = append(positional, word)
			continue
		}
		value := TakesValue(cmd, word)
		given := value && len(rest) > 1 && !isFlag(cmd, rest[1])
		if o, ok := Find(cmd.Flags, flagName(word)).(optional); ok && value && !given {
			out = append(out, word+"="+o.alone())
			continue
		}
		out = append(out, word)
		if value && !given {
			return out // package flag then says that the value is missing
		}
		if given {
			out = append(out, rest[1])
			rest = rest[1:]
		}
	}
	if len(positional) > 0 {
		out = append(append(out, "--"), positional...)
	}
	return out
}

// command follows words down to a command and returns how many name it, nil when
// the first names none.
func command(a *cli.App, words []string) (cmd *cli.Command, depth int) {
	list := a.Commands
	for depth < len(words) {
		i := slices.IndexFunc(list, func(c *cli.Command) bool { return c.HasName(words[depth]) })
		if i < 0 {
			break
		}
		cmd, list = list[i], list[i].Subcommands
		depth++
	}
	return cmd, depth
}

// TakesValue reports whether a word is a flag whose value is the next word.
func TakesValue(cmd *cli.Command, word string) bool {
	f := Find(cmd.Flags, flagName(word))
	if f == nil || strings.Contains(word, "=") {
		return false
	}
	documented, ok := f.(cli.DocGenerationFlag)
	return ok && documented.TakesValue()
}

// isFlag reports whether a word names a flag of the command, and so is no other's value.
func isFlag(cmd *cli.Command, word string) bool {
	return strings.HasPrefix(word, "--") && Find(cmd.Flags, flagName(word)) != nil
}

// flagName is what a word calls the flag that it sets.
func flagName(word string) string {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return name
}

// Find finds a flag by any of its names, nil when there is none.
func Find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// Nearest returns at most three candidates few edits away from text, nearest first.
func Nearest(text string, candidates []string) []string {
	if len(text) > 100 {
		return nil
	}
	type scored struct {
		text     string
		distance int
	}
	var found []scored
	for _, c := range candidates {
		d := smetrics.WagnerFischer(strings.ToLower(text), strings.ToLower(c), 1, 1, 1)
		if d <= min(1+len(text)/3, len(c)-1) {
			found = append(found, scored{c, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return cmp.Compare(a.distance, b.distance) })
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.text)
	}
	return out
}
