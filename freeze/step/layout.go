package step

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
)

// layout says how the tensors of the state lie in memory, and what of it the
// optimizer updates at once. It is the same for weights, moments, averages and gradients.
type layout struct {
	trainable []extent
	moving    []extent      // running statistics, of which there are weights and averages alone
	params    []optim.Param // that the optimizer updates
	averaged  []optim.Param // that enter the averages only
	measured  []optim.Param // whose gradients the norm is taken of; nil: those of params
}

// extent is memory that is one value: the name and shape of a tensor, or of what
// holds all tensors of a list as parts.
type extent struct {
	name  string
	shape []int64
	parts []part
}

// part is what graphs know by a name and shape of its own, from an element of an extent on.
type part struct {
	name  string
	from  int64
	shape []int64
	block bool // of the optimizer, and no tensor
}

// blockSizes are how many elements the optimizer updates at once in flat memory. The CPU has
// what one node of its graph leaves in the cache for the next, CUDA has little to launch. Where
// memory has no addresses, and in graphs for all providers, each tensor lies and is updated by itself.
var blockSizes = map[pass.Target]int64{pass.CPUProvider: 1 << 18, pass.CUDA: 1 << 23}

// alignment of tensors within flat memory, in elements: the 256 bytes that CUDA aligns
// memory to. What lies between them is zero in all of the state, and stays so.
const alignment = 64

// gathers reports whether what a batch yields lies by itself until a graph of its own adds all
// of it to the state at once. On CUDA each node of a sum is a launch; elsewhere the
// training graph best adds each part where it is made.
func gathers(target pass.Target) bool { return target == pass.CUDA }

// layOut lays out trainable parameters and running statistics for a target; params are the
// optimizer's settings of trainable, in the same order.
func layOut(target pass.Target, trainable, moving []yolov5.Param, params []optim.Param) *layout {
	averaged := optimParams(moving)
	block, flat := blockSizes[target]
	if !flat {
		return &layout{separate(trainable), separate(moving), params, averaged, nil}
	}
	l := &layout{}
	l.trainable, l.params = inBlocks("parameters", trainable, params, block)
	l.moving, l.averaged = inBlocks("statistics", moving, averaged, block)
	if target == pass.CPUProvider { // whose runs keep the bytes that they had tensor by tensor
		l.measured = params
	}
	return l
}

// normed are the gradients whose norm is taken.
func (l *layout) normed() []optim.Param {
	if l.measured != nil {
		return l.measured
	}
	return l.params
}

func separate(list []yolov5.Param) []extent {
	extents := make([]extent, len(list))
	for i, p := range list {
		extents[i] = extent{p.Name, p.Shape, []part{{name: p.Name, shape: p.Shape}}}
	}
	return extents
}

// inBlocks lays tensors out one behind the other, by group, and cuts each group into blocks
// for the optimizer, whatever tensors they cut through.
func inBlocks(name string, list []yolov5.Param, settings []optim.Param, size int64) (all []extent, blocks []optim.Param) {
	if len(list) == 0 {
		return nil, nil
	}
	e := extent{name: name}
	var end int64
	for _, group := range []optim.Group{optim.Biases, optim.Weights, optim.Norms} {
		start := end
		var factors []float64
		for i, p := range list {
			if settings[i].Group == group {
				e.parts = append(e.parts, part{name: p.Name, from: end, shape: p.Shape})
				end += (settings[i].Size + alignment - 1) / alignment * alignment
				factors = append(factors, rateFactor(settings[i]))
			}
		}
		for from := start; from < end; from += size {
			b := optim.Param{Name: fmt.Sprintf("%s.%d", name, len(blocks)), Size: min(size, end-from), Group: group, Factor: factors[0]}
			if slices.Min(factors) != slices.Max(factors) {
				b.Factor, b.Factors = 0, true
			}
			e.parts, blocks = append(e.parts, part{b.Name, from, []int64{b.Size}, true}), append(blocks, b)
		}
	}
	e.shape = []int64{end}
	return []extent{e}, blocks
}

// rateFactor is what a tensor's learning rate is multiplied by.
func rateFactor(p optim.Param) float64 {
	if p.Factor == 0 {
		return 1
	}
	return p.Factor
}

// whole are extents as what is updated or cleared in one.
func whole(extents []extent) []optim.Param {
	list := make([]optim.Param, len(extents))
	for i, e := range extents {
		list[i] = optim.Param{Name: e.name, Size: onnx.NumElements(e.shape)}
	}
	return list
}

// piece is an extent of one kind, such as the gradients, in memory.
type piece struct {
	extent                // by the names that graphs have for the kind
	host     *onnx.Tensor // a device's value is a copy of it
	aside    bool         // not of the state that is kept: no graph replaces it, or each batch does
	gradient bool
	moving   bool // running statistics, and not their averages
}

// pieceOf makes an extent's memory for a kind of which graphs call a tensor by name. The
// tensors in it, which share its memory, are put into a map.
func pieceOf(e extent, name func(string) string, into map[string]*onnx.Tensor) *piece {
	p := &piece{extent: extent{name(e.name), e.shape, slices.Clone(e.parts)}, host: onnx.NewTensor(onnx.Float, e.shape...)}
	for i, part := range e.parts {
		p.parts[i].name = name(part.name)
		if !part.block {
			start := 4 * part.from
			end := start + 4*onnx.NumElements(part.shape)
			into[p.parts[i].name] = &onnx.Tensor{DType: onnx.Float, Shape: slices.Clone(part.shape), Raw: p.host.Raw[start:end:end]}
		}
	}
	return p
}
