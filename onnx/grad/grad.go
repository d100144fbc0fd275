// Package grad differentiates: it walks a graph backwards from a scalar and
// appends, by the rules of package op, the nodes that compute the gradients.
//
// It builds only what leads to a wanted parameter: a frozen one is a constant
// of the graph and costs no backward node. It knows nothing of YOLOv5, of
// losses or of optimizers.
package grad

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Build appends to b the gradients of the scalar loss with respect to each of
// params and returns them in that order, each of its parameter's type. Values
// in detached count as constants. Nodes are named "grad/" and the name of the
// node they differentiate.
func Build(b *op.Builder, loss *onnx.Value, params, detached []*onnx.Value) ([]*onnx.Value, error) {
	if shape, ok := loss.Type.Static(); !ok || onnx.NumElements(shape) != 1 {
		return nil, fmt.Errorf("gradient of %q: %v is not a scalar", loss.Name, loss.Type)
	}
	w := walk{b: b, reached: map[*onnx.Value]bool{}, arrived: map[*onnx.Value][]*onnx.Value{}}
	for _, p := range params {
		w.reached[p] = true
	}
	nodes := b.Model.Nodes
	for _, n := range nodes {
		if o, ok := op.Lookup(n.Op); !ok || !o.Grad.Differentiable() {
			continue
		}
		for _, in := range n.Inputs {
			if in != nil && w.reached[in] {
				for _, out := range n.Outputs {
					w.reached[out] = !slices.Contains(detached, out)
				}
			}
		}
	}
	w.arrived[loss] = []*onnx.Value{b.Float(1)}
	for i := len(nodes) - 1; i >= 0; i-- {
		if err := w.node(nodes[i]); err != nil {
			return nil, err
		}
	}
	grads := make([]*onnx.Value, len(params))
	for i, p := range params {
		b.In("grad/"+p.Name, func() {
			if grads[i] = w.total(p); grads[i] == nil {
				b.Fail("the loss does not depend on it")
				return
			}
			grads[i] = w.expand(grads[i], p)
		})
	}
	return grads, b.Err()
}

type walk struct {
	b       *op.Builder
	reached map[*onnx.Value]bool          // leads from a parameter
	arrived map[*onnx.Value][]*onnx.Value // gradients by value, not yet summed
}

// total sums the gradients that arrived at v; nil when none did.
func (w *walk) total(v *onnx.Value) *onnx.Value {
	list := w.arrived[v]
	if len(list) == 0 {
		return nil
	}
	sum := list[0]
	for _, g := range list[1:] {
		sum = w.b.Add(sum, g)
	}
	w.arrived[v] = []*onnx.Value{sum}
	return sum
}

// node hands the gradients of one node's outputs on to its inputs.
func (w *walk) node(n *onnx.Node) error {
	needs, any := make([]bool, len(n.Inputs)), false
	for i, in := range n.Inputs {
		needs[i] = in != nil && w.reached[in]
		any = any || needs[i]
	}
	o, known := op.Lookup(n.Op)
	if !any || !known || !o.Grad.Differentiable() {
		return nil
	}
	w.b.In("grad/"+n.Name, func() {
		dy, some := make([]*onnx.Value, len(n.Outputs)), false
		for i, out := range n.Outputs {
			if dy[i] = w.total(out); dy[i] != nil {
				some = true
				if !w.mayStaySmall(n, needs) {
					dy[i] = w.expand(dy[i], out)
				}
			}
		}
		if !some {
			return
		}
		if o.Grad.Rule == nil {
			w.b.Fail("the gradient of %s is not built: %s", n.Op, o.Grad.Reason)
			return
		}
		dx := o.Grad.Rule(&op.Backward{Builder: w.b, Needs: needs}, n, dy)
		for i, g := range dx {
			if g != nil && needs[i] && w.b.Err() == nil {
				in := n.Inputs[i]
				w.arrived[in] = append(w.arrived[in], w.reduce(g, in))
			}
		}
	})
	return w.b.Err()
}

// mayStaySmall reports whether a gradient that broadcasts to the output may be
// used as it is: by elementwise operators none of whose inputs is broadcast.
func (w *walk) mayStaySmall(n *onnx.Node, needs []bool) bool {
	if !op.Elementwise(n.Op) {
		return false
	}
	for i, in := range n.Inputs {
		if needs[i] && !sameShape(in, n.Outputs[0]) {
			return false
		}
	}
	return true
}

func sameShape(x, y *onnx.Value) bool {
	return onnx.Type{Shape: x.Type.Shape}.Equal(onnx.Type{Shape: y.Type.Shape})
}

// expand repeats a gradient to the shape of the value it belongs to.
func (w *walk) expand(g, like *onnx.Value) *onnx.Value {
	if w.b.Err() != nil || sameShape(g, like) {
		return g
	}
	if sizes, ok := like.Type.Static(); ok {
		return w.b.Op("Expand", nil, g, w.b.Ints(sizes...))
	}
	return w.b.Add(w.b.Sub(like, like), g)
}

// reduce undoes broadcasting: it sums g over the dimensions along which in was repeated.
func (w *walk) reduce(g, in *onnx.Value) *onnx.Value {
	lead := len(g.Type.Shape) - len(in.Type.Shape)
	var axes []int64
	for i := range g.Type.Shape {
		if i < lead || in.Type.Shape[i-lead].Size == 1 && g.Type.Shape[i].Size != 1 {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) == 0 {
		return g
	}
	sum := w.b.ReduceSum(g, true, axes...)
	if lead <= 0 {
		return sum
	}
	front := make([]int64, lead)
	for i := range front {
		front[i] = int64(i)
	}
	return w.b.Squeeze(sum, front...)
}
