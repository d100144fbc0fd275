package pass

import (
	"math"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// FoldBatchNorm folds a BatchNormalization of constant statistics, scale and
// shift into the constant Conv before it, where that Conv feeds nothing else:
// w' = w·s/√(v+ε), b' = (b-m)·s/√(v+ε) + shift.
func FoldBatchNorm(m *onnx.Model) error {
	readers := uses(m)
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "BatchNormalization" || n.Int("training_mode", 0) == 1 || !allConst(n.Inputs[1:]) {
			return nil, false
		}
		x := n.Inputs[0]
		conv := x.Node
		if conv == nil || conv.Op != "Conv" || readers[x] != 1 || !allConst(conv.Inputs[1:]) {
			return nil, false
		}
		scale, shift := n.Inputs[1].Const.Float64s(), n.Inputs[2].Const.Float64s()
		mean, variance := n.Inputs[3].Const.Float64s(), n.Inputs[4].Const.Float64s()
		weight := conv.Inputs[1].Const
		folded := weight.Float64s()
		bias := make([]float64, len(scale))
		if conv.Input(2) != nil {
			bias = conv.Inputs[2].Const.Float64s()
		}
		each := len(folded) / len(scale)
		kernel, shifts := make([]float32, len(folded)), make([]float32, len(scale))
		for c := range scale {
			f := scale[c] / math.Sqrt(variance[c]+float64(n.Float("epsilon", 1e-5)))
			shifts[c] = float32((bias[c]-mean[c])*f + shift[c])
			for i := c * each; i < (c+1)*each; i++ {
				kernel[i] = float32(folded[i] * f)
			}
		}
		w := b.Const(onnx.Of(kernel, weight.Shape...))
		win, err := op.ReadWindow(conv, conv.Inputs[1].Type.Shape[2:])
		if err != nil {
			b.Fail("%w", err)
		}
		return []*onnx.Value{b.Conv(conv.Inputs[0], w, b.Const(onnx.Of(shifts, int64(len(shifts)))), win)}, true
	})
}

// NameFolded gives what folding made of a Conv and its BatchNorm the names that
// YOLOv5's exporter gives it, those of the Conv: readers of exports find layers by them.
var NameFolded = Pass{"name-folded", nameFolded}

func nameFolded(m *onnx.Model) error {
	for _, n := range m.Nodes {
		module, _, folded := strings.Cut(n.Name, ".bn/")
		if n.Op != "Conv" || !folded {
			continue
		}
		n.Name = module + ".conv/Conv"
		n.Outputs[0].Name = n.Name
		for i, part := range []string{".conv.weight", ".conv.bias"} {
			v := &onnx.Value{Name: module + part, Type: n.Inputs[i+1].Type, Const: n.Inputs[i+1].Const}
			n.Inputs[i+1] = v // equal constants were one until now
			m.Initializers = append(m.Initializers, v)
		}
	}
	return nil
}

func allConst(values []*onnx.Value) bool {
	for _, v := range values {
		if v == nil || v.Const == nil {
			return false
		}
	}
	return true
}

// LowerBatchNorm replaces training-mode BatchNormalization by its statistics
// and the inference form: ONNX Runtime's CUDA provider refuses training mode
// at opset 14 and above.
func LowerBatchNorm(m *onnx.Model) error {
	return rewrite(m, func(b *op.Builder, n *onnx.Node) ([]*onnx.Value, bool) {
		if n.Op != "BatchNormalization" || n.Int("training_mode", 0) != 1 {
			return nil, false
		}
		_, variance, centred := b.BatchStatistics(n.Inputs[0])
		zeros := b.Const(onnx.NewTensor(onnx.Float, n.Inputs[1].Type.Shape[0].Size))
		y := b.BatchNorm(centred, n.Inputs[1], n.Inputs[2], zeros, b.Reshape(variance, -1), n.Float("epsilon", 1e-5))
		return []*onnx.Value{y}, true
	})
}
