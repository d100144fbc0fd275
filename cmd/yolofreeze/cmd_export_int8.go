package main

import (
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/ort"
)

// checkInt8 refuses what does not go with --int8, before anything is read.
func checkInt8(c *cli.Context, outputs []string) error {
	if !c.Bool("int8") {
		for _, name := range []string{"data", "calibration", "calibration-split"} {
			if c.IsSet(name) {
				return term.Usagef("export: --%s needs --int8", name)
			}
		}
		return nil
	}
	split, n := c.String("calibration-split"), c.Int("calibration")
	switch {
	case c.String("data") == "":
		return term.Usagef("export: --int8 needs --data: pictures to calibrate on")
	case c.Bool("half"):
		return term.Usagef("export: --int8 and --half: want one of them")
	case c.Int64("opset") < export.OldestInt8Opset:
		return term.Usagef("export: --int8 needs --opset %d or newer, not %d: before that DequantizeLinear has one scale only", export.OldestInt8Opset, c.Int64("opset"))
	case n < 1:
		return term.Usagef("export: --calibration %d: want at least 1", n)
	case !slices.Contains(dataset.SplitNames, split):
		return term.Usagef("export: --calibration-split %q: want train, val or test", split)
	}
	for _, path := range outputs {
		if formatOf(path) != model.KindONNX {
			return term.Usagef("export: --int8 is for .onnx files, not %s", path)
		}
	}
	return nil
}

// calibrate finds the ranges of a model's activations on pictures of --data. Labels do not matter.
func calibrate(c *cli.Context, m *model.Model, size dataset.Size) (export.Ranges, error) {
	split := c.String("calibration-split")
	set, err := format.Open(c.String("data"), dataset.ReadOptions{Splits: []string{split}, CacheDir: dataset.DefaultCacheDir(),
		BadLabels: dataset.Drop, BadImages: dataset.Skip})
	if err != nil {
		return nil, term.BadInput(err)
	}
	samples := set.Splits[split]
	if len(samples) == 0 {
		return nil, term.BadInputf("%s: split %s has no pictures to calibrate on", set.Path, split)
	}
	start := time.Now()
	ranges, err := export.Calibrate(c.Context, m, size, samples, c.Int("calibration"), ort.Options{})
	if err != nil {
		return nil, err
	}
	term.Of(c).Logf("calibrated on %d pictures of %s, %s, in %.1f s", min(c.Int("calibration"), len(samples)), set.Path, split, time.Since(start).Seconds())
	return ranges, nil
}
