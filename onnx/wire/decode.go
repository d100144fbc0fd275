package wire

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"yolofreeze/onnx"
)

// Decode reads the bytes of an .onnx file. Tensors are copied, data may be reused. Nodes
// that stand before what they use are put in order. An initializer that is listed as an
// input too, as formats before IR version 4 demand, becomes an initializer only.
//
// Errors satisfy interface{ BadInput() bool } and name the place in the file. Refused
// are: external data, subgraphs, sparse and string tensors, model-local functions,
// types other than tensors, names bound twice or never, cycles, data that does not fill
// its shape, and bytes that belong to no field.
func Decode(data []byte) (*onnx.Model, error) {
	if err := impostor(data); err != nil {
		return nil, err
	}
	m, err := decodeModel(data)
	if err != nil {
		return nil, &badInput{err}
	}
	return m, nil
}

func decodeModel(data []byte) (*onnx.Model, error) {
	m := &onnx.Model{Domains: map[string]int64{}, Metadata: map[string]string{}}
	var ir int64
	var graph []byte
	err := fields(data, func(f field) (err error) {
		switch f.num {
		case modelIRVersion:
			ir, err = f.int()
		case modelGraph:
			if graph != nil {
				return fmt.Errorf("a second graph")
			}
			graph, err = f.bytes()
		case modelOpset:
			err = decodeOpset(m, f)
		case modelMetadata:
			var e entry
			e, err = decodeEntry(f)
			m.Metadata[e.key] = e.value
		case modelFunctions:
			err = fmt.Errorf("model-local functions are not supported")
		case modelProducerName, modelProducerVersion, modelDomain, modelVersion, modelDoc, modelTraining, modelConfiguration:
		default:
			err = fmt.Errorf("unknown field %d: the file is damaged, has something appended, or is no ONNX model", f.num)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("onnx model: %w", err)
	case ir < 1:
		return nil, fmt.Errorf("onnx model: no ir_version: not an ONNX model, or a truncated one")
	case graph == nil:
		return nil, fmt.Errorf("onnx model: no graph: not an ONNX model, or a truncated one")
	case m.Opset == 0 && ir < 3:
		m.Opset = 1 // files older than opset_import
	case m.Opset < 1:
		return nil, fmt.Errorf("onnx model: no opset_import for the standard operators")
	}
	g, err := decodeGraph(graph)
	if err != nil {
		return nil, fmt.Errorf("onnx graph: %w", err)
	}
	if err := g.link(m); err != nil {
		return nil, fmt.Errorf("onnx graph: %w", err)
	}
	return m, nil
}

func decodeOpset(m *onnx.Model, f field) error {
	domain, version := "", int64(0)
	err := f.message(func(f field) (err error) {
		switch f.num {
		case opsetDomain:
			domain, err = f.str()
		case opsetVersion:
			version, err = f.int()
		}
		return err
	})
	domain = standard(domain)
	switch {
	case err != nil:
		return fmt.Errorf("opset_import: %w", err)
	case version < 1 && domain == "":
		return fmt.Errorf("opset_import: version %d", version)
	case domain == "" && m.Opset != 0 && m.Opset != version:
		return fmt.Errorf("opset_import: versions %d and %d of the standard operators", m.Opset, version)
	case domain == "":
		m.Opset = version
	default:
		m.Domains[domain] = version
	}
	return nil
}

// standard gives the default domain one of its two names.
func standard(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

type entry struct{ key, value string }

func decodeEntry(f field) (e entry, err error) {
	err = f.message(func(f field) (err error) {
		switch f.num {
		case entryKey:
			e.key, err = f.str()
		case entryValue:
			e.value, err = f.str()
		}
		return err
	})
	return e, err
}

// field is one field of a protobuf message, its value still undecoded.
type field struct {
	num    protowire.Number
	kind   protowire.Type
	number uint64 // of varint, fixed32, fixed64
	data   []byte // of bytes
}

// fields walks a message.
func fields(b []byte, visit func(field) error) error {
	for size := len(b); len(b) > 0; {
		at := size - len(b)
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("byte %d: not a protobuf field: %w", at, protowire.ParseError(n))
		}
		b = b[n:]
		f := field{num: num, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("byte %d: field %d has wire type %d", at, num, kind)
		}
		if n < 0 {
			return fmt.Errorf("byte %d: field %d is cut off or damaged: %w", at, num, protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) want(kind protowire.Type) error {
	if f.kind != kind {
		return fmt.Errorf("field %d has wire type %d, not %d", f.num, f.kind, kind)
	}
	return nil
}

func (f field) int() (int64, error) { return int64(f.number), f.want(protowire.VarintType) }

func (f field) float() (float32, error) {
	return math.Float32frombits(uint32(f.number)), f.want(protowire.Fixed32Type)
}

// bytes returns the field's bytes, never nil.
func (f field) bytes() ([]byte, error) {
	if f.data == nil {
		f.data = []byte{}
	}
	return f.data, f.want(protowire.BytesType)
}

// str returns text: a name or a description.
func (f field) str() (string, error) {
	if err := f.want(protowire.BytesType); err != nil {
		return "", err
	}
	if !utf8.Valid(f.data) {
		return "", fmt.Errorf("text %.40q is not UTF-8", f.data)
	}
	return string(f.data), nil
}

func (f field) message(visit func(field) error) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	return fields(f.data, visit)
}

// ints appends what a repeated integer field holds, packed or not.
func (f field) ints(to []int64) ([]int64, error) {
	if f.kind != protowire.BytesType {
		v, err := f.int()
		return append(to, v), err
	}
	for b := f.data; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, fmt.Errorf("packed integers: %w", protowire.ParseError(n))
		}
		to, b = append(to, int64(v)), b[n:]
	}
	return to, nil
}

// floats appends what a repeated float field holds, packed or not.
func (f field) floats(to []float32) ([]float32, error) {
	if f.kind != protowire.BytesType {
		v, err := f.float()
		return append(to, v), err
	}
	for b := f.data; len(b) > 0; {
		v, n := protowire.ConsumeFixed32(b)
		if n < 0 {
			return nil, fmt.Errorf("packed floats: %w", protowire.ParseError(n))
		}
		to, b = append(to, math.Float32frombits(v)), b[n:]
	}
	return to, nil
}

// doubles appends what a repeated double field holds, packed or not.
func (f field) doubles(to []float64) ([]float64, error) {
	if f.kind != protowire.BytesType {
		return append(to, math.Float64frombits(f.number)), f.want(protowire.Fixed64Type)
	}
	for b := f.data; len(b) > 0; {
		v, n := protowire.ConsumeFixed64(b)
		if n < 0 {
			return nil, fmt.Errorf("packed doubles: %w", protowire.ParseError(n))
		}
		to, b = append(to, math.Float64frombits(v)), b[n:]
	}
	return to, nil
}
