package artifact

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// OnDeviceOptimizer writes optimizer_model.onnx: one node of ONNX Runtime's own
// that updates all parameters in place. AdamW has the given β1 and a decay of
// every parameter alike; SGD has neither momentum nor decay. The inputs' names
// and order are what its Optimizer class asks for; they are sequences of tensors.
func OnDeviceOptimizer(algorithm string, beta1, decay float64) ([]byte, error) {
	sequences := []string{"params", "gradients", "first_order_moments", "second_order_moments"}
	node := message{}
	switch algorithm {
	case "AdamW":
		for _, name := range append([]string{"learning_rate", "step"}, sequences...) {
			node.text(1, name)
		}
		node.text(2, "updated")
		node.text(4, "AdamWOptimizer")
		node.attribute("alpha", float32(beta1))
		node.attribute("beta", 0.999)
		node.attribute("epsilon", 1e-8)
		node.attribute("weight_decay", float32(decay))
		node.integer("adam_mode", 0) // decay before the update, as PyTorch's AdamW
		node.integer("correct_bias", 1)
	case "SGD":
		sequences = sequences[:3] // the third is asked for and not used
		for _, name := range []string{"learning_rate", "params", "gradients"} {
			node.text(1, name)
		}
		node.text(2, "updated")
		node.text(4, "SGDOptimizerV2")
	default:
		return nil, fmt.Errorf("optimizer %s: on-device training knows AdamW and SGD", algorithm)
	}
	node.text(7, "com.microsoft")
	graph := message{}
	graph.nested(1, node)
	graph.text(2, "optimizer")
	graph.nested(11, port("learning_rate", tensorType(1, 1)))
	graph.nested(11, port("step", tensorType(7, 1)))
	for _, name := range sequences {
		sequence, element := message{}, message{}
		element.nested(1, tensorType(1)) // elem_type of the sequence
		sequence.nested(4, element)
		graph.nested(11, port(name, sequence))
	}
	graph.nested(12, port("updated", tensorType(9, 1)))
	model := message{}
	model.varint(1, 8) // ir_version
	model.text(2, "yolofreeze")
	model.nested(7, graph)
	for _, domain := range []struct {
		name    string
		version uint64
	}{{"", 17}, {"com.microsoft", 1}} {
		opset := message{}
		opset.text(1, domain.name)
		opset.varint(2, domain.version)
		model.nested(8, opset)
	}
	return model.bytes, nil
}

// message is a protocol buffer in the making; field numbers are onnx.proto's.
type message struct{ bytes []byte }

func (m *message) varint(field protowire.Number, v uint64) {
	m.bytes = protowire.AppendVarint(protowire.AppendTag(m.bytes, field, protowire.VarintType), v)
}

func (m *message) text(field protowire.Number, s string) {
	m.bytes = protowire.AppendString(protowire.AppendTag(m.bytes, field, protowire.BytesType), s)
}

func (m *message) nested(field protowire.Number, child message) {
	m.bytes = protowire.AppendBytes(protowire.AppendTag(m.bytes, field, protowire.BytesType), child.bytes)
}

// attribute adds an AttributeProto of a node: name, f, type FLOAT.
func (m *message) attribute(name string, v float32) {
	a := message{}
	a.text(1, name)
	a.bytes = protowire.AppendFixed32(protowire.AppendTag(a.bytes, 2, protowire.Fixed32Type), math.Float32bits(v))
	a.varint(20, 1)
	m.nested(5, a)
}

// integer adds an AttributeProto: name, i, type INT.
func (m *message) integer(name string, v uint64) {
	a := message{}
	a.text(1, name)
	a.varint(3, v)
	a.varint(20, 2)
	m.nested(5, a)
}

// tensorType is a TypeProto: element type and sizes; without sizes of unknown shape.
func tensorType(element uint64, sizes ...uint64) message {
	tensor := message{}
	tensor.varint(1, element)
	if len(sizes) > 0 {
		shape := message{}
		for _, size := range sizes {
			dim := message{}
			dim.varint(1, size)
			shape.nested(1, dim)
		}
		tensor.nested(2, shape)
	}
	typ := message{}
	typ.nested(1, tensor)
	return typ
}

// port is a ValueInfoProto.
func port(name string, typ message) message {
	m := message{}
	m.text(1, name)
	m.nested(2, typ)
	return m
}
