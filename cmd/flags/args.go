package flags

import (
	"cmp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

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
	if !strings.HasPrefix(word, "--") || word == "--" {
		return false
	}
	full, err := whole(cmd, word)
	return err != nil || known(cmd, flagName(full))
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
		if letters(text) == letters(c) { // some of which were swapped
			d = 1
		}
		if d <= min((len(text)+1)/3, len(c)-1) {
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

// letters are those of a text in order.
func letters(text string) string {
	all := []rune(strings.ToLower(text))
	slices.Sort(all)
	return string(all)
}
