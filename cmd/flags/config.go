package flags

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// ApplyConfig sets from the file of --config each flag of the command that
// neither the command line nor the environment set. Keys are names of flags,
// with - or _ between words; values are scalars, or lists for flags that take one.
// So opt.yaml of a run repeats it; what such a file only records is passed over.
func ApplyConfig(c *cli.Context) error {
	file := c.String(Config)
	if file == "" {
		return nil
	}
	entries, err := readConfig(file)
	if err != nil {
		return term.BadInput(fmt.Errorf("reading configuration %s: %w", file, err))
	}
	seen := map[cli.Flag]int{}
	for _, e := range entries {
		key, asked := ForKey(e.Key)
		if c.Command.Name == "train" && !asked {
			continue
		}
		f := Find(c.Command.Flags, key)
		if f == nil {
			return UnknownKey(c, file, e)
		}
		name := f.Names()[0]
		if name == Config {
			return term.BadInput(fmt.Errorf("%s:%d: key %s: a configuration cannot name another", file, e.Line, e.Key))
		}
		if first, twice := seen[f]; twice {
			return term.BadInput(fmt.Errorf("%s:%d: key %s: flag --%s is already set on line %d", file, e.Line, e.Key, name, first))
		}
		seen[f] = e.Line
		if c.IsSet(name) {
			continue
		}
		if err := Set(c, file, f, e); err != nil {
			return term.BadInput(fmt.Errorf("%s:%d: key %s: %w", file, e.Line, e.Key, err))
		}
	}
	return nil
}

// UnknownKey is the error of a key that names no flag.
func UnknownKey(c *cli.Context, file string, e Entry) error {
	var names []string
	for _, f := range c.Command.Flags {
		if f.Names()[0] != Config {
			names = append(names, f.Names()...)
		}
	}
	err := term.BadInputf("%s:%d: unknown key %q: %s has no such flag", file, e.Line, e.Key, Path(c))
	return err.DidYouMean(Nearest(e.Key, names), "see yolofreeze "+Path(c)+" --help")
}

// Set gives a flag its values under all its names.
func Set(c *cli.Context, file string, f cli.Flag, e Entry) error {
	slice, ok := f.(cli.DocGenerationSliceFlag)
	list := ok && slice.IsSliceFlag()
	names := f.Names()
	if h, ok := f.(*hypFlag); ok && e.Mapping != nil {
		return h.setMapping(c, file, e.Mapping)
	}
	if _, sides := f.(*sizeFlag); sides && len(e.Values) > 1 {
		e.Values, e.list = []string{strings.Join(e.Values, ",")}, false
	}
	switch {
	case e.Mapping != nil:
		return fmt.Errorf("a map where --%s takes a value", names[0])
	case list:
		names = names[:1] // all names share one list
	case e.list || len(e.Values) != 1:
		return fmt.Errorf("a list where --%s takes one value", names[0])
	}
	for _, name := range names {
		for _, v := range e.Values {
			if err := c.Set(name, v); err != nil {
				return fmt.Errorf("value %q does not fit --%s", v, name)
			}
		}
	}
	return nil
}

// Entry is one key of a configuration file.
type Entry struct {
	Key     string
	Values  []string
	Mapping *yaml.Node // nil: it is none
	Line    int
	list    bool
}

// readConfig reads a YAML file that is a mapping of flags to what EntryOf reads.
func readConfig(name string) ([]Entry, error) {
	data, err := disk.Read(name, yaml.MaxBytes)
	if err != nil {
		return nil, disk.Cause(err)
	}
	return parseConfig(data)
}

func parseConfig(data []byte) ([]Entry, error) {
	root, err := yaml.Parse(data)
	if err != nil {
		return nil, err
	}
	if root.Kind != yaml.Map && root.Kind != yaml.Null {
		return nil, fmt.Errorf("line %d: not one mapping of flags to values", root.Line)
	}
	var entries []Entry
	for _, pair := range root.Pairs {
		e, err := EntryOf(pair)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %s: %w", e.Line, e.Key, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// EntryOf reads one key: a scalar as it is written, 1e-3 as 1e-3, a list of them, or a
// map, which few flags take.
func EntryOf(pair yaml.Pair) (Entry, error) {
	e := Entry{Key: pair.Key, Line: pair.Line, list: pair.Value.Kind == yaml.List}
	values := []*yaml.Node{pair.Value}
	switch pair.Value.Kind {
	case yaml.List:
		values = pair.Value.Items
	case yaml.Map:
		e.Mapping = pair.Value
		return e, nil
	}
	for _, v := range values {
		switch v.Kind {
		case yaml.Null:
			return e, errors.New("no value")
		case yaml.Scalar:
			e.Values = append(e.Values, v.Text)
		default:
			return e, fmt.Errorf("neither a scalar nor a list of scalars, but %v", v.Kind)
		}
	}
	return e, nil
}
