// Package model reads models, whatever file or folder they come in: a network, its
// weights and the names of its classes, ready to be trained, run or described.
//
//	m, err := model.Load("yolov5n.pt") // or .onnx, .safetensors, an artifacts folder
//	w := m.State["model.0.conv.weight"]
package model
