package flags

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/dataset"
	"yolofreeze/freeze/options"
	"yolofreeze/onnx/yaml"
)

// optional is a flag that may stand without its value, as YOLOv5's --cache and
// --resume do. The next word is its value unless that is a flag itself.
type optional interface {
	alone() string // its value then
}

// OptionalText is a flag of text that may stand alone.
type OptionalText struct {
	*cli.StringFlag
	Alone string // its value then
}

func (f *OptionalText) alone() string { return f.Alone }

// numberFlag is a flag of a number that may stand alone.
type numberFlag struct {
	*cli.GenericFlag
	value string
}

func (f *numberFlag) alone() string { return f.value }

func newOptionalNumber(o *options.Option) cli.Flag {
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

// Hyp returns the hyperparameters that --hyp names.
func Hyp(c *cli.Context) (dataset.Hyp, error) {
	v := c.Generic("hyp").(*hypValue)
	if v.given != nil {
		return *v.given, nil
	}
	return dataset.LoadHyp(v.text)
}

// listFlag takes each value whole: --freeze 0,1,2 --freeze backbone are two.
type listFlag struct{ *cli.GenericFlag }

// NewList makes such a flag.
func NewList(name, usage string) *listFlag {
	return &listFlag{&cli.GenericFlag{Name: name, Usage: usage, Value: &list{}}}
}

// IsSliceFlag lets files of flags hold lists for it.
func (f *listFlag) IsSliceFlag() bool { return true }

// Apply lets the command line replace what the environment says.
func (f *listFlag) Apply(set *flag.FlagSet) error {
	err := f.GenericFlag.Apply(set)
	f.Value.(*list).fresh = true
	return err
}

// list is the value of a listFlag.
type list struct {
	values []string
	fresh  bool // the next value begins anew
}

func (l *list) Set(value string) error {
	if l.fresh {
		l.values, l.fresh = nil, false
	}
	l.values = append(l.values, value)
	return nil
}

func (l *list) String() string { return strings.Join(l.values, " ") }

// Get lets package cli hand the values on.
func (l *list) Get() any { return l.String() }

// List are the values of a list flag.
func List(c *cli.Context, name string) []string { return c.Generic(name).(*list).values }

// sizeFlag is --imgsz: a side, or height and width.
type sizeFlag struct{ *cli.GenericFlag }

func newSizeFlag(o *options.Option, standard dataset.Size) *sizeFlag {
	return &sizeFlag{&cli.GenericFlag{Name: o.Name, Aliases: o.Aliases, Category: o.Group, Usage: o.Usage, Value: &sizeValue{standard}}}
}

type sizeValue struct{ dataset.Size }

func (v *sizeValue) Set(text string) error {
	size, err := dataset.ParseSize(text)
	if err == nil {
		v.Size = size
	}
	return err
}

// Get lets compare hand the value on.
func (v *sizeValue) Get() any { return strings.ReplaceAll(v.String(), " ", ",") }

// Size is the size of pictures that --imgsz asks for.
func Size(c *cli.Context) dataset.Size { return c.Generic("imgsz").(*sizeValue).Size }
