package wire

import (
	"fmt"

	"yolofreeze/onnx"
)

// OnDeviceOptimizer writes optimizer_model.onnx of ONNX Runtime's on-device training: one
// node of its own that updates all parameters in place. AdamW has the given β1 and a decay
// of every parameter alike; SGD has neither momentum nor decay. The inputs' names and order
// are what its Optimizer class asks for; they are sequences of tensors, which onnx.Model
// has not.
func OnDeviceOptimizer(algorithm string, beta1, decay float64) ([]byte, error) {
	var inputs, sequences []string
	node := onnx.Node{Domain: "com.microsoft"}
	switch algorithm {
	case "AdamW":
		sequences = []string{"params", "gradients", "first_order_moments", "second_order_moments"}
		inputs = append([]string{"learning_rate", "step"}, sequences...)
		node.Op = "AdamWOptimizer"
		node.Attrs = []onnx.Attr{{Name: "alpha", Value: float32(beta1)}, {Name: "beta", Value: float32(0.999)},
			{Name: "epsilon", Value: float32(1e-8)}, {Name: "weight_decay", Value: float32(decay)},
			{Name: "adam_mode", Value: int64(0)}, // decay before the update, as PyTorch's AdamW
			{Name: "correct_bias", Value: int64(1)}}
	case "SGD":
		sequences = []string{"params", "gradients", "first_order_moments"} // the third is asked for and not used
		inputs = []string{"learning_rate", "params", "gradients"}
		node.Op = "SGDOptimizerV2"
	default:
		return nil, fmt.Errorf("optimizer %s: on-device training knows AdamW and SGD", algorithm)
	}
	for _, name := range inputs {
		node.Inputs = append(node.Inputs, &onnx.Value{Name: name})
	}
	node.Outputs = []*onnx.Value{{Name: "updated"}}
	number := func(name string, t onnx.DType) *onnx.Value {
		return &onnx.Value{Name: name, Type: onnx.Type{DType: t, Shape: []onnx.Dim{{Size: 1}}}}
	}
	var b buffer
	b.int(modelIRVersion, irVersion(17))
	b.str(modelProducerName, "yolofreeze")
	b.nested(modelGraph, func() {
		b.nested(graphNode, func() { b.node(&node) })
		b.str(graphName, "optimizer")
		b.nested(graphInput, func() { b.value(number("learning_rate", onnx.Float)) })
		b.nested(graphInput, func() { b.value(number("step", onnx.Int64)) })
		for _, name := range sequences {
			b.nested(graphInput, func() { b.sequence(name, onnx.Float) })
		}
		b.nested(graphOutput, func() { b.value(number("updated", onnx.Bool)) })
	})
	b.opset("", 17)
	b.opset(node.Domain, 1)
	return b, nil
}

// sequence is a value that is a sequence of tensors of unknown shape.
func (b *buffer) sequence(name string, t onnx.DType) {
	b.str(valueName, name)
	b.nested(valueType, func() {
		b.nested(typeSequence, func() {
			b.nested(sequenceElem, func() {
				b.nested(typeTensor, func() { b.int(tensorTypeElem, int64(t)) })
			})
		})
	})
}
