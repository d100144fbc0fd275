package pass

import (
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerSpaceToDepth replaces SpaceToDepth, which WebGPU lacks, by strided
// Slices: channel (r·block+c)·C+k holds pixel (r,c) of each block of channel k.
// Pictures of unknown size keep it: the Focus layer of evaluation graphs.
func LowerSpaceToDepth(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "SpaceToDepth" {
			return nil, false
		}
		if _, ok := n.Inputs[0].Type.Static(); !ok {
			return nil, false
		}
		block := n.Int("blocksize", 1)
		ends, axes, steps := b.Ints(math.MaxInt32, math.MaxInt32), b.Ints(2, 3), b.Ints(block, block)
		var planes []*onnx.Value
		for r := range block {
			for c := range block {
				planes = append(planes, b.Op("Slice", nil, n.Inputs[0], b.Ints(r, c), ends, axes, steps))
			}
		}
		return []*onnx.Value{b.Concat(1, planes...)}, true
	})
}
