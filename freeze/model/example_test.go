package model_test

import (
	"fmt"
	"os"
	"path/filepath"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
)

// A checkpoint of any kind is read by one function; this one is small and made here.
func ExampleLoad() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "small.safetensors") // or yolov5n.pt, an export.onnx, an artifacts folder
	small, err := fixture.Small()
	if err == nil {
		err = model.Save(path, small)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := model.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(m.Net.Layers), "layers, strides", m.Net.Strides, "classes", m.Names)
	fmt.Println("model.0.conv.weight", m.State["model.0.conv.weight"].Shape)
	// Output:
	// 5 layers, strides [4] classes [cup it's]
	// model.0.conv.weight [8 3 6 6]
}
