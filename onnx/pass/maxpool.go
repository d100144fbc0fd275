package pass

import (
	"fmt"
	"math"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// LowerMaxPoolIndices rewrites the gradient of a MaxPool of stride 1, which
// scatters by the pool's second output: WebGPU's MaxPool accepts that output
// and does not write it. Each gradient goes to the pixel that equals the
// maximum; of several to the first by rows, then columns, as the CPU provider's
// indices have it. Since that pixel lies in the first row whose own maximum is
// the window's, a window of k×k takes k comparisons along columns and k along
// rows instead of k². Sums of gradients may differ by rounding, and a window
// whose maximum is NaN passes nothing on.
func LowerMaxPoolIndices(m *onnx.Model) error {
	err := rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		pool := pooled(n)
		if pool == nil {
			return nil, false
		}
		flat, err := maxPoolGradient(b, pool, n.Inputs[2])
		if err != nil {
			b.Fail("%s %q: %w", pool.Op, pool.Name, err)
		}
		return []*onnx.Value{flat}, true
	})
	if err != nil {
		return err
	}
	if err := DropUnused(m); err != nil {
		return err
	}
	readers := uses(m)
	for _, n := range m.Nodes {
		if n.Op == "MaxPool" && len(n.Outputs) > 1 && readers[n.Outputs[1]] == 0 {
			n.Outputs = n.Outputs[:1]
		}
	}
	return nil
}

// pooled returns the MaxPool whose flattened indices a node scatters by, nil when it does not.
func pooled(n *onnx.Node) *onnx.Node {
	if n.Op != "ScatterElements" {
		return nil
	}
	reshape := n.Inputs[1].Node
	if reshape == nil || reshape.Op != "Reshape" {
		return nil
	}
	pool := reshape.Inputs[0].Node
	if pool == nil || pool.Op != "MaxPool" || reshape.Inputs[0] != pool.Output(1) {
		return nil
	}
	return pool
}

// maxPoolGradient is the flat gradient of a pool's input for that of its output, flat as well.
func maxPoolGradient(b *op.Builder, pool *onnx.Node, dy *onnx.Value) (*onnx.Value, error) {
	x, y := pool.Inputs[0], pool.Outputs[0]
	w, err := op.ReadWindow(pool, nil)
	if err != nil {
		return nil, err
	}
	sizes, ok := y.Type.Static()
	if !ok || w.Stride != [2]int64{1, 1} || w.Dilation != [2]int64{1, 1} {
		return nil, fmt.Errorf("its gradient without indices is built for static shapes, stride 1, dilation 1, not %v, %v, %v", y.Type, w.Stride, w.Dilation)
	}
	wide := w
	wide.Kernel[0], wide.Pads[0], wide.Pads[2] = 1, 0, 0
	rows := b.MaxPool(x, wide) // each row's own maxima
	dRows := toFirst(b, rows, y, b.Reshape(dy, sizes...), 2, w)
	return b.Reshape(toFirst(b, x, rows, dRows, 3, w), -1), nil
}

// toFirst hands the gradient of y, the maxima of x over a window along one axis,
// to the first element of each window that is the maximum.
func toFirst(b *op.Builder, x, y, dy *onnx.Value, axis int, w op.Window) *onnx.Value {
	size, length := x.Type.Shape[axis].Size, y.Type.Shape[axis].Size
	before, after := w.Pads[axis-2], w.Pads[axis]
	pads := func(first, last int64) []int64 {
		list := make([]int64, 8)
		list[axis], list[4+axis] = first, last
		return list
	}
	if before+after > 0 {
		x = b.Op("Pad", nil, x, b.Ints(pads(before, after)...), b.Float(-math.MaxFloat32))
	}
	var sum *onnx.Value
	for t := range w.Kernel[axis-2] {
		won := b.Op("Equal", nil, b.Slice(x, int64(axis), t, t+length), y)
		share := b.Pad(b.Op("Where", nil, won, dy, b.Float(0)), pads(t, size+before+after-length-t)...)
		dy = b.Op("Where", nil, won, b.Float(0), dy) // what no element has taken yet
		if sum == nil {
			sum = share
		} else {
			sum = b.Add(sum, share)
		}
	}
	return b.Slice(sum, int64(axis), before, before+size)
}
