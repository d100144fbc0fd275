package yolov5

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Network is a model's architecture: its layers with channels resolved.
type Network struct {
	Layers   []Layer
	Backbone int // layers 0 … Backbone-1 are the backbone by the model's own table
	NC       int
	Anchors  [][][2]float64    // per level, per anchor: width, height in pixels
	Strides  []int64           // per level: pixels per cell
	Act      string            // "SiLU", "Hardswish", "LeakyReLU(0.1)", "ReLU", "Identity"
	Acts     map[string]string // of modules whose activation is another one
	// Folded says that BatchNorm is folded into the Conv before it, as in a file
	// made for inference: a Conv block is then a convolution with a bias.
	Folded bool
	Guess  string         // what FromState took a bare state dict for; "" where the file told
	Table  map[string]any // what ParseTable read, with nc as it holds now

	// Branches are, where the table has several Detect layers, the networks that
	// end in each: Layers up to it, and the others' before it. NC then counts the
	// classes of all, side by side; Anchors and Strides are the first one's.
	Branches []*Network
	Shared   int // of a branch behind the first: the first layers that it takes over from that
}

// Keys of a table that are not YOLOv5's own.
const (
	ActivationsKey = "activations" // Network.Acts, where there are some
	foldedKey      = "folded"      // Network.Folded
)

// Images is the index of what the first layer reads.
const Images = -1

// Cut lists, in order, the layers before the one called first whose outputs
// that one or later ones read: what remains to be known of the network's first
// layers when the others run on their own.
func (n *Network) Cut(first int) []int {
	var read []int
	for _, l := range n.Layers[first:] {
		for _, f := range l.From {
			if f < first && !slices.Contains(read, f) {
				read = append(read, f)
			}
		}
	}
	slices.Sort(read)
	return read
}

// Layer is one entry of the table.
type Layer struct {
	Index  int
	From   []int // absolute indices of the inputs; Images is the picture
	Kind   string
	Repeat int
	In     []int64 // channels per input
	Out    int64
	Args   []any // after the channels
}

// Name is the prefix of the layer's parameters, without the last dot.
func (l Layer) Name() string { return fmt.Sprintf("model.%d", l.Index) }

// Head returns the index of the last Detect layer.
func (n *Network) Head() int { return len(n.Layers) - 1 }

// Outputs is the number of values per anchor: box, objectness, classes.
func (n *Network) Outputs() int64 { return int64(5 + n.NC) }

// SetFolded says whether BatchNorm is folded, in the network and its table.
func (n *Network) SetFolded(folded bool) {
	n.Folded = folded
	for _, branch := range n.Branches {
		branch.Folded = folded
	}
	n.Table[foldedKey] = folded
}

// ParseTable resolves a model's YAML table (keys nc, depth_multiple,
// width_multiple, anchors, backbone, head) as YOLOv5's model parser does:
// repeats scale with depth, channels with width, rounded up to multiples of 8.
// nc > 0 replaces the table's number of classes, all branches' together. Behind a
// Detect layer may stand a further branch, which reads layers of the first one and
// ends in a Detect of its own [nc, anchors]. Errors name the layer.
func ParseTable(table map[string]any, nc int) (*Network, error) {
	t := tableParser{table: table, net: &Network{NC: nc, Table: maps.Clone(table)}}
	if err := t.globals(); err != nil {
		return nil, err
	}
	t.net.Table["nc"] = int64(t.net.NC)
	for _, part := range []string{"backbone", "head"} {
		rows, ok := table[part].([]any)
		if !ok {
			return nil, fmt.Errorf("model table: key %q holds no list of layers", part)
		}
		for _, row := range rows {
			if err := t.layer(row); err != nil {
				return nil, fmt.Errorf("model table: layer %d: %w", len(t.net.Layers), err)
			}
		}
		if part == "backbone" {
			t.net.Backbone = len(t.net.Layers)
		}
	}
	if err := t.finish(nc > 0); err != nil {
		return nil, fmt.Errorf("model table: %w", err)
	}
	return t.net, nil
}

type tableParser struct {
	table        map[string]any
	net          *Network
	depth, width float64
	stride       []int64    // per layer: pixels per cell of its output
	detects      []*Network // what is known of each Detect layer
}

func (t *tableParser) globals() error {
	for key, to := range map[string]*float64{"depth_multiple": &t.depth, "width_multiple": &t.width} {
		*to = 1
		if v, there := t.table[key]; there {
			var ok bool
			if *to, ok = toFloat(v); !ok || !(*to > 0 && *to <= maxMultiple) {
				return fmt.Errorf("model table: %s is %v, want a number above 0, up to %d", key, v, maxMultiple)
			}
		}
	}
	if t.net.NC <= 0 {
		nc, ok := toInt(t.table["nc"])
		if !ok || nc < 1 || nc > maxChannels {
			return fmt.Errorf("model table: nc is %v, want 1 to %d", t.table["nc"], maxChannels)
		}
		t.net.NC = int(nc)
	}
	if t.net.NC > maxChannels {
		return fmt.Errorf("model table: nc is %d, want 1 to %d", t.net.NC, maxChannels)
	}
	t.net.Folded, _ = t.table[foldedKey].(bool)
	if err := t.activations(); err != nil {
		return err
	}
	var err error
	if t.net.Anchors, err = readAnchors(t.table["anchors"]); err != nil {
		return fmt.Errorf("model table: %w", err)
	}
	return nil
}

// readAnchors reads a list per level of widths and heights.
func readAnchors(v any) ([][][2]float64, error) {
	levels, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("anchors are %v, want a list per level", v)
	}
	if len(levels) < 1 || len(levels) > maxLevels {
		return nil, fmt.Errorf("anchors for %d levels, want 1 to %d", len(levels), maxLevels)
	}
	var anchors [][][2]float64
	for i, level := range levels {
		flat, ok := level.([]any)
		if !ok || len(flat) == 0 || len(flat)%2 != 0 {
			return nil, fmt.Errorf("anchors of level %d are %v, want pairs of width and height", i, level)
		}
		var pairs [][2]float64
		for j := 0; j < len(flat); j += 2 {
			w, ok1 := toFloat(flat[j])
			h, ok2 := toFloat(flat[j+1])
			if !ok1 || !ok2 || !(w > 0 && w < maxAnchor && h > 0 && h < maxAnchor) {
				return nil, fmt.Errorf("anchor %d of level %d is %v,%v", j/2, i, flat[j], flat[j+1])
			}
			pairs = append(pairs, [2]float64{w, h})
		}
		anchors = append(anchors, pairs)
	}
	return anchors, nil
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case uint64:
		return float64(v), true
	}
	return 0, false
}

func toInt(v any) (int64, bool) {
	f, ok := toFloat(v)
	return int64(f), ok && f == math.Trunc(f)
}

// Bounds of what a table may ask for, far above any model of YOLOv5: a file
// must not be able to keep the reader busy or its arithmetic from fitting.
const (
	maxMultiple = 10
	maxChannels = 1 << 16 // classes too
	maxLevels   = 5       // that YOLOv5's loss has weights for
	maxRepeat   = 100
	maxStride   = 1 << 12
	maxArgument = 1 << 10
	maxAnchor   = 1 << 20 // pixels
)

// inRange refuses numbers among a layer's arguments that no layer can have.
func inRange(args []any) error {
	for _, a := range args {
		if list, ok := a.([]any); ok {
			if err := inRange(list); err != nil {
				return err
			}
		}
		if v, ok := toFloat(a); ok && !(v >= 0 && v <= maxArgument) {
			return fmt.Errorf("%v is not within 0 to %d", a, maxArgument)
		}
	}
	return nil
}

// layer reads one row and appends what it says.
func (t *tableParser) layer(row any) error {
	l, stride, err := t.row(row)
	if err == nil {
		t.net.Layers = append(t.net.Layers, l)
		t.stride = append(t.stride, stride)
	}
	return err
}

// row reads [from, number, module, args] as the next layer.
func (t *tableParser) row(row any) (l Layer, stride int64, err error) {
	cells, ok := row.([]any)
	if !ok || len(cells) != 4 {
		return l, 0, fmt.Errorf("row %v is not [from, number, module, args]", row)
	}
	name, ok := cells[2].(string)
	if !ok {
		return l, 0, fmt.Errorf("module %v is not a name", cells[2])
	}
	l = Layer{Index: len(t.net.Layers), Kind: strings.TrimPrefix(name, "nn.")}
	args, ok := cells[3].([]any)
	if !ok {
		return l, 0, fmt.Errorf("%s: args %v are not a list", l.Kind, cells[3])
	}
	if err := t.from(&l, cells[0]); err != nil {
		return l, 0, fmt.Errorf("%s: %w", l.Kind, err)
	}
	number, ok := toInt(cells[1])
	if !ok || number < 1 || number > maxRepeat {
		return l, 0, fmt.Errorf("%s: number is %v", l.Kind, cells[1])
	}
	l.Repeat = int(number)
	if number > 1 {
		l.Repeat = max(int(math.RoundToEven(float64(number)*t.depth)), 1)
	}
	if stride, err = t.channels(&l, args); err != nil {
		return l, 0, fmt.Errorf("%s: %w", l.Kind, err)
	}
	return l, stride, nil
}

// from resolves relative indices (-1 is the layer before) and the inputs' channels.
func (t *tableParser) from(l *Layer, cell any) error {
	list, ok := cell.([]any)
	if !ok {
		list = []any{cell}
	}
	if len(list) == 0 {
		return fmt.Errorf("takes nothing")
	}
	for _, c := range list {
		f, ok := toInt(c)
		if ok && f < 0 {
			f += int64(l.Index)
		}
		if !ok || f < -1 || f >= int64(l.Index) || f == -1 && l.Index != 0 {
			return fmt.Errorf("input %v of layer %d", c, l.Index)
		}
		channels := int64(3)
		if f >= 0 {
			if t.net.Layers[f].Kind == "Detect" {
				return fmt.Errorf("reads layer %d, which is Detect", f)
			}
			channels = t.net.Layers[f].Out
		}
		l.From, l.In = append(l.From, int(f)), append(l.In, channels)
	}
	return nil
}

// supported lists the modules by how their arguments are read: "conv" ones
// start with output channels, which the width multiple scales.
var supported = map[string]string{
	"Conv": "conv", "DWConv": "conv", "GhostConv": "conv", "Focus": "conv", "Bottleneck": "conv", "GhostBottleneck": "conv",
	"C3": "conv", "C3SPP": "conv", "C3Ghost": "conv", "BottleneckCSP": "conv", "SPP": "conv", "SPPF": "conv",
	"Upsample": "same", "Concat": "concat", "Detect": "detect",
}

// Supported names the layers that yolofreeze can build, sorted.
func Supported() []string {
	names := make([]string, 0, len(supported))
	for n := range supported {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// channels fills in Out and Args and returns the stride of the layer's output.
func (t *tableParser) channels(l *Layer, args []any) (int64, error) {
	stride := int64(1)
	if l.From[0] >= 0 {
		stride = t.stride[l.From[0]]
	}
	switch supported[l.Kind] {
	case "conv":
		c, ok := toInt(first(args))
		if !ok || c < 1 {
			return 0, fmt.Errorf("args %v lack the output channels", args)
		}
		l.Out = int64(math.Ceil(float64(c)*t.width/8)) * 8
		l.Args = args[1:]
		if l.Out < 1 || l.Out > maxChannels {
			return 0, fmt.Errorf("%d output channels, want 1 to %d", l.Out, maxChannels)
		}
		if err := inRange(l.Args); err != nil {
			return 0, fmt.Errorf("args %v: %w", args, err)
		}
		switch l.Kind {
		case "Conv", "DWConv", "GhostConv", "GhostBottleneck":
			stride *= l.int(1, 1)
		case "Focus":
			stride *= 2 * l.int(1, 1)
		}
		if stride < 1 || stride > maxStride {
			return 0, fmt.Errorf("args %v: a stride of %d in all, want 1 to %d", args, stride, maxStride)
		}
	case "same":
		if scale, _ := toInt(at(args, 1)); scale != 2 || at(args, 2) != "nearest" {
			return 0, fmt.Errorf("args %v: only nearest ×2 is known", args)
		}
		if stride < 2 {
			return 0, fmt.Errorf("enlarges the picture")
		}
		l.Out, stride = l.In[0], stride/2
	case "concat":
		if axis, _ := toInt(first(args)); axis != 1 {
			return 0, fmt.Errorf("args %v: only axis 1 is known", args)
		}
		for _, c := range l.In {
			l.Out += c
		}
	case "detect":
		return 0, t.detect(l, args)
	default:
		return 0, fmt.Errorf("not a layer that yolofreeze can train (it can: %s)", strings.Join(Supported(), ", "))
	}
	return stride, nil
}

func first(args []any) any { return at(args, 0) }

func at(args []any, i int) any {
	if i < len(args) {
		return args[i]
	}
	return nil
}

// int reads an argument after the channels, with its default.
func (l Layer) int(i int, otherwise int64) int64 {
	if v, ok := toInt(at(l.Args, i)); ok {
		return v
	}
	return otherwise
}

// hidden is the width of a block's inner convolutions: out times the argument, by default a half.
func (l Layer) hidden(i int) int64 {
	if share, ok := toFloat(at(l.Args, i)); ok {
		return int64(float64(l.Out) * share)
	}
	return l.Out / 2
}

// bool reads an argument after the channels, with its default.
func (l Layer) bool(i int, otherwise bool) bool {
	switch v := at(l.Args, i).(type) {
	case bool:
		return v
	case string: // YAML 1.1 tables that were pickled as text
		return v != "False" && v != "false"
	}
	return otherwise
}

// ints reads a list argument, with its default.
func (l Layer) ints(i int, otherwise ...int64) []int64 {
	list, ok := at(l.Args, i).([]any)
	if !ok {
		return otherwise
	}
	out := make([]int64, len(list))
	for j, v := range list {
		out[j], _ = toInt(v)
	}
	return out
}
