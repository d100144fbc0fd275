package model_test

import (
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/hostile"
)

// FuzzOfFile: any layer table and class names over the tensors of a small model.
func FuzzOfFile(f *testing.F) {
	file, err := fixture.SmallModel(f).File()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(file.Metadata[model.ModelKey]))
	f.Add([]byte(`{"table":{"depth_multiple":1e9,"width_multiple":1e9,"nc":1000000000,"anchors":1000000,"backbone":[[-1,1000000000,"Conv",[1e9]]],"head":[]},"names":["a"]}`))
	hostile.Fuzz(f, func(t *testing.T, about []byte) {
		file := &safetensors.File{Metadata: map[string]string{model.ModelKey: string(about)}, Tensors: file.Tensors}
		m, err := model.OfFile("a.safetensors", file)
		if err != nil {
			hostile.OneLine(t, err)
			return
		}
		if params, err := m.Net.Params(); err != nil || len(params) != len(m.State) {
			t.Errorf("%d tensors for a network of %d: %v", len(m.State), len(params), err)
		}
	})
}
