// Package export writes models for others: as .onnx in the forms that YOLOv5's
// consumers read, as a state dict of PyTorch's, as an artifacts folder, as a folder
// of ONNX Runtime's on-device training. It also runs what it wrote.
package export
