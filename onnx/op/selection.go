package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// selections choose detections in exported models. Nothing is trained through them.
var selections = []Op{
	{"TopK", 2, []int64{1, 10, 11, 24}, inferTopK, Unsupported("used in exported models only")},
	{"NonMaxSuppression", 2, []int64{10, 11}, inferNonMaxSuppression, NoGrad},
	{"GatherND", 2, []int64{11, 12, 13}, inferGatherND, Unsupported("used in exported models only")},
	{"GatherElements", 2, []int64{11, 13}, inferGatherElements, Unsupported("used in exported models only")},
}

func inferTopK(n *onnx.Node) ([]onnx.Type, error) {
	in := n.Inputs[0].Type
	axis, err := axisOf(n.Int("axis", -1), len(in.Shape))
	if err != nil {
		return nil, err
	}
	out := append([]onnx.Dim{}, in.Shape...)
	out[axis] = onnx.Dim{Size: onnx.Unknown}
	if n.Inputs[1].Const != nil {
		k, err := constSizes(n, 1, "k")
		switch {
		case err != nil:
			return nil, err
		case len(k) != 1 || in.Shape[axis].Known() && k[0] > in.Shape[axis].Size:
			return nil, fmt.Errorf("the largest %v along axis %d of %v", k, axis, in)
		}
		out[axis].Size = k[0]
	}
	return []onnx.Type{{DType: in.DType, Shape: out}, {DType: onnx.Int64, Shape: out}}, nil
}

// TopK returns the k largest values along an axis, falling, and their indices.
func (o Layout) TopK(x *onnx.Value, k, axis int64) (values, indices *onnx.Value) {
	b := o.b
	out := b.Ops("TopK", 2, Attrs{"axis": axis}, x, b.Ints(k))
	return out[0], out[1]
}

func inferNonMaxSuppression(n *onnx.Node) ([]onnx.Type, error) {
	boxes, scores := n.Inputs[0].Type, n.Inputs[1].Type
	if len(boxes.Shape) != 3 || len(scores.Shape) != 3 || boxes.Shape[2].Known() && boxes.Shape[2].Size != 4 {
		return nil, fmt.Errorf("takes boxes [N,rows,4] and scores [N,classes,rows], not %v and %v", boxes, scores)
	}
	return []onnx.Type{{DType: onnx.Int64, Shape: []onnx.Dim{{Size: onnx.Unknown}, {Size: 3}}}}, nil
}

func inferGatherND(n *onnx.Node) ([]onnx.Type, error) {
	data, indices := n.Inputs[0].Type, n.Inputs[1].Type
	if len(data.Shape) == 0 || len(indices.Shape) == 0 {
		return nil, fmt.Errorf("picks from %v by %v", data, indices)
	}
	last, batch := indices.Shape[len(indices.Shape)-1], n.Int("batch_dims", 0)
	if !last.Known() || batch != 0 || last.Size < 1 || last.Size > int64(len(data.Shape)) {
		return nil, fmt.Errorf("picks from %v by %v, batch_dims %d", data, indices, batch)
	}
	shape := append([]onnx.Dim{}, indices.Shape[:len(indices.Shape)-1]...)
	return []onnx.Type{{DType: data.DType, Shape: append(shape, data.Shape[last.Size:]...)}}, nil
}

func inferGatherElements(n *onnx.Node) ([]onnx.Type, error) {
	data, indices := n.Inputs[0].Type, n.Inputs[1].Type
	if _, err := axisOf(n.Int("axis", 0), len(data.Shape)); err != nil || len(data.Shape) != len(indices.Shape) {
		return nil, fmt.Errorf("picks from %v by %v along axis %d", data, indices, n.Int("axis", 0))
	}
	return []onnx.Type{{DType: data.DType, Shape: indices.Shape}}, nil
}
