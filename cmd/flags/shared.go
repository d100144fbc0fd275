package flags

import (
	"path/filepath"
	"reflect"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx"
	"yolofreeze/onnx/ort"
)

// Flags that every command has.
const (
	Config = "config"
	JSON   = "json"
	Quiet  = "quiet"
)

// Flags that several commands share carry YOLOv5's names, all of them.

// Group puts flags under a heading of help.
func Group(name string, list ...cli.Flag) []cli.Flag {
	for _, f := range list {
		reflect.ValueOf(f).Elem().FieldByName("Category").SetString(name)
	}
	return list
}

// Headings that train's options have, too.
const (
	ModelAndData = "Model and data"
	Device       = "Device"
	Saving       = "Saving"
)

// Forward are the flags of where graphs run, for commands that only run a model forward;
// Runtime reads them.
func Forward() []cli.Flag {
	return Group(Device, append(Shared("device", "provider-option"),
		&cli.StringFlag{Name: "amp", Usage: "mixed precision: `TYPE` of products, fp16 or bf16"},
		&cli.BoolFlag{Name: "half", Usage: "the same as --amp fp16"})...)
}

// Runtime reads where graphs run and in which type products are computed, and refuses a
// device that cannot, before anything is read or written.
func Runtime(c *cli.Context) (runtime ort.Options, products onnx.DType, err error) {
	if products, err = productsOf(c); err != nil {
		return runtime, products, err
	}
	if runtime.ProviderOptions, err = options.ParseProviderOptions(c.StringSlice("provider-option")); err != nil {
		return runtime, products, term.Usagef("%s: %v", Path(c), err)
	}
	if runtime.Device, err = ort.Resolve(c.String("device")); err != nil {
		return runtime, products, err
	}
	return runtime, products, step.CheckDevice(runtime.Device, products, runtime.ProviderOptions)
}

// productsOf reads the type of products from --amp, or --half as YOLOv5 has it.
func productsOf(c *cli.Context) (onnx.DType, error) {
	products, err := step.ParseAMP(c.String("amp"))
	switch {
	case err != nil:
		return products, term.Usagef("%s: %v", Path(c), err)
	case c.Bool("half") && products == onnx.BFloat16:
		return products, term.Usagef("%s: --half is --amp fp16: want one of them", Path(c))
	case c.Bool("half"):
		return onnx.Float16, nil
	}
	return products, nil
}

// Suppression are the flags of which detections are kept, with a command's defaults.
func Suppression(conf, iou float64, most int) []cli.Flag {
	return []cli.Flag{
		&cli.Float64Flag{Name: "conf-thres", Value: conf, Usage: "least `CONFIDENCE` of a detection"},
		&cli.Float64Flag{Name: "iou-thres", Value: iou, Usage: "`IOU` above which a detection suppresses another"},
		&cli.IntFlag{Name: "max-det", Value: most, Usage: "most detections `N` a picture"},
		&cli.BoolFlag{Name: "agnostic-nms", Usage: "detections of different classes suppress each other too"},
		&cli.StringSliceFlag{Name: "replaces", Usage: "`NEW=OLD` classes, such as taxi=car: a detection of the old one gives way to one of the new that it overlaps"},
	}
}

// RunFolder are the flags of a run's folder, for the runs of a command.
func RunFolder(command string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "project", Value: filepath.Join("runs", command), Usage: "`FOLDER` of runs"},
		&cli.StringFlag{Name: "name", Value: "exp", Usage: "`NAME` of this run's folder"},
		&cli.BoolFlag{Name: "exist-ok", Usage: "write into a folder that is there"},
	}
}

// Named is the flag of an option of train.
func Named(name string) cli.Flag { return Of(optionNamed(name)) }

// Shared are flags of train that another command has, too.
func Shared(names ...string) (flags []cli.Flag) {
	for _, name := range names {
		flags = append(flags, Named(name))
	}
	return flags
}

// Data are those of commands that read a data set.
func Data() []cli.Flag { return Shared("data", "classes", "bad-labels", "bad-images") }

// BatchSize is for commands that do not look for what fits into memory.
func BatchSize(size int) cli.Flag {
	return &cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: size, Usage: "pictures a `BATCH`"}
}

// AddNames lists the names of all flags of commands.
func AddNames(names map[string]bool, list []*cli.Command) {
	for _, c := range list {
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				names[name] = true
			}
		}
		AddNames(names, c.Subcommands)
	}
}
