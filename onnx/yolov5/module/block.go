package module

import (
	"fmt"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/yolov5"
)

const common = "models.common" // where YOLOv5's blocks are

// block is a module of YOLOv5's that is called prefix: its children, and what it must know.
func (b *builder) block(kind, prefix string) torch.Instance {
	conv := func(names ...string) (list []torch.Item) {
		for _, name := range names {
			list = append(list, item(name, b.conv("Conv", prefix+"."+name)))
		}
		return list
	}
	inner := func(module torch.Instance) torch.Item { return item("m", module) }
	chain := func(kind string) torch.Item {
		var links []torch.Item
		for i := 0; b.has(fmt.Sprintf("%s.m.%d.", prefix, i)); i++ {
			links = append(links, item(strconv.Itoa(i), b.block(kind, fmt.Sprintf("%s.m.%d", prefix, i))))
		}
		return inner(b.sequential(links...))
	}
	var children, attributes []torch.Item
	switch kind {
	case "Conv", "DWConv":
		return b.conv(kind, prefix)
	case "Focus":
		children = conv("conv")
	case "GhostConv":
		children = conv("cv1", "cv2")
	case "Bottleneck":
		children, attributes = conv("cv1", "cv2"), []torch.Item{item("add", b.adds[prefix])}
	case "GhostBottleneck":
		children = b.ghost(prefix)
	case "C3":
		children = append(conv("cv1", "cv2", "cv3"), chain("Bottleneck"))
	case "C3Ghost":
		children = append(conv("cv1", "cv2", "cv3"), chain("GhostBottleneck"))
	case "C3SPP":
		children = append(conv("cv1", "cv2", "cv3"), inner(b.block("SPP", prefix+".m")))
	case "BottleneckCSP":
		children = append(conv("cv1"), item("cv2", b.kernel(prefix+".cv2")), item("cv3", b.kernel(prefix+".cv3")))
		children = append(children, conv("cv4")...)
		children = append(children, item("bn", b.norm(prefix)), item("act", b.activation(prefix)), chain("Bottleneck"))
	case "SPP":
		var pools []torch.Item
		for i, k := range b.pools[prefix] {
			pools = append(pools, item(strconv.Itoa(i), b.pool(k)))
		}
		children = append(conv("cv1", "cv2"), inner(b.instance("torch.nn.modules.container", "ModuleList", pools)))
	case "SPPF":
		children = append(conv("cv1", "cv2"), inner(b.pool(b.pools[prefix][0])))
	case "Concat":
		attributes = []torch.Item{item("d", 1)}
	case "Upsample":
		return b.instance("torch.nn.modules.upsampling", kind, nil, item("name", kind), item("size", nil),
			item("scale_factor", 2.0), item("mode", "nearest"), item("align_corners", nil), item("recompute_scale_factor", nil))
	default:
		b.fail("%s: YOLOv5's %s is not known to be written", prefix, kind)
	}
	return b.instance(common, kind, children, attributes...)
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// has tells whether anything of the state begins so.
func (b *builder) has(prefix string) bool {
	for name := range b.state {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func (b *builder) sequential(links ...torch.Item) torch.Instance {
	return b.instance("torch.nn.modules.container", "Sequential", links)
}

// ghost lists the children of a GhostBottleneck; with stride 1 some are not there.
func (b *builder) ghost(prefix string) []torch.Item {
	nothing := b.instance("torch.nn.modules.linear", "Identity", nil)
	between, shortcut := nothing, nothing
	if b.has(prefix + ".conv.1.") {
		between = b.conv("DWConv", prefix+".conv.1")
		shortcut = b.sequential(item("0", b.conv("DWConv", prefix+".shortcut.0")), item("1", b.conv("Conv", prefix+".shortcut.1")))
	}
	return []torch.Item{
		item("conv", b.sequential(item("0", b.block("GhostConv", prefix+".conv.0")),
			item("1", between), item("2", b.block("GhostConv", prefix+".conv.2")))),
		item("shortcut", shortcut),
	}
}

// conv is a Conv or DWConv: convolution, BatchNorm, activation.
func (b *builder) conv(kind, prefix string) torch.Instance {
	return b.instance(common, kind, []torch.Item{
		item("conv", b.kernel(prefix+".conv")), item("bn", b.norm(prefix)), item("act", b.activation(prefix))})
}

// kernel is a Conv2d; a bias that BatchNorm left there goes back to it.
func (b *builder) kernel(prefix string) torch.Instance {
	node, weight := b.windows[prefix], b.state[prefix+".weight"]
	if node == nil || weight == nil {
		b.fail("the weights lack %s.weight", prefix)
		return torch.Instance{}
	}
	var bias any
	if t := b.state[prefix+".bias"]; t != nil && !strings.HasSuffix(prefix, ".conv") {
		bias = torch.Parameter{Tensor: t}
	}
	groups := max(node.Int("group", 1), 1)
	stride, pads := node.Ints("strides", nil), node.Ints("pads", nil)
	two := func(a, b int64) torch.Tuple { return torch.Tuple{a, b} }
	return b.instance("torch.nn.modules.conv", "Conv2d", []torch.Item{item("weight", torch.Parameter{Tensor: weight}), item("bias", bias)},
		item("in_channels", weight.Shape[1]*groups), item("out_channels", weight.Shape[0]),
		item("kernel_size", two(weight.Shape[2], weight.Shape[3])), item("stride", two(stride[0], stride[1])),
		item("padding", two(pads[0], pads[1])), item("dilation", two(1, 1)),
		item("transposed", false), item("output_padding", two(0, 0)), item("groups", groups),
		item("padding_mode", "zeros"), item("_reversed_padding_repeated_twice", torch.Tuple{pads[1], pads[1], pads[0], pads[0]}))
}

// norm is the BatchNorm2d of a block. Where it is folded, its statistics are those of which
// it makes 1 and 0, and its shift is the bias of the convolution.
func (b *builder) norm(prefix string) torch.Instance {
	tensor := func(name string) *onnx.Tensor { return b.state[prefix+".bn."+name] }
	scale, shift, mean, variance := tensor("weight"), tensor("bias"), tensor("running_mean"), tensor("running_var")
	if folded := b.state[prefix+".conv.bias"]; folded != nil {
		filled := func(v float32) *onnx.Tensor {
			t := onnx.NewTensor(onnx.Float, folded.Shape...)
			for i := range onnx.Data[float32](t) {
				onnx.Data[float32](t)[i] = v
			}
			if folded.DType == onnx.Float16 {
				return t.ToFloat16()
			}
			return t
		}
		scale, shift, mean, variance = filled(1), folded, filled(0), filled(1-yolov5.Epsilon)
	}
	for _, t := range []*onnx.Tensor{scale, shift, mean, variance} {
		if t == nil {
			b.fail("the weights lack a tensor of %s.bn", prefix)
			return torch.Instance{}
		}
	}
	return b.instance("torch.nn.modules.batchnorm", "BatchNorm2d", []torch.Item{
		item("weight", torch.Parameter{Tensor: scale}), item("bias", torch.Parameter{Tensor: shift}),
		item("running_mean", mean), item("running_var", variance), item("num_batches_tracked", onnx.Scalar(int64(0)))},
		item("num_features", scale.Shape[0]), item("eps", float64(yolov5.Epsilon)),
		item("momentum", 0.03), item("affine", true), item("track_running_stats", true))
}

// activation is what a module ends in: the network's own unless it has another, or nothing.
func (b *builder) activation(prefix string) torch.Instance {
	text, own := b.net.Acts[prefix]
	if !own {
		text = b.net.Act
	}
	class, slope, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	if !b.ends[prefix] || class == "Identity" {
		return b.instance("torch.nn.modules.linear", "Identity", nil)
	}
	inplace := item("inplace", true)
	if class != "LeakyReLU" {
		return b.instance("torch.nn.modules.activation", class, nil, inplace)
	}
	value, err := strconv.ParseFloat(slope, 64)
	if err != nil {
		b.fail("%s: activation %s: %w", prefix, text, err)
	}
	return b.instance("torch.nn.modules.activation", class, nil, item("negative_slope", value), inplace)
}

func (b *builder) pool(kernel int64) torch.Instance {
	return b.instance("torch.nn.modules.pooling", "MaxPool2d", nil, item("kernel_size", kernel), item("stride", 1),
		item("padding", kernel/2), item("dilation", 1), item("return_indices", false), item("ceil_mode", false))
}
