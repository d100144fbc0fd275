package grad_test

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/ref"
)

// The gradient of a graph is more of the same graph: here of (w·x)², by w.
func ExampleBuild() {
	b := op.NewBuilder("square")
	x := b.Input("x", onnx.Float, onnx.Dims(2))
	w := b.Input("w", onnx.Float, onnx.Dims(2))
	loss := b.Square(b.ReduceSum(b.Mul(w, x), false))
	gradients, err := grad.Build(b, loss, []*onnx.Value{w}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Output("loss", loss)
	b.Output("dw", gradients[0])
	out, err := ref.Run(b.Model, map[string]*ref.Array{
		"x": {Shape: []int64{2}, Data: []float64{3, -1}},
		"w": {Shape: []int64{2}, Data: []float64{1, 0.5}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("loss", out["loss"].Data[0], "gradient", out["dw"].Data)
	// Output:
	// loss 6.25 gradient [15 -5]
}
