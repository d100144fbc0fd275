package pass_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/ref"
)

// TestForProviders: what WebGPU needs is put where the standard passes still
// clean up behind it, and changes no result.
func TestForProviders(t *testing.T) {
	if got, want := len(pass.For(pass.AnyProvider)), len(pass.Standard); got != want {
		t.Errorf("%d passes for any provider, want the %d standard ones", got, want)
	}
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(2, 3, 4, 6))
	b.Output("sign", b.Op("Sign", nil, x))
	b.Output("angle", b.Op("Atan", nil, x)) // whose lowering has a Sign
	b.Output("blocks", b.SpaceToDepth(x, 2))
	zeros := b.Op("Expand", nil, b.Float(0), b.Ints(5, 2))
	b.Output("scattered", b.Op("ScatterND", op.Attrs{"reduction": "add"}, zeros, b.Input("index", onnx.Int64, onnx.Dims(3, 1)), b.Input("rows", onnx.Float, onnx.Dims(3, 2))))
	if b.Err() != nil {
		t.Fatal(b.Err())
	}
	m := b.Model
	fed := feeds(m)
	copy(fed["x"].Data, []float64{0, -1, 1})
	copy(fed["index"].Data, []float64{3, 1, 3})
	want := run(t, m, fed)
	apply(t, m, pass.For(pass.WebGPU)...)
	for _, n := range m.Nodes {
		if slices.Contains([]string{"Sign", "Atan", "SpaceToDepth"}, n.Op) {
			t.Errorf("%s is still there", n.Op)
		}
		if n.Op == "ScatterND" && n.Inputs[0].Node == nil {
			t.Error("the scatter still writes into a constant")
		}
	}
	equal(t, run(t, m, fed), want, 1e-7)
}

// TestMaxPoolIndices: without indices the same pixel wins, ties included. The
// gradients are whole numbers, so that their sums do not depend on the order;
// they are held against float64 and against the CPU provider's indices.
func TestMaxPoolIndices(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for _, c := range []struct {
		size   [2]int64
		window op.Window
		values int // how many different ones: few make ties
	}{
		{[2]int64{7, 9}, op.Square(5, 1, 2), 3},
		{[2]int64{7, 9}, op.Square(5, 1, 2), 1},
		{[2]int64{7, 9}, op.Square(5, 1, 2), 1000},
		{[2]int64{3, 4}, op.Square(5, 1, 2), 3},
		{[2]int64{4, 4}, op.Square(13, 1, 6), 4},
		{[2]int64{6, 5}, op.Square(3, 1, 0), 2},
		{[2]int64{8, 8}, op.Window{Kernel: [2]int64{2, 3}, Stride: [2]int64{1, 1}, Dilation: [2]int64{1, 1}, Pads: [4]int64{1, 0, 0, 2}, Groups: 1}, 3},
	} {
		t.Run(fmt.Sprint(c.size, c.window.Kernel, c.values), func(t *testing.T) {
			b := op.NewBuilder("case")
			x := b.Input("x", onnx.Float, onnx.Dims(2, 3, c.size[0], c.size[1]))
			y := b.MaxPool(b.MaxPool(x, c.window), c.window)
			sizes, _ := y.Type.Static()
			dy := b.Input("dy", onnx.Float, onnx.Dims(sizes...))
			g, err := grad.Build(b, b.ReduceSum(b.Mul(y, dy), false), []*onnx.Value{x}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.Output("dx", g[0])
			m := b.Model
			fed, tensors := map[string]*ref.Array{}, map[string]*onnx.Tensor{}
			for _, in := range m.Inputs {
				sizes, _ := in.Type.Static()
				data := make([]float32, onnx.NumElements(sizes))
				for i := range data {
					data[i] = float32(random.IntN(c.values)) - 1
					if in.Name == "dy" {
						data[i] = float32(random.IntN(1000) - 500)
					}
				}
				tensors[in.Name] = onnx.Of(data, sizes...)
				fed[in.Name] = ref.FromTensor(tensors[in.Name])
			}
			want := run(t, m, fed)
			onCPU := onRuntime(t, m, tensors)
			apply(t, m, pass.For(pass.WebGPU)...)
			for _, n := range m.Nodes {
				if n.Op == "ScatterElements" || n.Op == "MaxPool" && len(n.Outputs) > 1 {
					t.Errorf("%s %q is still there", n.Op, n.Name)
				}
			}
			equal(t, run(t, m, fed), want, 0)
			equal(t, map[string]*ref.Array{"dx": ref.FromTensor(onRuntime(t, m, tensors)["dx"])}, map[string]*ref.Array{"dx": ref.FromTensor(onCPU["dx"])}, 0)
		})
	}
}

// TestMaxPoolOfStride: what cannot be lowered is an error, not a wrong gradient.
func TestMaxPoolOfStride(t *testing.T) {
	b := op.NewBuilder("case")
	x := b.Input("x", onnx.Float, onnx.Dims(1, 1, 4, 4))
	y := b.MaxPool(x, op.Square(2, 2, 0))
	g, err := grad.Build(b, b.ReduceSum(y, false), []*onnx.Value{x}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Output("dx", g[0])
	if err := pass.Run(b.Model, pass.For(pass.WebGPU)...); err == nil {
		t.Error("a stride of 2 passed")
	} else {
		t.Log(err)
	}
}
