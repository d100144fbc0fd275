package op

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

var convolutions = []Op{
	{"Conv", 2, []int64{1, 11, 22}, inferConv, rule(gradConv)},
	{"ConvTranspose", 2, []int64{1, 11, 22}, inferConvTranspose, Unsupported("only gradients are transposed convolutions")},
}

// Window is the geometry of a 2-D convolution or pool: kernel, stride,
// padding (top, left, bottom, right), dilation; and a convolution's groups.
type Window struct {
	Kernel, Stride, Dilation [2]int64
	Pads                     [4]int64
	Groups                   int64
}

// Square is the window of a k×k kernel with the same stride and padding on every side.
func Square(k, stride, pad int64) Window {
	return Window{[2]int64{k, k}, [2]int64{stride, stride}, [2]int64{1, 1}, [4]int64{pad, pad, pad, pad}, 1}
}

func (w Window) attrs() Attrs {
	a := Attrs{"kernel_shape": slices.Clone(w.Kernel[:]), "strides": slices.Clone(w.Stride[:]), "pads": slices.Clone(w.Pads[:])}
	if w.Dilation != [2]int64{1, 1} {
		a["dilations"] = slices.Clone(w.Dilation[:])
	}
	return a
}

func (w Window) isSquare(k, stride, pad int64) bool {
	s := Square(k, stride, pad)
	return w.Kernel == s.Kernel && w.Stride == s.Stride && w.Pads == s.Pads && w.Dilation == s.Dilation && w.Groups <= 1
}

// ungrouped is the window with its groups forgotten.
func (w Window) ungrouped() Window {
	w.Groups = 1
	return w
}

// ReadWindow reads a node's window; kernel stands in for a missing kernel_shape.
func ReadWindow(n *onnx.Node, kernel []onnx.Dim) (Window, error) {
	w := Window{Groups: n.Int("group", 1)}
	k := n.Ints("kernel_shape", nil)
	for i := 0; k == nil && i < len(kernel); i++ {
		if !kernel[i].Known() {
			return w, fmt.Errorf("the kernel's size is unknown")
		}
	}
	if k == nil {
		for _, d := range kernel {
			k = append(k, d.Size)
		}
	}
	strides, dilations := n.Ints("strides", []int64{1, 1}), n.Ints("dilations", []int64{1, 1})
	pads := n.Ints("pads", []int64{0, 0, 0, 0})
	if len(k) != 2 || len(strides) != 2 || len(dilations) != 2 || len(pads) != 4 {
		return w, fmt.Errorf("is not 2-dimensional: kernel %v, strides %v, dilations %v, pads %v", k, strides, dilations, pads)
	}
	if auto := n.Str("auto_pad", "NOTSET"); auto != "NOTSET" && auto != "VALID" {
		return w, fmt.Errorf("auto_pad %s: explicit pads are wanted", auto)
	}
	if w.Groups < 1 {
		return w, fmt.Errorf("has %d groups", w.Groups)
	}
	w.Kernel, w.Stride, w.Dilation, w.Pads = [2]int64(k), [2]int64(strides), [2]int64(dilations), [4]int64(pads)
	for i := range 2 {
		if w.Kernel[i] < 1 || w.Stride[i] < 1 || w.Dilation[i] < 1 {
			return w, fmt.Errorf("kernel %v, strides %v, dilations %v", k, strides, dilations)
		}
	}
	return w, nil
}

// slide returns the output's height and width.
func (w Window) slide(space []onnx.Dim) ([]onnx.Dim, error) {
	out := make([]onnx.Dim, 2)
	for i, d := range space {
		if !d.Known() {
			out[i] = onnx.Dim{Size: onnx.Unknown}
			continue
		}
		span := d.Size + w.Pads[i] + w.Pads[2+i] - w.Dilation[i]*(w.Kernel[i]-1) - 1
		if span < 0 {
			return nil, fmt.Errorf("a kernel of %v does not fit in %v", w.Kernel, space)
		}
		out[i] = onnx.Dim{Size: span/w.Stride[i] + 1}
	}
	return out, nil
}

func inferConv(n *onnx.Node) ([]onnx.Type, error) {
	x, w := n.Inputs[0].Type, n.Inputs[1].Type
	if len(x.Shape) != 4 || len(w.Shape) != 4 {
		return nil, fmt.Errorf("takes NCHW and a kernel of rank 4, not %v and %v", x, w)
	}
	win, err := ReadWindow(n, w.Shape[2:])
	if err != nil {
		return nil, err
	}
	if c, k := x.Shape[1], w.Shape[1]; c.Known() && k.Known() && c.Size != k.Size*win.Groups {
		return nil, fmt.Errorf("input %v and kernel %v differ in channels (groups %d)", x, w, win.Groups)
	}
	space, err := win.slide(x.Shape[2:])
	if err != nil {
		return nil, err
	}
	return []onnx.Type{{DType: x.DType, Shape: []onnx.Dim{x.Shape[0], w.Shape[0], space[0], space[1]}}}, nil
}

func inferConvTranspose(n *onnx.Node) ([]onnx.Type, error) {
	x, w := n.Inputs[0].Type, n.Inputs[1].Type
	if len(x.Shape) != 4 || len(w.Shape) != 4 {
		return nil, fmt.Errorf("takes NCHW and a kernel of rank 4, not %v and %v", x, w)
	}
	win, err := ReadWindow(n, w.Shape[2:])
	if err != nil {
		return nil, err
	}
	extra := n.Ints("output_padding", []int64{0, 0})
	if len(extra) != 2 {
		return nil, fmt.Errorf("output_padding is %v", extra)
	}
	shape := []onnx.Dim{x.Shape[0], {Size: w.Shape[1].Size * win.Groups}, {Size: onnx.Unknown}, {Size: onnx.Unknown}}
	for i, d := range x.Shape[2:] {
		if d.Known() {
			shape[2+i].Size = (d.Size-1)*win.Stride[i] + extra[i] + win.Dilation[i]*(win.Kernel[i]-1) + 1 - win.Pads[i] - win.Pads[2+i]
		}
	}
	return []onnx.Type{{DType: x.DType, Shape: shape}}, nil
}

// Conv convolves x [N,C,H,W] with w [K,C/groups,kh,kw] and adds bias [K] unless it is nil.
func (o Layers) Conv(x, w, bias *onnx.Value, win Window) *onnx.Value {
	b := o.b
	attrs := win.attrs()
	if win.Groups > 1 {
		attrs["group"] = win.Groups
	}
	return b.Op("Conv", attrs, x, w, bias)
}

func gradConv(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value {
	dx := make([]*onnx.Value, len(n.Inputs))
	w, err := ReadWindow(n, n.Inputs[1].Type.Shape[2:])
	if err != nil {
		b.Fail("%w", err)
		return dx
	}
	if b.Needs[0] {
		dx[0] = b.convInputGradient(n, dy[0], w)
	}
	if b.Needs[1] {
		dx[1] = b.Rename(b.convWeightGradient(n, dy[0], w), "dW")
	}
	if len(dx) > 2 && b.Needs[2] {
		dx[2] = b.ReduceSum(dy[0], false, 0, 2, 3)
	}
	return dx
}

// convInputGradient is the convolution of dY with the kernel transposed and
// turned by 180°. A stride of 2 (3×3, pad 1) becomes four phases of the
// output side by side and a DepthToSpace: ConvTranspose, the general answer,
// is several times slower on CPU.
func (b *Backward) convInputGradient(n *onnx.Node, dy *onnx.Value, w Window) *onnx.Value {
	x, kernel := n.Inputs[0].Type.Shape, n.Inputs[1]
	k, p := w.Kernel[0], w.Pads[0]
	even := x[2].Known() && x[3].Known() && x[2].Size%2 == 0 && x[3].Size%2 == 0
	switch {
	case w.isSquare(1, 1, 0):
		return b.Conv(dy, b.Transpose(kernel, 1, 0, 2, 3), nil, w)
	case w.ungrouped().isSquare(k, 1, p) && p < k:
		turn := Square(k, 1, k-1-p)
		turn.Groups = w.Groups
		return b.Conv(dy, b.turned(kernel, w.Groups), nil, turn)
	case w.isSquare(3, 2, 1) && even:
		return b.DepthToSpace(b.Conv(b.Pad(dy, 0, 0, 0, 0, 0, 0, 1, 1), b.phases(kernel), nil, Square(2, 1, 0)), 2)
	}
	extra := make([]int64, 2)
	for i := range 2 {
		if !x[2+i].Known() {
			return b.Fail("the gradient of a strided Conv needs the input's size")
		}
		extra[i] = (x[2+i].Size + w.Pads[i] + w.Pads[2+i] - w.Dilation[i]*(w.Kernel[i]-1) - 1) % w.Stride[i]
	}
	attrs := w.attrs()
	attrs["output_padding"] = extra
	if w.Groups > 1 {
		attrs["group"] = w.Groups
	}
	return b.Op("ConvTranspose", attrs, dy, kernel)
}

// turned makes [C,K/groups,k,k] turned by 180° from [K,C/groups,k,k]. The turn
// is a reversal of the flattened taps, done with the taps outermost, where it
// moves whole blocks.
func (b *Backward) turned(kernel *onnx.Value, groups int64) *onnx.Value {
	s, ok := kernel.Type.Static()
	if !ok {
		return b.Fail("the kernel's shape %v is not static", kernel.Type)
	}
	reversed := func(taps *onnx.Value) *onnx.Value {
		return b.Op("Slice", nil, taps, b.Ints(-1), b.Ints(-1<<31), b.Ints(0), b.Ints(-1))
	}
	if groups == 1 {
		taps := b.Transpose(b.Reshape(kernel, s[0], s[1], s[2]*s[3]), 2, 1, 0)
		return b.Reshape(b.Transpose(reversed(taps), 1, 2, 0), s[1], s[0], s[2], s[3])
	}
	taps := b.Transpose(b.Reshape(kernel, groups, s[0]/groups, s[1], s[2]*s[3]), 3, 0, 2, 1)
	return b.Reshape(b.Transpose(reversed(taps), 1, 2, 3, 0), groups*s[1], s[0]/groups, s[2], s[3])
}

// phases regroups a 3×3 kernel [K,C,3,3] of stride 2, pad 1 into [4C,K,2,2].
// Row 2i+a of dX takes rows i+t of dY, t = 0, 1, through kernel row a+1-2t;
// padded in front by a row of zeros that is row a+2(1-t).
func (b *Backward) phases(kernel *onnx.Value) *onnx.Value {
	s, ok := kernel.Type.Static()
	if !ok {
		return b.Fail("the kernel's shape %v is not static", kernel.Type)
	}
	padded := b.Pad(kernel, 0, 0, 1, 1, 0, 0, 0, 0)
	split := b.Reshape(padded, s[0], s[1], 2, 2, 2, 2) // K, C, 1-t, a, 1-u, b
	grouped := b.Reshape(b.Transpose(split, 2, 4, 3, 5, 1, 0), 4, 4*s[1]*s[0])
	reversed := b.Op("Slice", nil, grouped, b.Ints(-1), b.Ints(-1<<31), b.Ints(0), b.Ints(-1))
	taps := b.Reshape(reversed, 2, 2, 4*s[1], s[0])
	return b.Transpose(taps, 2, 3, 0, 1)
}

// convWeightGradient multiplies dY by the unfolded input, image by image, and adds the images up.
func (b *Backward) convWeightGradient(n *onnx.Node, dy *onnx.Value, w Window) *onnx.Value {
	x, kernel := n.Inputs[0], n.Inputs[1].Type
	xs, ok1 := x.Type.Static()
	ks, ok2 := kernel.Static()
	ys, ok3 := dy.Type.Static()
	if !ok1 || !ok2 || !ok3 {
		return b.Fail("the weight gradient of Conv needs static shapes, not %v", x.Type)
	}
	if w.Dilation != [2]int64{1, 1} || w.Stride[0] != w.Stride[1] || w.Stride[0] > 2 {
		return b.Fail("the weight gradient of a Conv with dilations %v, strides %v is not built", w.Dilation, w.Stride)
	}
	if w.isSquare(1, 1, 0) {
		product := b.MatMul(b.Reshape(dy, ys[0], ys[1], -1), b.swapLast(b.Reshape(x, xs[0], xs[1], -1)))
		return b.Reshape(b.ReduceSum(product, false, 0), ks...)
	}
	taps, width := b.unfold(x, w, ys[2], ys[3])
	padded := b.Pad(dy, 0, 0, 0, 0, 0, 0, 0, width-ys[3])
	rows := b.Reshape(padded, w.split(ys[0], ys[1], ys[2]*width)...)
	product := b.MatMul(rows, b.swapLast(taps)) // N, K, kh·kw·C, or N, groups, K/groups, kh·kw·C/groups
	sum := b.Reshape(b.ReduceSum(product, false, 0), ks[0], ks[2]*ks[3], ks[1])
	return b.Reshape(b.Transpose(sum, 0, 2, 1), ks...)
}

// split is a shape of pictures, channels and pixels with the channels' groups, where there are several, apart.
func (w Window) split(n, channels, pixels int64) []int64 {
	if w.Groups == 1 {
		return []int64{n, channels, pixels}
	}
	return []int64{n, w.Groups, channels / w.Groups, pixels}
}

// unfold lays the input's taps under the output: [N, kh·kw·C, height·width'],
// for groups [N, groups, kh·kw·C/groups, height·width'].
// Rows are flattened with their padding to width', so that each tap is one
// contiguous slice; what wraps around meets the zeros that pad dY's rows. A
// stride of 2 first becomes 1 by SpaceToDepth.
func (b *Backward) unfold(x *onnx.Value, w Window, height, width int64) (*onnx.Value, int64) {
	s, _ := x.Type.Static()
	stride := w.Stride[0]
	reach := [2]int64{(w.Kernel[0]-1)/stride + 1, (w.Kernel[1]-1)/stride + 1} // taps per phase
	wide := width + reach[1] - 1
	// one row more at the bottom than the taps touch, for the last tap's tail
	bottom := (height+reach[0])*stride - s[2] - w.Pads[0]
	right := wide*stride - s[3] - w.Pads[1]
	planes := []*onnx.Value{b.Pad(x, 0, 0, w.Pads[0], w.Pads[1], 0, 0, bottom, right)}
	if stride == 2 {
		planes = b.Split(b.SpaceToDepth(planes[0], 2), 1, s[1], s[1], s[1], s[1])
	}
	for i, p := range planes {
		planes[i] = b.Reshape(p, w.split(s[0], s[1], (height+reach[0])*wide)...)
	}
	pixels := int64(len(w.split(0, 0, 0)) - 1)
	var taps []*onnx.Value
	for ky := range w.Kernel[0] {
		for kx := range w.Kernel[1] {
			plane := planes[ky%stride*stride+kx%stride]
			start := ky/stride*wide + kx/stride
			taps = append(taps, b.Slice(plane, pixels, start, start+height*wide))
		}
	}
	return b.Concat(pixels-1, taps...), wide
}
