package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
	"yolofreeze/freeze/model"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show a model's layers, parameters, classes and anchors",
		ArgsUsage: "MODEL",
		Description: "MODEL is a checkpoint (.pt), an exported model (.onnx), a .safetensors file or an artifacts\n" +
			"folder.",
		Flags: []cli.Flag{
			offlineFlag(),
			&cli.BoolFlag{Name: "graph", Usage: "of an .onnx file, print the graph, node by node"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 1, 1); err != nil {
				return err
			}
			file, err := weightsFile(c, c.Args().First())
			if err != nil {
				return err
			}
			info, err := model.Inspect(file)
			if err != nil {
				return term.BadInput(err)
			}
			if c.Bool("graph") {
				if info.Graph == nil {
					return term.Usagef("inspect: --graph is for .onnx files, not for %s", info.Path)
				}
				return info.Graph.Text(term.Of(c).Text())
			}
			return term.Of(c).Result(info, func(w io.Writer) error { return writeInfo(w, info) })
		},
	}
}

func writeInfo(w io.Writer, info *model.Info) error {
	term.Fprintf(w, "%s: %s, %d classes\n", info.Path, info.Kind, info.NC)
	if len(info.Names) > 0 {
		term.Fprintf(w, "classes   %s\n", strings.Join(info.Names, ", "))
	}
	for i, stride := range info.Strides {
		pairs := make([]string, len(info.Anchors[i]))
		for j, a := range info.Anchors[i] {
			pairs[j] = fmt.Sprintf("%.4g×%.4g", a[0], a[1])
		}
		term.Fprintf(w, "stride %-3d anchors %s\n", stride, strings.Join(pairs, " "))
	}
	for _, note := range info.Notes {
		term.Fprintln(w, note)
	}
	for _, p := range info.Inputs {
		term.Fprintf(w, "input     %s %s%v\n", p.Name, p.DType, p.Shape)
	}
	for _, p := range info.Outputs {
		term.Fprintf(w, "output    %s %s%v\n", p.Name, p.DType, p.Shape)
	}
	if info.Opset > 0 {
		term.Fprintf(w, "opset     %d\n", info.Opset)
	}
	for _, key := range slices.Sorted(maps.Keys(info.Metadata)) {
		if value := info.Metadata[key]; key != "names" {
			term.Fprintf(w, "metadata  %s = %s\n", key, term.Shorten(value, 100))
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	term.Fprintf(t, "\nlayer\tfrom\tmodule\trepeat\tchannels\telements\tstate\n")
	for _, l := range info.Layers {
		from := strings.Trim(strings.ReplaceAll(fmt.Sprint(l.From), " ", ","), "[]")
		state := "frozen"
		switch {
		case l.Trainable:
			state = "trains"
		case l.Elements == 0:
			state = "-"
		}
		if l.Module == "" { // an exported graph has no table
			term.Fprintf(t, "%s\t\t\t\t\t%d\t%s\n", l.Name, l.Elements, state)
			continue
		}
		term.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", l.Name, from, l.Module, l.Repeat, l.Channels, l.Elements, state)
	}
	term.Fprintf(t, "\nparameter\tshape\tdtype\tstate\n")
	for _, p := range info.Parameters {
		state := "frozen"
		switch {
		case p.Buffer:
			state = "statistics"
		case p.Trainable:
			state = "trains"
		}
		term.Fprintf(t, "%s\t%v\t%s\t%s\n", p.Name, p.Shape, p.DType, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := term.Fprintf(w, "\n%s\n", info.Counts)
	return err
}
