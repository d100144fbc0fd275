package wire

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"yolofreeze/onnx"
)

// graphProto is a GraphProto whose nodes still call their values by name.
type graphProto struct {
	name            string
	nodes           []nodeProto
	initializers    []*onnx.Value
	inputs, outputs []info
	infos           []info
}

type nodeProto struct {
	node            *onnx.Node
	inputs, outputs []string
}

// info is a ValueInfoProto; typed is false when it says no tensor type.
type info struct {
	name  string
	typ   onnx.Type
	typed bool
}

func decodeGraph(data []byte) (*graphProto, error) {
	g := new(graphProto)
	err := fields(data, func(f field) (err error) {
		switch f.num {
		case graphName:
			g.name, err = f.str()
		case graphNode:
			var n nodeProto
			if n, err = decodeNode(f); err != nil {
				return fmt.Errorf("node %d (%s %q): %w", len(g.nodes), n.node.Op, n.node.Name, err)
			}
			g.nodes = append(g.nodes, n)
		case graphInitializer:
			name, t, err := decodeTensor(f)
			if err != nil {
				return fmt.Errorf("initializer %d: %w", len(g.initializers), err)
			}
			g.initializers = append(g.initializers, &onnx.Value{Name: name, Type: onnx.TypeOf(t), Const: t})
		case graphSparse:
			err = fmt.Errorf("sparse initializers are not supported")
		case graphInput:
			err = g.info(&g.inputs, f)
		case graphOutput:
			err = g.info(&g.outputs, f)
		case graphValueInfo:
			err = g.info(&g.infos, f)
		}
		return err
	})
	return g, err
}

func (g *graphProto) info(list *[]info, f field) error {
	v := info{}
	err := f.message(func(f field) (err error) {
		switch f.num {
		case valueName:
			v.name, err = f.str()
		case valueType:
			err = f.message(func(f field) error {
				switch f.num {
				case typeTensor:
					v.typed = true
					return decodeType(f, &v.typ)
				case 4, 5, 7, 8, 9: // sequence, map, opaque, sparse tensor, optional
					return fmt.Errorf("a type that is no tensor is not supported")
				}
				return nil
			})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("value %q: %w", v.name, err)
	}
	*list = append(*list, v)
	return nil
}

func decodeType(f field, t *onnx.Type) error {
	return f.message(func(f field) error {
		switch f.num {
		case tensorTypeElem:
			v, err := f.int()
			t.DType = onnx.DType(v)
			return err
		case tensorTypeShape:
			t.Shape = []onnx.Dim{}
			return f.message(func(f field) error {
				if f.num != shapeDim {
					return nil
				}
				d, err := decodeDim(f)
				t.Shape = append(t.Shape, d)
				return err
			})
		}
		return nil
	})
}

func decodeDim(f field) (onnx.Dim, error) {
	d := onnx.Dim{Size: onnx.Unknown}
	err := f.message(func(f field) (err error) {
		switch f.num {
		case dimValue:
			d.Name = ""
			if d.Size, err = f.int(); d.Size < 0 {
				d.Size = onnx.Unknown // what some exporters write for a dynamic size
			}
		case dimParam:
			d.Size = onnx.Unknown
			d.Name, err = f.str()
		}
		return err
	})
	return d, err
}

func decodeNode(f field) (nodeProto, error) {
	n := nodeProto{node: new(onnx.Node)}
	err := f.message(func(f field) (err error) {
		var s string
		switch f.num {
		case nodeInput:
			s, err = f.str()
			n.inputs = append(n.inputs, s)
		case nodeOutput:
			s, err = f.str()
			n.outputs = append(n.outputs, s)
		case nodeName:
			n.node.Name, err = f.str()
		case nodeOp:
			if s, err = f.str(); strings.ContainsFunc(s, unicode.IsControl) {
				return fmt.Errorf("op_type %q", s)
			}
			n.node.Op = s
		case nodeDomain:
			s, err = f.str()
			n.node.Domain = standard(s)
		case nodeAttribute:
			var a onnx.Attr
			if a, err = decodeAttr(f); err != nil {
				return fmt.Errorf("attribute %q: %w", a.Name, err)
			}
			n.node.Attrs = append(n.node.Attrs, a)
		}
		return err
	})
	if err == nil && n.node.Op == "" {
		err = fmt.Errorf("no op_type")
	}
	attrs := n.node.Attrs
	slices.SortStableFunc(attrs, func(a, b onnx.Attr) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(attrs) && err == nil; i++ {
		if attrs[i].Name == attrs[i-1].Name {
			err = fmt.Errorf("attribute %q is given twice", attrs[i].Name)
		}
	}
	return n, err
}

// attrProto is an AttributeProto: the type says which of the values counts.
type attrProto struct {
	kind    int64
	seen    int64 // the kind that the last value field suggests, for files that leave out the type
	i       int64
	f       float32
	s       string
	t       *onnx.Tensor
	ints    []int64
	floats  []float32
	strings []string
}

func decodeAttr(f field) (onnx.Attr, error) {
	var name string
	var p attrProto
	err := f.message(func(f field) (err error) {
		switch f.num {
		case attrName:
			name, err = f.str()
		default:
			err = p.field(f)
		}
		return err
	})
	if err != nil {
		return onnx.Attr{Name: name}, err
	}
	v, err := p.value()
	return onnx.Attr{Name: name, Value: v}, err
}

func (p *attrProto) field(f field) (err error) {
	switch f.num {
	case attrType:
		p.kind, err = f.int()
	case attrFloat:
		p.seen = kindFloat
		p.f, err = f.float()
	case attrInt:
		p.seen = kindInt
		p.i, err = f.int()
	case attrString:
		p.seen = kindString
		var b []byte
		b, err = f.bytes() // bytes of any encoding
		p.s = string(b)
	case attrTensor:
		p.seen = kindTensor
		_, p.t, err = decodeTensor(f)
	case attrFloats:
		p.seen = kindFloats
		p.floats, err = f.floats(p.floats)
	case attrInts:
		p.seen = kindInts
		p.ints, err = f.ints(p.ints)
	case attrStrings:
		p.seen = kindStrings
		var b []byte
		b, err = f.bytes()
		p.strings = append(p.strings, string(b))
	case attrGraph:
		err = fmt.Errorf("subgraphs (If, Loop, Scan) are not supported")
	case attrRef:
		err = fmt.Errorf("references to a function's attributes are not supported")
	}
	return err
}

func (p *attrProto) value() (any, error) {
	if p.kind == 0 {
		p.kind = p.seen
	}
	switch p.kind {
	case kindFloat:
		return p.f, nil
	case kindInt:
		return p.i, nil
	case kindString:
		return p.s, nil
	case kindFloats:
		return append([]float32{}, p.floats...), nil
	case kindInts:
		return append([]int64{}, p.ints...), nil
	case kindStrings:
		return append([]string{}, p.strings...), nil
	case kindTensor:
		if p.t != nil {
			return p.t, nil
		}
		return nil, fmt.Errorf("a tensor without data")
	}
	if name, ok := kindNames[p.kind]; ok {
		return nil, fmt.Errorf("attributes of type %s are not supported", name)
	}
	return nil, fmt.Errorf("attribute type %d", p.kind)
}
