package export_test

import (
	"fmt"

	"yolofreeze/freeze/export"
	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx/artifact"
)

// A model becomes a graph of ONNX, which wire.Write puts into a file.
func ExampleONNX() {
	m, err := fixture.Small() // or model.Load("best.safetensors")
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := export.ONNX(m, artifact.Source{File: "best.safetensors"}, export.Options{Batch: 1, Height: 64, Width: 64})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(g.Inputs[0])
	fmt.Println(g.Outputs[0])
	fmt.Println(g.Metadata["names"])
	// Output:
	// images: float32[1 3 64 64]
	// output0: float32[1 512 7]
	// {0: 'cup', 1: "it's"}
}
