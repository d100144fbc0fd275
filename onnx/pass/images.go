package pass

import (
	"errors"
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// AnyPictures is the shape of RGB planes, as many and of the size that a run brings.
func AnyPictures() []onnx.Dim {
	return []onnx.Dim{onnx.Sym("batch"), {Size: 3}, onnx.Sym("height"), onnx.Sym("width")}
}

// TakePixels lets a model of pictures [N,3,H,W] in 0…1, its first input, take
// what cameras and decoders give: images, uint8 [N,H,W,3].
var TakePixels = Pass{"take-pixels", takePixels}

func takePixels(m *onnx.Model) error {
	images := m.Inputs[0]
	s := images.Type.Shape
	return feed(m, []onnx.Dim{s[0], s[2], s[3], s[1]}, func(b *op.Builder, raw *onnx.Value) *onnx.Value {
		return b.FromBytes(b.Transpose(raw, 0, 3, 1, 2), images.Type.DType)
	})
}

// Evaluate makes an evaluation graph of an export, whose one input is pictures
// [N,3,H,W] in 0…1 or uint8 [N,H,W,3], and whose types are known: images, planes
// of bytes of any size, to the raw outputs as head0, head1, …, float32. heads
// are the values that hold them.
func Evaluate(heads []string) Pass {
	return Pass{"evaluate", func(m *onnx.Model) error { return evaluate(m, heads) }}
}

func evaluate(m *onnx.Model, heads []string) error {
	values := map[string]*onnx.Value{}
	for _, n := range m.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				values[v.Name] = v
			}
		}
	}
	if len(m.Inputs) != 1 || len(m.Inputs[0].Type.Shape) != 4 {
		return errors.New("want one input, pictures")
	}
	images := m.Inputs[0]
	m.Outputs = nil
	err := feed(m, AnyPictures(), func(b *op.Builder, raw *onnx.Value) *onnx.Value {
		if images.Type.DType == onnx.Uint8 {
			return b.Transpose(raw, 0, 2, 3, 1)
		}
		return b.FromBytes(raw, images.Type.DType)
	})
	if err != nil {
		return err
	}
	b := op.Extend(m)
	for i, name := range heads {
		v := values[name]
		if v == nil {
			return fmt.Errorf("%q, a raw output, is nowhere", name)
		}
		b.Output(fmt.Sprintf("head%d", i), b.Cast(v, onnx.Float))
	}
	if b.Err() != nil {
		return b.Err()
	}
	if err := DropUnused(m); err != nil {
		return err
	}
	return op.InferTypes(m)
}

// feed gives a model the input images, bytes of the given shape, in the place
// of its first one, which becomes what build makes of them.
func feed(m *onnx.Model, shape []onnx.Dim, build func(b *op.Builder, raw *onnx.Value) *onnx.Value) error {
	was, nodes := m.Inputs[0], m.Nodes
	m.Inputs, m.Nodes = nil, nil
	b := op.Extend(m)
	raw := b.Input("images", onnx.Uint8, shape)
	var x *onnx.Value
	b.In("pixels", func() { x = build(b, raw) })
	for _, n := range nodes {
		for i, in := range n.Inputs {
			if in == was {
				n.Inputs[i] = x
			}
		}
	}
	m.Nodes = append(m.Nodes, nodes...)
	return b.Err()
}
