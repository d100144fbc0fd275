// Package yolov5 knows YOLOv5: its layer tables, blocks, loss, target
// assignment and decoding, as builders of ONNX graphs. Names of parameters are
// PyTorch's state-dict names (model.0.conv.weight) and are never changed,
// because freeze plans depend on them.
//
// It knows nothing of what is frozen, of optimizers or of files: callers hand
// in the values that stand for parameters, be they graph inputs or constants.
// Behaviour follows YOLOv5 v2.0 to v7.0; formulas name their papers.
//
// Networks come from a layer table (ParseTable), a checkpoint (FromCheckpoint),
// a bare state dict (FromState) or an exported graph (FromGraph).
package yolov5
