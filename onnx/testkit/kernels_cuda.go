package testkit

import (
	"fmt"
	"slices"

	"yolofreeze/onnx"
)

// hostInputs are the inputs that the CUDA provider reads on the host: unless
// they are constants, each run waits for them to be copied.
var hostInputs = map[string][]int{
	"Reshape": {1}, "Expand": {1}, "Tile": {1}, "Slice": {1, 2, 3, 4}, "Split": {1}, "Squeeze": {1}, "Unsqueeze": {1},
	"ReduceSum": {1}, "ReduceMean": {1}, "ReduceMax": {1}, "ReduceMin": {1}, "ReduceSumSquare": {1}, "ReduceProd": {1},
	"Pad": {1, 2, 3}, "Resize": {1, 2, 3}, "TopK": {1}, "CumSum": {1}, "Trilu": {1}, "ConstantOfShape": {0},
	"Range": {0, 1, 2}, "OneHot": {1, 2}, "Dropout": {1, 2}, "NonMaxSuppression": {2, 3, 4}, "If": {0}, "Loop": {0, 1},
}

// hostOps need the host in every run: a CUDA graph cannot capture them.
var hostOps = map[string]string{
	"Shape": "its result and what follows it run on the CPU", "Size": "its result and what follows it run on the CPU",
	"If": "the host chooses the branch", "Loop": "the host counts", "Scan": "the host counts",
	"NonZero": "the host reads its output's size", "Compress": "the host reads its output's size",
	"NonMaxSuppression": "the host reads its output's size",
}

// newestCUDA is the last opset that the CUDA provider covers, 22 but for what Missing finds (MaxPool).
const newestCUDA = 22

// CUDAHazards returns a line for each node that has a CUDA kernel by the table
// of kernels, yet runs elsewhere, waits for the host, or computes wrongly there:
// what attributes, ranks and constants decide. Values must carry types.
func CUDAHazards(m *onnx.Model) []string {
	var lines []string
	if m.Opset > newestCUDA {
		lines = append(lines, fmt.Sprintf("opset %d: CUDA covers %d at most", m.Opset, newestCUDA))
	}
	for _, n := range m.Nodes {
		if n.Domain != "" && n.Domain != "ai.onnx" {
			continue
		}
		for _, check := range []func(*onnx.Node) string{hostBound, wrongAttributes, wrongReduction, tooManyDims} {
			if reason := check(n); reason != "" {
				lines = append(lines, fmt.Sprintf("%s %q: %s", n.Op, n.Name, reason))
			}
		}
	}
	return lines
}

func hostBound(n *onnx.Node) string {
	if reason := hostOps[n.Op]; reason != "" {
		return reason
	}
	for _, i := range hostInputs[n.Op] {
		v := n.Input(i)
		if v == nil || v.Const != nil || v.Node != nil && v.Node.Op == "Constant" {
			continue
		}
		return fmt.Sprintf("input %d (%s) is read on the host and is not a constant", i, v.Name)
	}
	return ""
}

func wrongAttributes(n *onnx.Node) string {
	pads := n.Ints("pads", nil)
	half := len(pads) / 2
	lopsided := !slices.Equal(pads[:half], pads[half:])
	auto := n.Str("auto_pad", "NOTSET")
	same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
	switch n.Op {
	case "BatchNormalization":
		if n.Int("training_mode", 0) == 1 {
			return "CUDA refuses training_mode"
		}
		for _, v := range n.Inputs {
			if v != nil && v.Type.DType != n.Inputs[0].Type.DType {
				return fmt.Sprintf("all inputs must be of one type, %s is %v", v.Name, v.Type.DType)
			}
		}
	case "Conv":
		if lopsided || same {
			return "cuDNN may find no plan for asymmetric pads"
		}
	case "ConvTranspose":
		if lopsided || same {
			return "asymmetric pads run on the CPU"
		}
	case "AveragePool":
		if lopsided || same || slices.ContainsFunc(n.Ints("dilations", nil), func(d int64) bool { return d > 1 }) {
			return "asymmetric pads or dilations give wrong values"
		}
	case "MaxPool":
		if slices.ContainsFunc(n.Ints("dilations", nil), func(d int64) bool { return d > 1 }) && slices.ContainsFunc(pads[:half], func(p int64) bool { return p > 0 }) {
			return "dilations with pads give wrong values"
		}
	case "Cast":
		if n.Int("to", 0) == int64(onnx.String) {
			return "strings live on the CPU"
		}
	case "ArgMax", "ArgMin":
		if n.Int("select_last_index", 0) == 1 {
			return "select_last_index runs on the CPU"
		}
	case "OneHot":
		return oneHot(n)
	}
	return ""
}

// oneHot: CUDA has a kernel for these types of indices, values and depth together.
func oneHot(n *onnx.Node) string {
	if n.Input(0) == nil || n.Input(1) == nil || n.Input(2) == nil {
		return "an input is missing"
	}
	got := [3]onnx.DType{n.Input(0).Type.DType, n.Input(2).Type.DType, n.Input(1).Type.DType}
	for _, have := range [][3]onnx.DType{
		{onnx.Int64, onnx.Int64, onnx.Int64}, {onnx.Int64, onnx.Float, onnx.Int64}, {onnx.Int32, onnx.Float, onnx.Int32},
		{onnx.Int64, onnx.Float16, onnx.Int64}, {onnx.Int32, onnx.Float16, onnx.Int32},
	} {
		if got == have {
			return ""
		}
	}
	return fmt.Sprintf("no kernel for indices, values, depth of %v together", got)
}

// wrongReduction: CUDA picks its atomics by the size of an element alone.
func wrongReduction(n *onnx.Node) string {
	if n.Op != "ScatterElements" && n.Op != "ScatterND" {
		return ""
	}
	reduction := n.Str("reduction", "none")
	if reduction == "none" || n.Input(0) == nil {
		return ""
	}
	if d := n.Input(0).Type.DType; d != onnx.Float && d != onnx.Float16 {
		return fmt.Sprintf("reduction %s of %v is wrong there: float32 and float16 only", reduction, d)
	}
	return ""
}

// tooManyDims: the provider's index arrays hold eight dimensions.
func tooManyDims(n *onnx.Node) string {
	for _, v := range slices.Concat(n.Inputs, n.Outputs) {
		if v != nil && len(v.Type.Shape) > 8 {
			return fmt.Sprintf("%s has %d dimensions, 8 is the most", v.Name, len(v.Type.Shape))
		}
	}
	return ""
}
