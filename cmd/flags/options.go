package flags

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset"
	"yolofreeze/freeze/options"
)

// Train are the flags of the options of a run that hold for some runs of a comparison.
func Train(scopes ...options.Scope) (flags []cli.Flag) {
	for i := range options.Table {
		if o := &options.Table[i]; o.Usage != "" && slices.Contains(scopes, o.Scope) {
			flags = append(flags, Of(o))
		}
	}
	return flags
}

// Of makes the flag of an option.
func Of(o *options.Option) cli.Flag {
	standard := options.Defaults()
	switch v := o.Of(&standard).(type) {
	case *string:
		return textFlag(o, *v)
	case *dataset.Policy:
		return textFlag(o, string(*v))
	case *[]string:
		return &cli.StringSliceFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage}
	case *int:
		if o.Alone != nil {
			return newOptionalNumber(o)
		}
		return &cli.IntFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: *v, DefaultText: o.Default}
	case *uint64:
		return &cli.Uint64Flag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: *v, DefaultText: o.Default}
	case *float64:
		return &cli.Float64Flag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: *v, DefaultText: o.Default}
	case *bool:
		return &cli.BoolFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: *v}
	case options.Sides:
		return newSizeFlag(o, v.Size())
	case *dataset.Hyp:
		return &hypFlag{&cli.GenericFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: &hypValue{text: o.Default}}}
	default:
		panic(fmt.Sprintf("option %s is a %T", o.Name, v))
	}
}

func textFlag(o *options.Option, value string) cli.Flag {
	f := &cli.StringFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: value, DefaultText: o.Default}
	if o.Alone != nil {
		return &OptionalText{f, *o.Alone}
	}
	return f
}

// SetOptions takes over the flags that were given; the others keep what o has,
// defaults or the resumed run's.
func SetOptions(c *cli.Context, o *options.Options) (err error) {
	for _, option := range options.Table {
		name := option.Name
		if !c.IsSet(name) {
			continue
		}
		o.Withheld = slices.DeleteFunc(o.Withheld, func(text string) bool { return strings.HasPrefix(text, name+" ") })
		switch v := option.Of(o).(type) {
		case *string:
			*v = c.String(name)
		case *dataset.Policy:
			*v = dataset.Policy(c.String(name))
		case *[]string:
			*v = c.StringSlice(name)
		case *int:
			*v = c.Int(name)
			if option.Alone != nil {
				*v = c.Generic(name).(*optionalNumber).value
			}
		case *uint64:
			*v = c.Uint64(name)
		case *float64:
			*v = c.Float64(name)
		case *bool:
			*v = c.Bool(name)
		case options.Sides:
			v.Set(Size(c))
		case *dataset.Hyp:
			if *v, err = Hyp(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// ForKey names the flag that a key of a file sets; asked is false for what a
// run's opt.yaml states and nobody is asked for.
func ForKey(key string) (name string, asked bool) {
	for _, o := range options.Table {
		if o.FileKey() == key {
			return o.Name, o.Usage != ""
		}
	}
	return strings.ReplaceAll(key, "_", "-"), true
}

// optionNamed finds an option of a run.
func optionNamed(name string) *options.Option {
	i := slices.IndexFunc(options.Table, func(o options.Option) bool { return o.Name == name })
	return &options.Table[i]
}
