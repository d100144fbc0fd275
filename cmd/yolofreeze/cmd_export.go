package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/freeze/finetune"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/wire"
)

// exportedFile is one file that export wrote; its JSON keys are stable.
type exportedFile struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Bytes  int64  `json:"bytes"`
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
}

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a model as .onnx, as YOLOv5's own exporter does, or as .safetensors",
		ArgsUsage: "WEIGHTS",
		Description: "WEIGHTS is a checkpoint (.pt), a .safetensors file or an artifacts folder. Without --output the\n" +
			"file lies beside it, with the ending .onnx.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE`s to write, .onnx or .safetensors"},
			imgszFlag(), batchSizeFlag(1),
			&cli.BoolFlag{Name: "dynamic", Usage: "leave batch, height and width to the run"},
			&cli.BoolFlag{Name: "half", Usage: "float16 throughout"},
			&cli.Int64Flag{Name: "opset", Value: 17, Usage: "`VERSION` of the ONNX operators, 11 to 20"},
		},
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			return export(c)
		},
	}
}

func export(c *cli.Context) error {
	t, weights := termOf(c), c.Args().First()
	outputs := c.StringSlice("output")
	if len(outputs) == 0 {
		outputs = []string{strings.TrimSuffix(weights, filepath.Ext(weights)) + ".onnx"}
		if artifact.Is(weights) {
			outputs[0] = filepath.Clean(weights) + ".onnx"
		}
	}
	for _, path := range outputs {
		if ext := filepath.Ext(path); ext != ".onnx" && ext != ".safetensors" {
			return usageErrorf("export: --output %s: want a name that ends in .onnx or .safetensors", path)
		}
	}
	opset, batch := c.Int64("opset"), c.Int("batch-size")
	if opset < finetune.OldestOpset || opset > finetune.NewestOpset {
		return usageErrorf("export: --opset %d: want %d to %d", opset, finetune.OldestOpset, finetune.NewestOpset)
	}
	if batch < 1 || c.Int("imgsz") < 1 {
		return usageErrorf("export: --batch-size %d, --imgsz %d: want at least 1", batch, c.Int("imgsz"))
	}
	if c.Bool("half") && c.Bool("dynamic") && opset < 14 {
		return usageErrorf("export: --half with --dynamic needs --opset 14 or newer: before that CumSum has no float16")
	}
	m, err := finetune.LoadModel(weights)
	if err != nil {
		return asInput(err)
	}
	source, err := finetune.SourceOf(weights)
	if err != nil {
		return err
	}
	side := m.ImageSize(c.Int("imgsz"))
	if side != c.Int("imgsz") && !c.Bool("dynamic") {
		t.warnf("--imgsz %d is no multiple of the stride %d: exporting for %d", c.Int("imgsz"), m.Net.MaxStride(), side)
	}
	o := finetune.ExportOptions{Version: readVersion().Version, Batch: batch, Height: side, Width: side,
		Dynamic: c.Bool("dynamic"), Half: c.Bool("half"), Opset: opset}
	result := struct {
		Files []exportedFile `json:"files"`
	}{}
	for _, path := range outputs {
		f, err := exportFile(path, m, source, o)
		if err != nil {
			return err
		}
		result.Files = append(result.Files, f)
	}
	return t.result(result, func(w io.Writer) error {
		for _, f := range result.Files {
			fmt.Fprintf(w, "%s: %.1f MB", f.Path, float64(f.Bytes)/1e6)
			if f.Input != "" {
				fmt.Fprintf(w, ", %s to %s", f.Input, f.Output)
			}
			fmt.Fprintln(w)
		}
		return nil
	})
}

// exportFile writes one file in the format that its ending names.
func exportFile(path string, m *finetune.Model, source artifact.Source, o finetune.ExportOptions) (f exportedFile, err error) {
	f = exportedFile{Path: path, Format: strings.TrimPrefix(filepath.Ext(path), ".")}
	if f.Format == finetune.KindONNX {
		graph, err := finetune.Export(m, source, o)
		if err != nil {
			return f, fmt.Errorf("export %s: %w", m.Path, err)
		}
		if err := wire.Write(path, graph); err != nil {
			return f, err
		}
		f.Input, f.Output = graph.Inputs[0].String(), graph.Outputs[0].String()
	} else {
		out, err := finetune.ExportWeights(m, source, o)
		if err != nil {
			return f, fmt.Errorf("export %s: %w", m.Path, err)
		}
		if err := finetune.SaveModel(path, out); err != nil {
			return f, err
		}
	}
	stat, err := os.Stat(path)
	if err != nil {
		return f, fmt.Errorf("export: %w", err)
	}
	f.Bytes = stat.Size()
	return f, nil
}
