package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"yolofreeze/onnx"
)

// irVersion is the file format that an opset came with (docs/Versioning.md of onnx):
// for exports the oldest, that of opset 17 (onnx 1.12), which readers of 18 to 20 take too.
func irVersion(opset int64) int64 {
	if opset > 20 {
		return 10
	}
	return 8
}

// Encode returns the model as the bytes of an .onnx file; the same model gives the same
// bytes. It fails on a model that Verify refuses, on inputs or outputs without an
// element type and rank, and on one that takes more than protobuf's 2 GiB.
func Encode(m *onnx.Model) ([]byte, error) {
	if err := m.Verify(); err != nil {
		return nil, fmt.Errorf("encode model %q: %w", m.Name, err)
	}
	if m.Opset < 1 {
		return nil, fmt.Errorf("encode model %q: opset %d", m.Name, m.Opset)
	}
	for _, v := range slices.Concat(m.Inputs, m.Outputs) {
		if v.Type.DType == onnx.Undefined || v.Type.Shape == nil {
			return nil, fmt.Errorf("encode model %q: %q is an input or output without element type and rank, which the standard asks for", m.Name, v.Name)
		}
	}
	weights := 0
	for _, v := range m.Initializers {
		weights += len(v.Const.Raw)
	}
	if weights > maxBytes {
		return nil, fmt.Errorf("encode model %q: its weights take %d bytes, an .onnx file holds less than 2 GiB", m.Name, weights)
	}
	b := make(buffer, 0, weights+256*(len(m.Nodes)+len(m.Initializers))+4096)
	b.model(m)
	if len(b) > maxBytes {
		return nil, fmt.Errorf("encode model %q: it takes %d bytes, an .onnx file holds less than 2 GiB", m.Name, len(b))
	}
	return b, nil
}

// buffer grows a protobuf message.
type buffer []byte

func (b *buffer) model(m *onnx.Model) {
	b.int(modelIRVersion, irVersion(m.Opset))
	b.str(modelProducerName, "yolofreeze")
	b.nested(modelGraph, func() { b.graph(m) })
	b.opset("", m.Opset)
	for _, domain := range slices.Sorted(maps.Keys(m.Domains)) {
		b.opset(domain, m.Domains[domain])
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		b.nested(modelMetadata, func() {
			b.str(entryKey, key)
			b.str(entryValue, m.Metadata[key])
		})
	}
}

func (b *buffer) opset(domain string, version int64) {
	b.nested(modelOpset, func() {
		b.str(opsetDomain, domain)
		b.int(opsetVersion, version)
	})
}

func (b *buffer) graph(m *onnx.Model) {
	for _, n := range m.Nodes {
		b.nested(graphNode, func() { b.node(n) })
	}
	name := m.Name
	if name == "" {
		name = "yolofreeze" // the standard wants one
	}
	b.str(graphName, name)
	for _, v := range m.Initializers {
		b.nested(graphInitializer, func() { b.tensor(v.Name, v.Const) })
	}
	for _, v := range m.Inputs {
		b.nested(graphInput, func() { b.value(v) })
	}
	for _, v := range m.Outputs {
		b.nested(graphOutput, func() { b.value(v) })
	}
}

func (b *buffer) node(n *onnx.Node) {
	for _, v := range n.Inputs {
		b.str(nodeInput, nameOf(v))
	}
	for _, v := range n.Outputs {
		b.str(nodeOutput, nameOf(v))
	}
	if n.Name != "" {
		b.str(nodeName, n.Name)
	}
	b.str(nodeOp, n.Op)
	for _, a := range n.Attrs {
		b.nested(nodeAttribute, func() { b.attr(a) })
	}
	if n.Domain != "" {
		b.str(nodeDomain, n.Domain)
	}
}

// nameOf writes an omitted optional value as the standard does, by an empty name.
func nameOf(v *onnx.Value) string {
	if v == nil {
		return ""
	}
	return v.Name
}

func (b *buffer) attr(a onnx.Attr) {
	b.str(attrName, a.Name)
	kind := int64(0)
	switch v := a.Value.(type) {
	case float32:
		kind = kindFloat
		*b = protowire.AppendTag(*b, attrFloat, protowire.Fixed32Type)
		*b = protowire.AppendFixed32(*b, math.Float32bits(v))
	case int64:
		kind = kindInt
		b.int(attrInt, v)
	case string:
		kind = kindString
		b.str(attrString, v)
	case *onnx.Tensor:
		kind = kindTensor
		b.nested(attrTensor, func() { b.tensor("", v) })
	case []float32:
		kind = kindFloats
		for _, f := range v {
			*b = protowire.AppendTag(*b, attrFloats, protowire.Fixed32Type)
			*b = protowire.AppendFixed32(*b, math.Float32bits(f))
		}
	case []int64:
		kind = kindInts
		for _, i := range v {
			b.int(attrInts, i)
		}
	case []string:
		kind = kindStrings
		for _, s := range v {
			b.str(attrStrings, s)
		}
	}
	b.int(attrType, kind)
}

func (b *buffer) tensor(name string, t *onnx.Tensor) {
	for _, d := range t.Shape {
		b.int(tensorDims, d)
	}
	b.int(tensorDType, int64(t.DType))
	if name != "" {
		b.str(tensorName, name)
	}
	*b = protowire.AppendTag(*b, tensorRawData, protowire.BytesType)
	*b = protowire.AppendBytes(*b, t.Raw)
}

func (b *buffer) value(v *onnx.Value) {
	b.str(valueName, v.Name)
	b.nested(valueType, func() {
		b.nested(typeTensor, func() {
			b.int(tensorTypeElem, int64(v.Type.DType))
			b.nested(tensorTypeShape, func() {
				for _, d := range v.Type.Shape {
					b.nested(shapeDim, func() { b.dim(d) })
				}
			})
		})
	})
}

func (b *buffer) dim(d onnx.Dim) {
	switch {
	case d.Known():
		b.int(dimValue, d.Size)
	case d.Name != "":
		b.str(dimParam, d.Name)
	}
}

func (b *buffer) int(num protowire.Number, v int64) {
	*b = protowire.AppendTag(*b, num, protowire.VarintType)
	*b = protowire.AppendVarint(*b, uint64(v))
}

func (b *buffer) str(num protowire.Number, s string) {
	*b = protowire.AppendTag(*b, num, protowire.BytesType)
	*b = protowire.AppendString(*b, s)
}

// nested appends a message that body writes: behind its place for the length, into
// which it is moved once the length is known, so that weights are copied within one
// buffer instead of through one per level.
func (b *buffer) nested(num protowire.Number, body func()) {
	*b = protowire.AppendTag(*b, num, protowire.BytesType)
	start := len(*b)
	body()
	size := len(*b) - start
	var prefix [10]byte
	length := protowire.AppendVarint(prefix[:0], uint64(size))
	*b = append(*b, length...)
	copy((*b)[start+len(length):], (*b)[start:start+size])
	copy((*b)[start:], length)
}
