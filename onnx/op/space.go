package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// scaleSpace multiplies the two spatial dimensions of an NCHW shape by num/den.
func scaleSpace(in onnx.Type, channels onnx.Dim, num, den int64) (onnx.Type, error) {
	if len(in.Shape) != 4 {
		return onnx.Type{}, fmt.Errorf("takes NCHW tensors, not %v", in)
	}
	shape := []onnx.Dim{in.Shape[0], channels, {Size: onnx.Unknown}, {Size: onnx.Unknown}}
	for i := 2; i < 4; i++ {
		if d := in.Shape[i]; d.Known() {
			if d.Size*num%den != 0 {
				return onnx.Type{}, fmt.Errorf("size %d is not a multiple of %d", d.Size, den)
			}
			shape[i].Size = d.Size * num / den
		}
	}
	return onnx.Type{DType: in.DType, Shape: shape}, nil
}

func inferDepthToSpace(n *onnx.Node) ([]onnx.Type, error) {
	in, block := n.Inputs[0].Type, n.Int("blocksize", 0)
	if len(in.Shape) != 4 || block < 1 || !in.Shape[1].Known() || in.Shape[1].Size%(block*block) != 0 {
		return nil, fmt.Errorf("block size %d on %v", block, in)
	}
	t, err := scaleSpace(in, onnx.Dim{Size: in.Shape[1].Size / (block * block)}, block, 1)
	return []onnx.Type{t}, err
}

func inferSpaceToDepth(n *onnx.Node) ([]onnx.Type, error) {
	in, block := n.Inputs[0].Type, n.Int("blocksize", 0)
	if len(in.Shape) != 4 || block < 1 || !in.Shape[1].Known() {
		return nil, fmt.Errorf("block size %d on %v", block, in)
	}
	t, err := scaleSpace(in, onnx.Dim{Size: in.Shape[1].Size * block * block}, 1, block)
	return []onnx.Type{t}, err
}

// DepthToSpace moves blocks of channels into space, in the order DCR:
// channel (r·block+c)·C+k becomes pixel (r,c) of each block of channel k.
func (o Layout) DepthToSpace(x *onnx.Value, block int64) *onnx.Value {
	return o.b.Op("DepthToSpace", Attrs{"blocksize": block, "mode": "DCR"}, x)
}

// SpaceToDepth is the inverse of DepthToSpace.
func (o Layout) SpaceToDepth(x *onnx.Value, block int64) *onnx.Value {
	return o.b.Op("SpaceToDepth", Attrs{"blocksize": block}, x)
}

func gradDepthToSpace(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	if mode := n.Str("mode", "DCR"); mode != "DCR" {
		return []*onnx.Value{b.Fail("the gradient of DepthToSpace is built for mode DCR, not %s", mode)}
	}
	return []*onnx.Value{b.SpaceToDepth(dy[0], n.Int("blocksize", 0))}
}

func gradSpaceToDepth(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	return []*onnx.Value{b.DepthToSpace(dy[0], n.Int("blocksize", 0))}
}

func inferResize(n *onnx.Node) ([]onnx.Type, error) {
	in := n.Inputs[0].Type
	shape := append([]onnx.Dim{}, in.Shape...)
	if v := n.Input(2); v != nil && v.Const != nil && v.Const.Len() == len(shape) {
		scales := v.Const.Float64s()
		for i, s := range scales {
			switch {
			case !(s > 0):
				return nil, fmt.Errorf("scales are %v", scales)
			case shape[i].Known():
				shape[i] = onnx.Dim{Size: int64(float64(shape[i].Size) * s)}
			case s != 1:
				shape[i] = onnx.Dim{Size: onnx.Unknown}
			}
		}
		return []onnx.Type{{DType: in.DType, Shape: shape}}, nil
	}
	sizes, err := constSizes(n, 3, "the list of scales or sizes")
	if err != nil {
		return nil, err
	}
	return []onnx.Type{{DType: in.DType, Shape: onnx.Dims(sizes...)}}, nil
}

// Upsample2 doubles height and width by repeating pixels, as nn.Upsample(scale_factor=2, mode="nearest") does.
func (o Layout) Upsample2(x *onnx.Value) *onnx.Value {
	b := o.b
	attrs := Attrs{"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
	return b.Op("Resize", attrs, x, nil, b.Const(onnx.Of([]float32{1, 1, 2, 2}, 4)))
}

// gradResize sums each 2×2 block, as four times its mean.
func gradResize(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	scales := []float64(nil)
	if v := n.Input(2); v != nil && v.Const != nil {
		scales = v.Const.Float64s()
	}
	if n.Str("mode", "nearest") != "nearest" || len(scales) != 4 || scales[2] != 2 || scales[3] != 2 {
		return []*onnx.Value{b.Fail("the gradient of Resize is built for nearest ×2 only")}
	}
	mean := b.Op("AveragePool", Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, dy[0])
	return []*onnx.Value{b.Scale(mean, 4)}
}
