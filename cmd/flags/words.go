package flags

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/onnx/disk"
)

// Arrange reads words as argparse does, so that YOLOv5's command lines work: flags stand
// after arguments too, which urfave/cli does not read, by unambiguous beginnings of their
// names, and lists have their items one after the other. What YOLOv5 has and a command
// here has not is said as the table of them says (yolov5.go): notes are for the user.
// "help X" becomes "X --help" and "--version" the command.
func Arrange(a *cli.App, args []string) (line, notes []string, err error) {
	if len(args) < 2 {
		return args, nil, nil
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
		return append(args[:1:1], rest...), nil, nil
	}
	r := &reader{cmd: cmd, rest: rest[depth:], out: append(args[:1:1], rest[:depth]...)}
	for len(r.rest) > 0 && err == nil {
		err = r.next()
	}
	if len(r.positional) > 0 {
		r.out = append(append(r.out, "--"), r.positional...)
	}
	return r.out, r.notes, err
}

// reader takes a command's words one by one.
type reader struct {
	cmd             *cli.Command
	rest            []string
	out, positional []string
	notes           []string
}

// next takes a flag with its values, or an argument.
func (r *reader) next() error {
	word := r.take()
	if word == "--" {
		r.positional, r.rest = append(r.positional, r.rest...), nil
		return nil
	}
	if len(word) < 2 || word[0] != '-' {
		r.positional = append(r.positional, word)
		return nil
	}
	word, err := whole(r.cmd, word)
	if err != nil {
		return err
	}
	f := Find(r.cmd.Flags, flagName(word))
	if f == nil {
		if y := foreign(r.cmd.Name, flagName(word)); y != nil {
			return r.foreign(y, word)
		}
		r.out = append(r.out, word)
		return nil
	}
	value := TakesValue(r.cmd, word)
	given := value && len(r.rest) > 0 && !isFlag(r.cmd, r.rest[0])
	switch o, alone := f.(optional); {
	case !value:
		r.out = append(r.out, word)
	case given:
		return r.values(f, word)
	case alone:
		r.out = append(r.out, word+"="+o.alone())
	default:
		r.out, r.rest = append(r.out, word), nil // package flag then says that the value is missing
		r.positional = nil
	}
	return nil
}

func (r *reader) take() string {
	word := r.rest[0]
	r.rest = r.rest[1:]
	return word
}

// values takes the values of a flag: one, or as many as a list has.
func (r *reader) values(f cli.Flag, word string) error {
	items := []string{r.take()}
	slice, ok := f.(cli.DocGenerationSliceFlag)
	list := ok && slice.IsSliceFlag()
	models := f.Names()[0] == "weights"
	for list && len(r.rest) > 0 && (models && isModel(r.rest[0]) || !models && r.isItem(r.rest[0])) {
		items = append(items, r.take())
	}
	if _, each := f.(*listFlag); each {
		for _, item := range items {
			r.out = append(r.out, word, item)
		}
		return nil
	}
	if _, sides := f.(*sizeFlag); sides && len(r.rest) > 0 && r.rest[0] != "" && strings.Trim(r.rest[0], "0123456789") == "" && !disk.Exists(r.rest[0]) {
		items = append(items, r.take()) // height and width
	}
	r.out = append(r.out, word, strings.Join(items, ","))
	if len(r.rest) == 0 {
		return nil
	}
	switch next := r.rest[0]; {
	case f.Names()[0] == "weights" && !list && isModel(next):
		return term.Usagef("%s: --weights %s %s: one model at a time", r.cmd.Name, items[0], next)
	}
	return nil
}

// isItem reports whether a word goes on with a list. Where a command takes arguments, a
// word that may be one does not.
func (r *reader) isItem(word string) bool {
	if strings.HasPrefix(word, "-") && len(word) > 1 && strings.Trim(word[1:], "0123456789.") != "" || word == "-" {
		return false
	}
	return r.cmd.ArgsUsage == "" || !strings.ContainsAny(word, `./\*?[`) && !disk.Exists(word)
}

func isModel(word string) bool {
	return slices.Contains([]string{".pt", ".onnx", ".safetensors", ".torchscript", ".engine"}, strings.ToLower(filepath.Ext(word)))
}

// foreign takes a flag that only YOLOv5 has.
func (r *reader) foreign(y *YOLOv5Flag, word string) error {
	value, given := "", false
	if _, joined, ok := strings.Cut(word, "="); ok {
		value, given = joined, true
	} else if y.Takes != "" && len(r.rest) > 0 && !isFlag(r.cmd, r.rest[0]) && (y.Takes != "?" || r.isItem(r.rest[0])) {
		value, given = r.take(), true
	}
	if y.Takes == "1" && !given {
		return term.Usagef("%s: flag --%s needs a value", r.cmd.Name, y.Name)
	}
	switch {
	case y.Instead != nil:
		r.out = append(r.out, y.Instead...)
	case y.Accepted:
		r.notes = append(r.notes, fmt.Sprintf("--%s has no effect here: %s", y.Name, y.Text))
	case y.Harmless != "" && value == y.Harmless:
	default:
		return term.Usagef("%s: --%s is not there: %s", r.cmd.Name, y.Name, y.Text).Hinted(y.Hint)
	}
	return nil
}

// whole completes the name of a flag from its beginning, if only one begins so. YOLOv5's
// own flags go first: --conf is --conf-thres, although there is --config.
func whole(cmd *cli.Command, word string) (string, error) {
	name, value, joined := strings.Cut(word, "=")
	begin := strings.TrimPrefix(name, "--")
	if begin == name || begin == "" || known(cmd, begin) {
		return word, nil
	}
	if hyphened := strings.ReplaceAll(begin, "_", "-"); known(cmd, hyphened) { // as old versions have it
		begin = hyphened
	} else {
		fit := beginning(begin, yolov5Names(cmd.Name), cmd)
		if len(fit) == 0 {
			var own []string
			for _, f := range cmd.Flags {
				own = append(own, f.Names()...)
			}
			fit = beginning(begin, own, cmd)
		}
		switch len(fit) {
		case 0:
			return word, nil
		case 1:
			begin = fit[0]
		default:
			return "", term.Usagef("%s: --%s is the beginning of --%s", cmd.Name, begin, strings.Join(fit, ", --")).Hinted("write out which")
		}
	}
	if joined {
		return "--" + begin + "=" + value, nil
	}
	return "--" + begin, nil
}

// beginning lists the names that begin so, one of each flag.
func beginning(begin string, names []string, cmd *cli.Command) (fit []string) {
	seen := map[string]bool{}
	for _, name := range names {
		if !strings.HasPrefix(name, begin) {
			continue
		}
		first := name
		if f := Find(cmd.Flags, name); f != nil {
			first = f.Names()[0]
		}
		if !seen[first] {
			seen[first] = true
			fit = append(fit, first)
		}
	}
	return fit
}

// known reports whether a name is a flag's here or in YOLOv5.
func known(cmd *cli.Command, name string) bool {
	return name == "help" || Find(cmd.Flags, name) != nil || foreign(cmd.Name, name) != nil
}
