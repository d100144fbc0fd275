package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/export"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/disk"
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
		Usage:     "write a model as .onnx, as YOLOv5's own exporter does, as .safetensors, or back to PyTorch as .pt",
		ArgsUsage: "WEIGHTS",
		Description: "WEIGHTS is a checkpoint (.pt), an exported .onnx, a .safetensors file or an artifacts folder. Without\n" +
			"--output the files lie beside it, with the endings of --format. A .pt is a checkpoint as YOLOv5 writes\n" +
			"them: its detect.py, val.py and train.py --weights open it. Beside it, or by that ending, stands\n" +
			".state_dict.pt, which torch.load opens with weights_only=True and Model(cfg) by load_state_dict.",
		Flags: slices.Concat(
			flags.Group("Model and files",
				&cli.StringFlag{Name: "weights", Usage: "`MODEL` in place of the argument, as YOLOv5's exporter has it"}, offlineFlag(),
				&cli.IntFlag{Name: "branch", Value: -1, Usage: "of a model that train --keep-classes made, branch `N` alone, the oldest being 0"},
				&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE`s to write, .onnx, .safetensors, .pt or .state_dict.pt"},
				&cli.StringSliceFlag{Name: "format", Aliases: []string{"include"}, Value: cli.NewStringSlice("onnx"), Usage: "without --output, `FORMATS` to write: " + strings.Join(exportFormats, ", ") + "; " + onDeviceFormat + ": a folder for ONNX Runtime's training API"},
				&cli.BoolFlag{Name: "exist-ok", Usage: "with --format " + onDeviceFormat + ", write over such a folder"}),
			flags.Group("Graph",
				flags.Named("imgsz"), flags.BatchSize(1),
				&cli.BoolFlag{Name: "dynamic", Usage: "leave batch, height and width to the run"},
				&cli.BoolFlag{Name: "half", Usage: "float16 throughout"},
				&cli.BoolFlag{Name: "uint8", Usage: "take pictures as they are decoded, uint8 [N,H,W,3], and scale them inside"},
				&cli.Int64Flag{Name: "opset", Value: 17, Usage: "`VERSION` of the ONNX operators, 11 to 20"}),
			flags.Group("Integers",
				&cli.BoolFlag{Name: "int8", Usage: "convolutions on 8-bit integers (QDQ), calibrated on pictures of --data"},
				&cli.StringFlag{Name: "data", Usage: "with --int8, data set: a data.yaml, a VOC devkit, or COCO `FILES`"},
				&cli.IntFlag{Name: "calibration", Value: 64, Usage: "with --int8, `PICTURES` to calibrate on, spread over the split"},
				&cli.StringFlag{Name: "calibration-split", Value: "train", Usage: "with --int8, `SPLIT` that they come from: train, val or test"}),
			flags.Group("Detections",
				&cli.BoolFlag{Name: "nms", Usage: "choose the detections inside: boxes, scores, classes and count, padded"},
				&cli.Float64Flag{Name: "conf-thres", Value: 0.25, Usage: "with --nms, least `CONFIDENCE`"},
				&cli.Float64Flag{Name: "iou-thres", Value: 0.45, Usage: "with --nms, `IOU` above which the worse of two boxes is dropped"},
				&cli.IntFlag{Name: "max-det", Aliases: []string{"topk-all"}, Value: 100, Usage: "with --nms, `DETECTIONS` a picture"},
				&cli.BoolFlag{Name: "agnostic-nms", Usage: "with --nms, boxes of different classes suppress each other too"}),
			flags.Group("On-device training",
				&cli.StringSliceFlag{Name: "freeze", Usage: "with --format " + onDeviceFormat + ", what is frozen: `SELECTORS` as of train"},
				&cli.StringFlag{Name: "optimizer", Value: "AdamW", Usage: "with --format " + onDeviceFormat + ", `RULE`: AdamW, or SGD without momentum"}),
		),
		Action: func(c *cli.Context) error {
			weights, args := c.String("weights"), 0
			if weights == "" {
				weights, args = c.Args().First(), 1
			}
			if err := flags.NeedArgs(c, args, args); err != nil {
				return err
			}
			return exportAs(c, weights)
		},
	}
}

func exportAs(c *cli.Context, weights string) error {
	t := term.Of(c)
	outputs, err := exportOutputs(c, weights)
	if err != nil {
		return err
	}
	opset, batch := c.Int64("opset"), c.Int("batch-size")
	if opset < export.OldestOpset || opset > export.NewestOpset {
		return term.Usagef("export: --opset %d: want %d to %d", opset, export.OldestOpset, export.NewestOpset)
	}
	if batch < 1 {
		return term.Usagef("export: --batch-size %d: want at least 1", batch)
	}
	if c.Bool("half") && c.Bool("dynamic") && opset < 14 {
		return term.Usagef("export: --half with --dynamic needs --opset 14 or newer: before that CumSum has no float16")
	}
	if err := checkInt8(c, outputs); err != nil {
		return err
	}
	if !c.IsSet("output") && len(outputs) > 1 {
		kept := slices.DeleteFunc(slices.Clone(outputs), func(path string) bool { return disk.Same(path, weights) })
		if len(kept) < len(outputs) {
			t.Logf("%s is what is read, and is not written", weights)
		}
		outputs = kept
	}
	for _, path := range outputs {
		if err := disk.CheckOutput(path, flags.Inputs(c)); err != nil {
			return err
		}
	}
	if weights, err = weightsFile(c, weights); err != nil { // what is written lies where its name is, not in the cache
		return err
	}
	m, err := model.Load(weights)
	if err != nil {
		return term.BadInput(err)
	}
	if n := c.Int("branch"); c.IsSet("branch") {
		list, err := m.Branches()
		if err != nil {
			return err
		}
		if n < 0 || n >= len(list) {
			return term.Usagef("export: --branch %d: %s has branches 0 to %d", n, weights, len(list)-1)
		}
		m = list[n]
	}
	if slices.Contains(c.StringSlice("format"), onDeviceFormat) {
		return exportOnDevice(c, m, outputs[0])
	}
	source, err := model.SourceOf(weights)
	if err != nil {
		return err
	}
	size := flags.Size(c).Rounded(int(m.Net.MaxStride()), 2)
	if size != flags.Size(c) && !c.Bool("dynamic") {
		t.Warnf("--imgsz %v is no multiple of the stride %d: exporting for %v", flags.Size(c), m.Net.MaxStride(), size)
	}
	o := export.Options{Version: readVersion().Version, Batch: batch, Height: size.Height, Width: size.Width,
		Dynamic: c.Bool("dynamic"), Half: c.Bool("half"), Opset: opset, Uint8: c.Bool("uint8")}
	if c.Bool("nms") {
		o.NMS = &export.NMS{Conf: c.Float64("conf-thres"), IoU: c.Float64("iou-thres"), MaxDet: c.Int("max-det"), Agnostic: c.Bool("agnostic-nms")}
		if n := o.NMS; n.MaxDet < 1 || n.MaxDet > 10000 || n.IoU < 0 || n.IoU > 1 || n.Conf < 0 || n.Conf >= 1 {
			return term.Usagef("export: --conf-thres %g, --iou-thres %g, --max-det %d: want 0 to 1, 0 to 1, 1 to 10000", n.Conf, n.IoU, n.MaxDet)
		}
	}
	if c.Bool("int8") {
		if o.Int8, err = calibrate(c, m, size); err != nil {
			return err
		}
	}
	result := struct {
		Files []exportedFile `json:"files"`
	}{}
	for _, path := range outputs {
		f, err := exportFile(t, path, m, source, o)
		if err != nil {
			return err
		}
		result.Files = append(result.Files, f)
	}
	return t.Result(result, func(w io.Writer) error {
		for _, f := range result.Files {
			term.Fprintf(w, "%s: %.1f MB", f.Path, float64(f.Bytes)/1e6)
			if f.Input != "" {
				term.Fprintf(w, ", %s to %s", f.Input, f.Output)
			}
			term.Fprintf(w, "\n")
		}
		return nil
	})
}

// stateEnding is that of a state dict, which is no checkpoint.
const stateEnding = ".state_dict.pt"

// exportFormats are the endings of the files that export writes.
var exportFormats = []string{"onnx", "safetensors", "pt"}

// exportOutputs are the files to write: those asked for, or one of each format beside the weights.
func exportOutputs(c *cli.Context, weights string) ([]string, error) {
	outputs := c.StringSlice("output")
	if len(outputs) == 0 {
		base := strings.TrimSuffix(weights, filepath.Ext(weights))
		if isNamed(weights) {
			base = strings.TrimSuffix(weights, ".pt") // in the working folder
		}
		if artifact.Is(weights) || artifact.IsOnDevice(weights) {
			base = filepath.Clean(weights)
		}
		for _, format := range c.StringSlice("format") {
			if outputs = append(outputs, base+"."+format); format == "pt" {
				outputs = append(outputs, base+stateEnding)
			}
		}
	}
	if slices.Contains(c.StringSlice("format"), onDeviceFormat) {
		if len(outputs) != 1 || len(c.StringSlice("format")) != 1 {
			return nil, term.Usagef("export: --format %s writes one folder, and nothing beside it", onDeviceFormat)
		}
		return outputs, nil
	}
	for _, path := range outputs {
		if !slices.Contains(exportFormats, formatOf(path)) {
			if !c.IsSet("output") {
				return nil, term.Usagef("export: --format %s: want %s or %s", formatOf(path), strings.Join(exportFormats, ", "), onDeviceFormat)
			}
			return nil, term.Usagef("export: --output %s: want a name that ends in .onnx, .safetensors or .pt", path)
		}
	}
	return outputs, nil
}

// formatOf is the format that a file's ending names.
func formatOf(path string) string {
	return strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
}

// exportFile writes one file in the format that its ending names.
func exportFile(t *term.Terminal, path string, m *model.Model, source artifact.Source, o export.Options) (f exportedFile, err error) {
	f = exportedFile{Path: path, Format: formatOf(path)}
	switch f.Format {
	case model.KindONNX:
		graph, err := export.ONNX(m, source, o)
		if err != nil {
			return f, fmt.Errorf("export %s: %w", m.Path, err)
		}
		if old, err := wire.Read(path); err == nil && len(old.Inputs) == 1 && old.Inputs[0].String() != graph.Inputs[0].String() {
			t.Warnf("%s is replaced: it took %v, and now takes %v", path, old.Inputs[0], graph.Inputs[0])
		}
		if err := wire.Write(path, graph); err != nil {
			return f, err
		}
		outputs := make([]string, len(graph.Outputs))
		for i, v := range graph.Outputs {
			outputs[i] = v.String()
		}
		f.Input, f.Output = graph.Inputs[0].String(), strings.Join(outputs, ", ")
	case "pt":
		encode := export.CheckpointFile
		if strings.HasSuffix(strings.ToLower(path), stateEnding) {
			f.Format, encode = "state_dict", export.StateFile
		}
		if err := export.WriteTorch(path, m, o.Half, encode); err != nil {
			return f, err
		}
	default:
		out, err := export.Weights(m, source, o)
		if err != nil {
			return f, fmt.Errorf("export %s: %w", m.Path, err)
		}
		if err := model.Save(path, out); err != nil {
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
