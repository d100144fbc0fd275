// Package branch puts networks with several Detect layers together, and takes them apart.
package branch

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5"
)

// Append returns the network with a further branch: what own has behind its first
// layers, of which so many are shared with the network's first branch. What it
// appends stands behind all layers that are there; name says how a tensor of own
// is called then.
func Append(n, own *yolov5.Network, shared int) (joined *yolov5.Network, name func(string) string, err error) {
	if most := n.Detects()[0].Head(); shared < 1 || shared > most || shared > own.Head() || len(own.Branches) > 0 {
		return nil, nil, fmt.Errorf("append a branch behind layer %d: want 1 to %d", shared, min(most, own.Head()))
	}
	to := func(layer int) int {
		if layer < shared {
			return layer
		}
		return layer + len(n.Layers) - shared
	}
	name = func(s string) string { return renumber(s, to) }
	table, all := maps.Clone(n.Table), rows(own)
	head := slices.Clone(table["head"].([]any))
	for _, l := range own.Layers[shared:] {
		row := moved(all[l.Index], l, to)
		if l.Kind == "Detect" {
			row[3] = []any{int64(own.NC), own.Table["anchors"]}
		}
		head = append(head, row)
	}
	table["head"] = head
	acts := map[string]any{}
	for module, text := range own.Acts {
		acts[name(module)] = text
	}
	for module, text := range n.Acts {
		acts[module] = text
	}
	if len(acts) > 0 {
		table[yolov5.ActivationsKey] = acts
	}
	joined, err = yolov5.ParseTable(table, 0)
	return joined, name, err
}

// Of returns one branch as a network of its own, numbered as YOLOv5 numbers;
// name says how a tensor of it is called in n.
func Of(n *yolov5.Network, i int) (alone *yolov5.Network, name func(string) string, err error) {
	if len(n.Branches) == 0 {
		return n, func(s string) string { return s }, nil
	}
	d := n.Branches[i]
	start, shared := 0, d.Shared
	if i > 0 {
		start = n.Branches[i-1].Head() + 1
	}
	out := func(layer int) int {
		if layer < shared {
			return layer
		}
		return layer - shared + start
	}
	in := func(layer int) int {
		if layer < shared {
			return layer
		}
		return layer - start + shared
	}
	name = func(s string) string { return renumber(s, out) }
	table, all := maps.Clone(n.Table), rows(n)
	var own []any
	for _, l := range slices.Concat(d.Layers[:shared], d.Layers[start:]) {
		row := all[l.Index].([]any)
		if i > 0 { // of the first one they are as they were
			row = moved(row, l, in)
		}
		if l.Kind == "Detect" && i > 0 {
			args := row[3].([]any)
			table["nc"], table["anchors"], row[3] = args[0], args[1], []any{"nc", "anchors"}
		}
		own = append(own, row)
	}
	backbone := min(n.Backbone, len(own)-1) // a strange table may have fewer layers of its own
	table["backbone"], table["head"] = own[:backbone:backbone], own[backbone:]
	acts := map[string]any{}
	for module, text := range n.Acts {
		if at := layerOf(module); at < shared || at >= start && at <= d.Head() {
			acts[renumber(module, in)] = text
		}
	}
	delete(table, yolov5.ActivationsKey)
	if len(acts) > 0 {
		table[yolov5.ActivationsKey] = acts
	}
	alone, err = yolov5.ParseTable(table, 0)
	return alone, name, err
}

// rows are those of the table, backbone and head.
func rows(n *yolov5.Network) []any {
	backbone, _ := n.Table["backbone"].([]any)
	head, _ := n.Table["head"].([]any)
	return slices.Concat(backbone, head)
}

// moved is a layer's row with the inputs that it has elsewhere.
func moved(row any, l yolov5.Layer, to func(layer int) int) []any {
	cells := slices.Clone(row.([]any))
	from := make([]any, len(l.From))
	for i, f := range l.From {
		from[i] = int64(yolov5.Images)
		if f >= 0 {
			from[i] = int64(to(f))
		}
	}
	cells[0] = from
	return cells
}

// renumber gives a tensor or module the name that it has where its layer has another number.
func renumber(name string, to func(layer int) int) string {
	number, rest, more := strings.Cut(strings.TrimPrefix(name, "model."), ".")
	layer, err := strconv.Atoi(number)
	if err != nil || !strings.HasPrefix(name, "model.") {
		return name
	}
	renamed := fmt.Sprintf("model.%d", to(layer))
	if more {
		renamed += "." + rest
	}
	return renamed
}

// layerOf is the number of a module's layer, -1 where it has none.
func layerOf(module string) (layer int) {
	layer = -1
	renumber(module, func(i int) int { layer = i; return i })
	return layer
}

// Alone takes an exported graph of several branches apart: for each branch the graph
// whose output are its own rows, sharing nodes with m; without branches that is m.
func Alone(m *onnx.Model, branches int) ([]*onnx.Model, error) {
	if branches == 0 {
		return []*onnx.Model{m}, nil
	}
	for _, n := range slices.Backward(m.Nodes) {
		if n.Op != "Concat" || len(n.Inputs) != branches {
			continue
		}
		var list []*onnx.Model
		for _, in := range n.Inputs {
			if rows := unpadded(in); rows != nil {
				one := *m
				one.Outputs = []*onnx.Value{rows}
				list = append(list, &one)
			}
		}
		if len(list) == branches {
			return list, nil
		}
	}
	return nil, &yolov5.UnfitError{Reason: fmt.Sprintf("no node joins the rows of %d branches", branches)}
}

// unpadded are the rows of a branch before join widened them, nil for all else.
func unpadded(v *onnx.Value) *onnx.Value {
	n := v.Node
	switch {
	case n == nil:
	case n.Op == "Pad":
		return n.Inputs[0]
	case n.Op == "Concat" && len(n.Inputs) == 2 && n.Inputs[1].Node != nil && n.Inputs[1].Node.Op == "Pad":
		if split := n.Inputs[1].Node.Inputs[0].Node; split != nil && split.Op == "Split" {
			return split.Inputs[0]
		}
	}
	return nil
}
