package matrix

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/yaml"
)

// Cell is one run of a matrix: the name of its folder and train's flags.
type Cell struct {
	Name  string   `json:"name"`
	Flags []string `json:"flags"`
}

// variant is a named set of train's flags.
type variant struct {
	name  string
	flags []string
}

// Read makes the matrix of the flags and the file of --matrix: variants ×
// weights × hyperparameters × seeds.
func Read(c *cli.Context) ([]Cell, error) {
	variants, err := readMatrix(c)
	if err != nil {
		return nil, err
	}
	if err := flags.Need(c, "weights", "data"); err != nil {
		return nil, err
	}
	freezes := flags.List(c, "freeze")
	switch {
	case len(variants) > 0 && len(freezes) > 0:
		return nil, term.Usagef("compare: --freeze is given beside the variants of %s: name what they freeze there", c.String("matrix"))
	case len(variants) == 0:
		if len(freezes) == 0 {
			freezes = []string{"0", "backbone"}
		}
		for _, f := range freezes {
			variants = append(variants, freezeVariant(f))
		}
	}
	axes := [][]variant{variants, fileAxis(c, "weights"), fileAxis(c, "hyp"), seedAxis(c)}
	common := commonFlags(c)
	var cells []Cell
	for _, pick := range product(axes) {
		cell := Cell{Flags: slices.Clone(common)}
		var names []string
		for _, v := range pick {
			cell.Flags = append(cell.Flags, v.flags...)
			if v.name != "" {
				names = append(names, v.name)
			}
		}
		cell.Name = strings.Join(names, "-")
		if i := slices.IndexFunc(cells, func(o Cell) bool { return o.Name == cell.Name }); i >= 0 {
			return nil, term.Usagef("compare: two runs would be called %s", cell.Name)
		}
		cells = append(cells, cell)
	}
	return cells, nil
}

// product lists every way to pick one of each axis, the last axis fastest.
func product(axes [][]variant) [][]variant {
	picks := [][]variant{nil}
	for _, axis := range axes {
		var longer [][]variant
		for _, pick := range picks {
			for _, v := range axis {
				longer = append(longer, append(slices.Clone(pick), v))
			}
		}
		picks = longer
	}
	return picks
}

// fileAxis has a variant a file; a single one needs no name.
func fileAxis(c *cli.Context, name string) []variant {
	values := flags.List(c, name)
	if len(values) == 0 {
		return []variant{{}}
	}
	axis := make([]variant, len(values))
	for i, v := range values {
		axis[i].flags = []string{"--" + name + "=" + v}
		if len(values) > 1 {
			axis[i].name = cellName(strings.TrimSuffix(filepath.Base(v), filepath.Ext(v)))
		}
	}
	return axis
}

func seedAxis(c *cli.Context) []variant {
	seeds := c.Uint64Slice("seeds")
	if len(seeds) == 0 {
		seeds = []uint64{0}
	}
	axis := make([]variant, len(seeds))
	for i, seed := range seeds {
		axis[i] = variant{fmt.Sprintf("seed%d", seed), []string{fmt.Sprintf("--seed=%d", seed)}}
	}
	return axis
}

// freezeVariant reads selectors as train has them, and behind them +cache or
// +cache=K for train's --cache-features.
func freezeVariant(text string) variant {
	selectors, cache, cached := strings.Cut(text, "+cache")
	v := variant{freezeName(selectors), []string{"--freeze=" + selectors}}
	if cached {
		v.name += "+cache" + cache
		v.flags = append(v.flags, "--cache-features"+cache)
	}
	return v
}

func freezeName(selectors string) string {
	if selectors == "0" || selectors == "nothing" || selectors == "" {
		return "unfrozen"
	}
	return "frozen-" + cellName(strings.TrimSuffix(filepath.Base(selectors), ".yaml"))
}

var unfitForFolders = regexp.MustCompile(`[^A-Za-z0-9._+,=-]+`)

// cellName keeps what every file system takes.
func cellName(text string) string {
	return strings.Trim(unfitForFolders.ReplaceAllString(text, "-"), "-.")
}

// commonFlags repeats the flags of train that are set.
func commonFlags(c *cli.Context) []string {
	var given []string
	for _, f := range flags.Train(options.AllRuns) {
		name := f.Names()[0]
		if !c.IsSet(name) {
			continue
		}
		values := []string{fmt.Sprint(c.Value(name))}
		if _, ok := f.(*cli.StringSliceFlag); ok {
			values = c.StringSlice(name)
		}
		for _, v := range values {
			given = append(given, "--"+name+"="+v)
		}
	}
	return given
}

// readMatrix sets from the file of --matrix each flag that is not set yet, and
// returns the variants under its key runs.
func readMatrix(c *cli.Context) ([]variant, error) {
	file := c.String("matrix")
	if file == "" {
		return nil, nil
	}
	wrap := func(err error) error { return term.BadInput(fmt.Errorf("reading matrix %s: %w", file, err)) }
	data, err := disk.Read(file, yaml.MaxBytes)
	if err != nil {
		return nil, wrap(disk.Cause(err))
	}
	root, err := yaml.Parse(data)
	if err != nil {
		return nil, wrap(err)
	}
	if root.Kind != yaml.Map {
		return nil, wrap(errors.New("not a mapping of flags to values"))
	}
	var variants []variant
	for _, pair := range root.Pairs {
		if pair.Key == "runs" {
			variants, err = readVariants(c, file, pair.Value)
		} else {
			err = setFromMatrix(c, file, pair)
		}
		if err != nil {
			return nil, err
		}
	}
	return variants, nil
}

// setFromMatrix sets one flag for all runs.
func setFromMatrix(c *cli.Context, file string, pair yaml.Pair) error {
	e, err := matrixEntry(file, pair)
	if err != nil {
		return err
	}
	key, _ := flags.ForKey(e.Key)
	f := flags.Find(c.Command.Flags, key)
	if f == nil {
		return flags.UnknownKey(c, file, e)
	}
	if c.IsSet(f.Names()[0]) {
		return nil
	}
	if err := flags.Set(c, file, f, e); err != nil {
		return term.BadInput(fmt.Errorf("%s:%d: key %s: %w", file, e.Line, e.Key, err))
	}
	return nil
}

func matrixEntry(file string, pair yaml.Pair) (flags.Entry, error) {
	e, err := flags.EntryOf(pair)
	switch name, _ := flags.ForKey(e.Key); name {
	case "device":
		for _, device := range e.Values {
			err = errors.Join(err, options.CheckStored(device, nil))
		}
	case "provider-option":
		err = errors.Join(err, options.CheckStored("", e.Values))
	}
	if err != nil {
		err = term.BadInput(fmt.Errorf("%s:%d: key %s: %w", file, e.Line, e.Key, err))
	}
	return e, err
}

// readVariants reads what stands under runs: a name, then flags of train.
func readVariants(c *cli.Context, file string, runs *yaml.Node) ([]variant, error) {
	if runs.Kind != yaml.Map {
		return nil, term.BadInputf("%s:%d: key runs: not a mapping of names to flags", file, runs.Line)
	}
	allowed := flags.Train(options.AllRuns, options.Variant)
	var variants []variant
	for _, named := range runs.Pairs {
		v := variant{name: cellName(named.Key), flags: []string{}}
		if v.name == "" {
			return nil, term.BadInputf("%s:%d: key runs: %q is no name for a folder", file, named.Line, named.Key)
		}
		if kind := named.Value.Kind; kind != yaml.Map && kind != yaml.Null {
			return nil, term.BadInputf("%s:%d: runs.%s: not a mapping of flags to values", file, named.Value.Line, v.name)
		}
		for _, pair := range named.Value.Pairs {
			e, err := matrixEntry(file, pair)
			if err != nil {
				return nil, err
			}
			key, _ := flags.ForKey(e.Key)
			f := flags.Find(allowed, key)
			if f == nil {
				return nil, flags.UnknownKey(c, file, e)
			}
			if e.Mapping != nil {
				return nil, term.BadInputf("%s:%d: key %s: a map where --%s takes a value", file, e.Line, e.Key, f.Names()[0])
			}
			for _, value := range e.Values {
				v.flags = append(v.flags, "--"+f.Names()[0]+"="+value)
			}
		}
		if !slices.ContainsFunc(v.flags, func(f string) bool { return strings.HasPrefix(f, "--freeze=") }) {
			v.flags = append(v.flags, "--freeze=0")
		}
		variants = append(variants, v)
	}
	return variants, nil
}
