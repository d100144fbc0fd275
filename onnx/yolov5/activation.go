package yolov5

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// activation is one that a Conv can end in. As text it is its class in
// torch.nn, of LeakyReLU with the slope: LeakyReLU(0.1).
type activation struct {
	class string
	slope float32 // of LeakyReLU below zero
}

var activationClasses = []string{"SiLU", "Hardswish", "LeakyReLU", "ReLU", "Identity"}

// parseActivation reads the text of an activation, in a table's form too:
// nn.LeakyReLU(0.1). LeakyReLU alone has YOLOv5's slope, with empty parentheses PyTorch's.
func parseActivation(text string) (activation, error) {
	class, args, called := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "torch."), "nn."), "(")
	if !slices.Contains(activationClasses, class) {
		return activation{}, fmt.Errorf("activation %q is none of %s", text, strings.Join(activationClasses, ", "))
	}
	a := activation{class: class}
	if class != "LeakyReLU" {
		return a, nil
	}
	args = strings.TrimPrefix(strings.TrimSpace(strings.TrimSuffix(args, ")")), "negative_slope=")
	switch first, _, _ := strings.Cut(args, ","); {
	case !called:
		a.slope = 0.1
	case first == "" || strings.HasPrefix(first, "inplace"):
		a.slope = 0.01
	default:
		slope, err := strconv.ParseFloat(first, 32)
		if err != nil {
			return a, fmt.Errorf("activation %q: the slope is no number", text)
		}
		a.slope = float32(slope)
	}
	return a, nil
}

func (a activation) String() string {
	if a.class == "LeakyReLU" {
		return "LeakyReLU(" + strconv.FormatFloat(float64(a.slope), 'g', -1, 32) + ")"
	}
	return a.class
}

func (a activation) build(b *op.Builder, x *onnx.Value) *onnx.Value {
	switch a.class {
	case "SiLU":
		return b.SiLU(x)
	case "Hardswish":
		return b.Op("HardSwish", nil, x)
	case "LeakyReLU":
		return b.Op("LeakyRelu", op.Attrs{"alpha": a.slope}, x)
	case "ReLU":
		return b.Op("Relu", nil, x)
	}
	return x
}

// activations reads the table's activation and those of modules that differ.
func (t *tableParser) activations() error {
	read := func(v any, otherwise string) (string, error) {
		text, ok := v.(string)
		if !ok {
			text = otherwise
		}
		a, err := parseActivation(text)
		return a.String(), err
	}
	var err error
	if t.net.Act, err = read(t.table["activation"], "SiLU"); err != nil {
		return fmt.Errorf("model table: %w", err)
	}
	modules, _ := t.table[ActivationsKey].(map[string]any)
	t.net.Acts = make(map[string]string, len(modules))
	for module, v := range modules {
		if t.net.Acts[module], err = read(v, ""); err != nil {
			return fmt.Errorf("model table: %s: %w", module, err)
		}
	}
	return nil
}
