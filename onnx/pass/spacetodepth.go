package pass

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerSpaceToDepth replaces SpaceToDepth, which WebGPU lacks, by a Transpose:
// channel (r·block+c)·C+k holds pixel (r,c) of each block of channel k. Slices
// would not do: ONNX Runtime fuses them to SpaceToDepth. Pictures of unknown
// size keep it, which happens to the Focus layer of evaluation graphs.
func LowerSpaceToDepth(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "SpaceToDepth" {
			return nil, false
		}
		s, ok := n.Inputs[0].Type.Static()
		if !ok {
			return nil, false
		}
		block := n.Int("blocksize", 1)
		height, width := s[2]/block, s[3]/block
		split := b.Reshape(n.Inputs[0], s[0], s[1], height, block, width, block)
		return []*onnx.Value{b.Reshape(b.Transpose(split, 0, 3, 5, 1, 2, 4), s[0], block*block*s[1], height, width)}, true
	})
}
