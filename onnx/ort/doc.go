// Package ort runs models on ONNX Runtime's shared library: it finds and loads
// the library, opens sessions on an execution provider, and binds tensors to a
// session's inputs and outputs without copying them.
//
//	d, err := ort.Resolve("auto")
//	s, err := ort.Open(model, ort.Options{Device: d})
//	out, err := s.Run(map[string]*onnx.Tensor{"x": x}) // new tensors; a Binding copies nothing
//
// With package native it is the only one with cgo. github.com/yalue/onnxruntime_go loads the
// library and makes environment, session options and sessions; values and
// bindings are this package's own (capi.c), because training needs what
// onnxruntime_go's lack: scalars and empty tensors of any type over Go memory,
// one tensor as input and output of the same run, outputs in device memory.
//
// It knows nothing of what a model means: names and tensors go in and come out.
// Where the library or a device is missing or unfit, errors are *[Unavailable].
package ort
