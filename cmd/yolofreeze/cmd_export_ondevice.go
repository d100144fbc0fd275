package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/dataset"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/artifact"
)

// onDeviceFormat is the folder that onnxruntime-training 1.19.2 loads.
const onDeviceFormat = "ort-training"

// exportOnDevice writes the folder dir.
func exportOnDevice(c *cli.Context, m *model.Model, dir string) error {
	t := term.Of(c)
	plan, err := planOf(c, m)
	if err != nil {
		return err
	}
	hyp, err := dataset.LoadHyp("low")
	if err != nil {
		return err
	}
	algorithm := c.String("optimizer")
	if algorithm != "AdamW" && algorithm != "SGD" {
		return term.Usagef("export: --optimizer %s: on-device training knows AdamW and SGD", algorithm)
	}
	size := flags.Size(c).Rounded(int(m.Net.MaxStride()), 2)
	o := export.BundleOptions{Version: readVersion().Version, Batch: c.Int("batch-size"), ImageSize: size.Width, Height: size.Other(), Hyp: hyp, Optimizer: algorithm}
	folder, err := export.OnDevice(m, plan, o)
	if err != nil {
		return fmt.Errorf("export %s: %w", m.Path, err)
	}
	if err := artifact.WriteOnDevice(dir, folder, c.Bool("exist-ok")); err != nil {
		return err
	}
	result := struct {
		Files []exportedFile `json:"files"`
	}{[]exportedFile{{Path: dir, Format: onDeviceFormat}}}
	return t.Result(result, func(w io.Writer) error {
		_, err := term.Fprintf(w, "%s: %d tensors train, %d are frozen; batches of %d pictures of %d×%d, BatchNorm by running statistics\n",
			dir, len(folder.State.Trainable), len(folder.State.Frozen), o.Batch, size.Width, size.Height)
		return err
	})
}
