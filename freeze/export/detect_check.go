package export

import (
	"fmt"

	"yolofreeze/dataset/loader"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// checkGraph looks at what a file's own graph would be run with: finite weights of its
// convolutions and products, and pictures that fit into memory.
func (e *Detector) checkGraph(g *onnx.Model) error {
	weights := map[string]*onnx.Tensor{}
	for _, n := range g.Nodes {
		switch n.Op {
		case "Conv", "Gemm", "MatMul", "BatchNormalization":
			for _, in := range n.Inputs {
				if in != nil && in.Const != nil {
					weights[in.Name] = in.Const
				}
			}
		}
	}
	if err := model.CheckFinite(e.Path, weights); err != nil {
		return err
	}
	if err := model.CheckText(e.Path, e.Names); err != nil {
		return err
	}
	const mostPixels = 1 << 28 // of a batch
	height, width, batch := max(e.Height, 1), max(e.Width, 1), max(e.Batch, 1)
	if height > loader.MaxImageSize || width > loader.MaxImageSize || batch > mostPixels/(height*width) {
		return &disk.InputError{Path: e.Path, Err: fmt.Errorf("takes batches of %d pictures of %dx%d: more than %d pixels a side or %d in all", e.Batch, e.Width, e.Height, loader.MaxImageSize, mostPixels)}
	}
	return nil
}
