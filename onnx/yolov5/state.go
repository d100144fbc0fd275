package yolov5

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/yolov5/layouts"
)

// FromState reads the network of a bare state dict. A table (see ParseTable)
// says what the tensors belong to; nil lets the published layouts be tried,
// and Network.Guess then says which of them fits all names and shapes. The
// number of classes and the anchors are those of the tensors.
func FromState(named map[string]*onnx.Tensor, table map[string]any) (*Network, map[string]*onnx.Tensor, error) {
	s := bareState{stripped(named)}
	if _, _, err := s.head(); err != nil || table != nil {
		return s.as(table)
	}
	var strays []string // of the layout that most fits
	for _, l := range layouts.All {
		width := s.width()
		net, state, err := s.as(l.Table(width, s.repeats))
		if err != nil {
			continue
		}
		left := s.strays(state)
		if strays == nil || len(left) < len(strays) {
			strays = left
		}
		if len(left) == 0 {
			net.Guess = fmt.Sprintf("YOLOv5 %s of width %.4g, SiLU throughout, by the names and shapes of the tensors", l.Name, width)
			return net, state, nil
		}
	}
	if len(strays) > 0 {
		return nil, nil, unfit("holds no layer table (a bare state dict), and its tensors fit no published layout of YOLOv5 v5 to v7: nothing there is called %s: its model's YAML file is needed", listed(strays))
	}
	return nil, nil, unfit("holds no layer table (a bare state dict), and its tensors fit no published layout of YOLOv5 v5 to v7: its model's YAML file is needed")
}

// listed names the first few of a list.
func listed(names []string) string {
	const most = 3
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// bareState are tensors by name, and nothing else.
type bareState struct{ named map[string]*onnx.Tensor }

var firstLayer = regexp.MustCompile(`^(.*?)model\.\d+\.`)

// stripped takes off what wrappers, such as DataParallel's module., put before all names.
func stripped(named map[string]*onnx.Tensor) map[string]*onnx.Tensor {
	for _, name := range slices.Sorted(maps.Keys(named)) {
		m := firstLayer.FindStringSubmatch(name)
		if m == nil || m[1] == "" {
			continue
		}
		short := make(map[string]*onnx.Tensor, len(named))
		for name, t := range named {
			short[strings.TrimPrefix(name, m[1])] = t
		}
		return short
	}
	return named
}

// strays names the tensors that some layer must account for, and none of state
// does. Single numbers that are no weights are counters: of batches, of averaged
// models, of a profiler's operations (total_ops, total_params).
func (s bareState) strays(state map[string]*onnx.Tensor) (names []string) {
	for name, t := range s.named {
		switch name[strings.LastIndexByte(name, '.')+1:] {
		case "num_batches_tracked", "anchors", "anchor_grid":
			continue
		case "weight", "bias", "running_mean", "running_var":
		default:
			if t.Len() <= 1 {
				continue
			}
		}
		if state[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// width is the multiple that the first layer has.
func (s bareState) width() float64 {
	for _, name := range []string{"model.0.conv.weight", "model.0.conv.conv.weight"} {
		if t := s.named[name]; t != nil && len(t.Shape) == 4 && t.Shape[0] < 1<<12 {
			return float64(t.Shape[0]) / 64
		}
	}
	return 1
}

// repeats counts the inner parts of a layer's block.
func (s bareState) repeats(layer int) (n int64) {
	for n < 100 && s.named[fmt.Sprintf("model.%d.m.%d.cv1.conv.weight", layer, n)] != nil {
		n++
	}
	return n
}

// as reads the state as a table's.
func (s bareState) as(table map[string]any) (*Network, map[string]*onnx.Tensor, error) {
	table = maps.Clone(table)
	head, grid, err := s.head()
	if err != nil {
		return nil, nil, err
	}
	channels := s.named[head+"m.0.weight"].Shape[0]
	cells := grid.Float64s()
	per := grid.Shape[1]
	levels := make([]any, grid.Shape[0])
	for i := range levels { // in cells still; the strides come with the table
		level := make([]any, 2*per)
		for k := range level {
			level[k] = cells[i*len(level)+k]
		}
		levels[i] = level
	}
	table["anchors"] = levels
	if fusedState(s.named) {
		table[foldedKey] = true
	}
	net, err := ParseTable(table, int(channels/per-5))
	if err != nil {
		return nil, nil, unfit("%v", err)
	}
	for i, level := range net.Anchors {
		for k := range level {
			level[k][0] *= float64(net.Strides[i])
			level[k][1] *= float64(net.Strides[i])
		}
	}
	net.SetAnchors(net.Anchors)
	state, err := net.Pick(s.named)
	return net, state, err
}

// head finds the prefix of the Detect layer, model.24., and its anchors.
func (s bareState) head() (prefix string, anchors *onnx.Tensor, err error) {
	last := -1
	for name := range s.named {
		number, isAnchors := strings.CutSuffix(strings.TrimPrefix(name, "model."), ".anchors")
		if i, err := strconv.Atoi(number); isAnchors && err == nil && i > last {
			last = i
		}
	}
	prefix = fmt.Sprintf("model.%d.", last)
	anchors = s.named[prefix+"anchors"]
	weight := s.named[prefix+"m.0.weight"]
	switch {
	case s.named[prefix+"proto.cv1.conv.weight"] != nil:
		return "", nil, unfit("holds %sproto: a segmentation model, yolofreeze trains detectors", prefix)
	case anchors == nil:
		return "", nil, unfit("holds no layer table and no tensor model.N.anchors: not a state dict of a YOLOv5 detector")
	case len(anchors.Shape) != 3 || anchors.Shape[2] != 2 || anchors.Len() == 0 || anchors.Len() > 1<<10:
		return "", nil, unfit("tensor %sanchors is %v, want [levels, anchors, 2]", prefix, anchors.Shape)
	case weight == nil || len(weight.Shape) != 4:
		return "", nil, unfit("lacks the tensor %sm.0.weight of the Detect layer", prefix)
	}
	if channels, per := weight.Shape[0], anchors.Shape[1]; channels%per != 0 || channels/per < 6 {
		return "", nil, unfit("tensor %sm.0.weight has %d channels for %d anchors", prefix, channels, per)
	}
	return prefix, anchors, nil
}

// fusedState reports whether a state dict was saved after BatchNorm was folded away.
func fusedState(named map[string]*onnx.Tensor) bool {
	for _, first := range []string{"model.0.conv", "model.0.conv.conv"} { // Focus wraps its Conv
		if named[first+".bias"] != nil && named[first+".weight"] != nil {
			return true
		}
	}
	return false
}
