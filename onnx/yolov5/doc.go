// Package yolov5 knows YOLOv5: its layer tables, blocks, target
// assignment and decoding, as builders of ONNX graphs. Names of parameters are
// PyTorch's state-dict names (model.0.conv.weight) and are never changed,
// because freeze plans depend on them.
//
// It knows nothing of what is frozen, of optimizers or of files: callers hand
// in the values that stand for parameters, be they graph inputs or constants.
// Behaviour follows YOLOv5 v2.0 to v7.0; formulas name their papers.
//
// Networks come from a layer table (ParseTable), a checkpoint (FromCheckpoint),
// a bare state dict (FromState) or an exported graph (FromGraph):
//
//	net, weights, err := yolov5.FromCheckpoint(checkpoint) // of package torch
//	b := op.NewBuilder("yolov5")
//	g := yolov5.Graph{Builder: b, Net: net, Param: func(p yolov5.Param) *onnx.Value { return b.Param(p.Name, weights[p.Name]) }}
//	heads, err := g.Forward(b.Input("images", onnx.Float, onnx.Dims(1, 3, 640, 640)))
//	rows, err := net.Decode(b, heads) // [1 25200 5+classes]
package yolov5
