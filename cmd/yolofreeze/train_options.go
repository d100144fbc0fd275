package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset"
	"yolofreeze/freeze/finetune"
	"yolofreeze/onnx/yaml"
)

// trainFlags are the flags of the options of a run that hold for some runs of a comparison.
func trainFlags(scopes ...finetune.Scope) (flags []cli.Flag) {
	for i := range finetune.Table {
		if o := &finetune.Table[i]; o.Usage != "" && slices.Contains(scopes, o.Scope) {
			flags = append(flags, flagOf(o))
		}
	}
	return flags
}

// flagOf makes the flag of an option.
func flagOf(o *finetune.Option) cli.Flag {
	standard := finetune.Defaults()
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
	case *dataset.Hyp:
		return &hypFlag{&cli.GenericFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: &hypValue{text: o.Default}}}
	default:
		panic(fmt.Sprintf("option %s is a %T", o.Name, v))
	}
}

func textFlag(o *finetune.Option, value string) cli.Flag {
	f := &cli.StringFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: value, DefaultText: o.Default}
	if o.Alone != nil {
		return &optionalText{f, *o.Alone}
	}
	return f
}

// setOptions takes over the flags that were given; the others keep what o has,
// defaults or the resumed run's.
func setOptions(c *cli.Context, o *finetune.Options) (err error) {
	for _, option := range finetune.Table {
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
		case *dataset.Hyp:
			if *v, err = hypOf(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// flagForKey names the flag that a key of a file sets; asked is false for what a
// run's opt.yaml states and nobody is asked for.
func flagForKey(key string) (name string, asked bool) {
	for _, o := range finetune.Table {
		if o.FileKey() == key {
			return o.Name, o.Usage != ""
		}
	}
	return strings.ReplaceAll(key, "_", "-"), true
}

// optionNamed finds an option of a run.
func optionNamed(name string) *finetune.Option {
	i := slices.IndexFunc(finetune.Table, func(o finetune.Option) bool { return o.Name == name })
	return &finetune.Table[i]
}

// optional is a flag that may stand without its value, as YOLOv5's --cache and
// --resume do. The next word is its value unless that is a flag itself.
type optional interface {
	alone() string // its value then
}

// optionalText is a flag of text that may stand alone.
type optionalText struct {
	*cli.StringFlag
	value string
}

func (f *optionalText) alone() string { return f.value }

// numberFlag is a flag of a number that may stand alone.
type numberFlag struct {
	*cli.GenericFlag
	value string
}

func (f *numberFlag) alone() string { return f.value }

func newOptionalNumber(o *finetune.Option) cli.Flag {
	return &numberFlag{&cli.GenericFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: &optionalNumber{alone: *o.Alone}}, *o.Alone}
}

// optionalNumber is the value of a numberFlag; files may say true and false for
// what it is alone, and 0.
type optionalNumber struct {
	value int
	alone string
}

func (n *optionalNumber) Set(text string) error {
	switch text {
	case "true":
		text = n.alone
	case "false":
		text = "0"
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no number from 0 on", text)
	}
	n.value = v
	return nil
}

func (n *optionalNumber) String() string { return strconv.Itoa(n.value) }

// Get lets compare hand the value on.
func (n *optionalNumber) Get() any { return n.value }

// hypFlag is --hyp: a file or a name, or in a file of flags the mapping itself,
// as opt.yaml has it.
type hypFlag struct{ *cli.GenericFlag }

type hypValue struct {
	text  string
	given *dataset.Hyp // by a mapping
}

func (v *hypValue) Set(text string) error {
	*v = hypValue{text: text}
	return nil
}

func (v *hypValue) String() string { return v.text }

// Get lets compare hand the value on.
func (v *hypValue) Get() any { return v.text }

// setMapping takes what stands in a file of flags.
func (f *hypFlag) setMapping(c *cli.Context, file string, mapping *yaml.Node) error {
	h, err := dataset.HypOf(file, mapping)
	if bad := (*dataset.BadHypError)(nil); errors.As(err, &bad) {
		return errors.New(bad.Reason) // what names the key names the file
	}
	if err == nil {
		err = c.Set(f.Name, file)
	}
	f.Value.(*hypValue).given = &h
	return err
}

// hypOf returns the hyperparameters that --hyp names.
func hypOf(c *cli.Context) (dataset.Hyp, error) {
	v := c.Generic("hyp").(*hypValue)
	if v.given != nil {
		return *v.given, nil
	}
	return dataset.LoadHyp(v.text)
}
