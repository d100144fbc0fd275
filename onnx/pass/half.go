package pass

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Half turns a model's float32 into float16, its inputs and outputs too. The
// scales of Resize stay float32, as its schema asks.
var Half = Pass{"half", toHalf}

func toHalf(m *onnx.Model) error {
	scales := map[*onnx.Value]bool{}
	for _, n := range m.Nodes {
		if n.Op == "Resize" {
			scales[n.Input(2)] = true
		}
		for i, a := range n.Attrs {
			if n.Op == "Cast" && a.Name == "to" && a.Value == int64(onnx.Float) {
				n.Attrs[i].Value = int64(onnx.Float16)
			}
		}
	}
	for _, v := range m.Initializers {
		if v.Const.DType != onnx.Float || scales[v] {
			continue
		}
		t, err := HalfTensor(v.Name, v.Const)
		if err != nil {
			return err
		}
		v.Const, v.Type = t, onnx.TypeOf(t)
	}
	for _, v := range m.Inputs {
		if v.Type.DType == onnx.Float {
			v.Type.DType = onnx.Float16
		}
	}
	return op.InferTypes(m)
}

// HalfTensor rounds a tensor to float16, unless that makes a number infinite.
// Errors call it by the name given.
func HalfTensor(name string, t *onnx.Tensor) (*onnx.Tensor, error) {
	largest := float32(narrowTypes[onnx.Float16].largest)
	for i, v := range t.Float32s() {
		if v > largest || v < -largest {
			return nil, fmt.Errorf("%s holds %g at %d, float16 ends at ±%g", name, v, i, largest)
		}
	}
	return t.ToFloat16(), nil
}
