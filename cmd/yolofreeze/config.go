package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// applyConfig sets from the file of --config each flag of the command that
// neither the command line nor the environment set. Keys are names of flags,
// with - or _ between words; values are scalars, or lists for flags that take one.
// So opt.yaml of a run repeats it; what such a file only records is passed over.
func applyConfig(c *cli.Context) error {
	file := c.String(configFlag)
	if file == "" {
		return nil
	}
	entries, err := readConfig(file)
	if err != nil {
		return badInput(fmt.Errorf("reading configuration %s: %w", file, err))
	}
	seen := map[cli.Flag]int{}
	for _, e := range entries {
		key, asked := flagForKey(e.key)
		if c.Command.Name == "train" && !asked {
			continue
		}
		f := findFlag(c.Command.Flags, key)
		if f == nil {
			return unknownKey(c, file, e)
		}
		name := f.Names()[0]
		if name == configFlag {
			return badInput(fmt.Errorf("%s:%d: key %s: a configuration cannot name another", file, e.line, e.key))
		}
		if first, twice := seen[f]; twice {
			return badInput(fmt.Errorf("%s:%d: key %s: flag --%s is already set on line %d", file, e.line, e.key, name, first))
		}
		seen[f] = e.line
		if c.IsSet(name) {
			continue
		}
		if err := setFlag(c, file, f, e); err != nil {
			return badInput(fmt.Errorf("%s:%d: key %s: %w", file, e.line, e.key, err))
		}
	}
	return nil
}

func unknownKey(c *cli.Context, file string, e configEntry) error {
	var names []string
	for _, f := range c.Command.Flags {
		if f.Names()[0] != configFlag {
			names = append(names, f.Names()...)
		}
	}
	err := badInputf("%s:%d: unknown key %q: %s has no such flag", file, e.line, e.key, commandPath(c))
	return err.didYouMean(nearest(e.key, names), "see yolofreeze "+commandPath(c)+" --help")
}

// setFlag gives a flag its values under all its names.
func setFlag(c *cli.Context, file string, f cli.Flag, e configEntry) error {
	slice, ok := f.(cli.DocGenerationSliceFlag)
	list := ok && slice.IsSliceFlag()
	names := f.Names()
	if h, ok := f.(*hypFlag); ok && e.mapping != nil {
		return h.setMapping(c, file, e.mapping)
	}
	switch {
	case e.mapping != nil:
		return fmt.Errorf("a map where --%s takes a value", names[0])
	case list:
		names = names[:1] // all names share one list
	case e.list || len(e.values) != 1:
		return fmt.Errorf("a list where --%s takes one value", names[0])
	}
	for _, name := range names {
		for _, v := range e.values {
			if err := c.Set(name, v); err != nil {
				return fmt.Errorf("value %q does not fit --%s", v, name)
			}
		}
	}
	return nil
}

// configEntry is one key of a configuration file.
type configEntry struct {
	key     string
	values  []string
	list    bool
	mapping *yaml.Node // nil: it is none
	line    int
}

// readConfig reads a YAML file that is a mapping of flags to what entryOf reads.
func readConfig(name string) ([]configEntry, error) {
	data, err := disk.Read(name, yaml.MaxBytes)
	if err != nil {
		return nil, disk.Cause(err)
	}
	return parseConfig(data)
}

func parseConfig(data []byte) ([]configEntry, error) {
	root, err := yaml.Parse(data)
	if err != nil {
		return nil, err
	}
	if root.Kind != yaml.Map && root.Kind != yaml.Null {
		return nil, fmt.Errorf("line %d: not one mapping of flags to values", root.Line)
	}
	var entries []configEntry
	for _, pair := range root.Pairs {
		e, err := entryOf(pair)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %s: %w", e.line, e.key, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// entryOf reads one key: a scalar as it is written, 1e-3 as 1e-3, a list of them, or a
// map, which few flags take.
func entryOf(pair yaml.Pair) (configEntry, error) {
	e := configEntry{key: pair.Key, line: pair.Line, list: pair.Value.Kind == yaml.List}
	values := []*yaml.Node{pair.Value}
	switch pair.Value.Kind {
	case yaml.List:
		values = pair.Value.Items
	case yaml.Map:
		e.mapping = pair.Value
		return e, nil
	}
	for _, v := range values {
		switch v.Kind {
		case yaml.Null:
			return e, errors.New("no value")
		case yaml.Scalar:
			e.values = append(e.values, v.Text)
		default:
			return e, fmt.Errorf("neither a scalar nor a list of scalars, but %v", v.Kind)
		}
	}
	return e, nil
}
