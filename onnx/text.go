package onnx

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// inlineElements is how many elements of a constant the text form still shows.
const inlineElements = 8

// String returns the text form of the model, as Text writes it.
func (m *Model) String() string {
	var b strings.Builder
	m.Text(&b) // a Builder never fails
	return b.String()
}

// Text writes the model for people and for comparisons: one line each for the model, its
// metadata, inputs, initializers, nodes and outputs, in the model's order. Equal
// models give equal text. Constants of more than eight elements show as type and shape.
func (m *Model) Text(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "model %s opset %d", nameText(m.Name), m.Opset)
	for _, domain := range slices.Sorted(maps.Keys(m.Domains)) {
		fmt.Fprintf(b, ", %s %d", nameText(domain), m.Domains[domain])
	}
	b.WriteByte('\n')
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		fmt.Fprintf(b, "metadata %s = %q\n", nameText(key), m.Metadata[key])
	}
	for _, v := range m.Inputs {
		fmt.Fprintf(b, "input %v\n", v)
	}
	for _, v := range m.Initializers {
		fmt.Fprintf(b, "initializer %v\n", v)
	}
	for _, n := range m.Nodes {
		fmt.Fprintf(b, "%v\n", n)
	}
	for _, v := range m.Outputs {
		fmt.Fprintf(b, "output %v\n", v)
	}
	return b.Flush()
}

// String returns the node as one line: outputs = Op(inputs) {attributes} name. An
// omitted input or output is written "_".
func (n *Node) String() string {
	var b strings.Builder
	for i, out := range n.Outputs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(out.String())
	}
	b.WriteString(" = ")
	if n.Domain != "" {
		b.WriteString(nameText(n.Domain) + ".")
	}
	b.WriteString(n.Op + "(")
	for i, in := range n.Inputs {
		if i > 0 {
			b.WriteString(", ")
		}
		if in == nil {
			b.WriteByte('_')
		} else {
			b.WriteString(nameText(in.Name))
		}
	}
	b.WriteByte(')')
	for i, a := range n.Attrs {
		b.WriteString([]string{" {", ", "}[min(i, 1)] + a.Name + "=" + attrText(a.Value))
	}
	if len(n.Attrs) > 0 {
		b.WriteByte('}')
	}
	if n.Name != "" {
		b.WriteString(" @" + nameText(n.Name))
	}
	return b.String()
}

// String returns the value's name and type, and a small constant's elements: "w: float32[2] {1 2}".
func (v *Value) String() string {
	switch {
	case v == nil:
		return "_"
	case v.Const != nil:
		return nameText(v.Name) + ": " + v.Const.String()
	case v.Type.DType == Undefined:
		return nameText(v.Name)
	}
	return nameText(v.Name) + ": " + v.Type.String()
}

// String returns type and shape, and the elements when there are at most eight: "int64[2] {3 4}".
func (t *Tensor) String() string {
	if t == nil {
		return "nil"
	}
	head := TypeOf(t).String()
	if t.Len() > inlineElements || checkTensor(t) != nil {
		return head
	}
	parts := make([]string, 0, inlineElements)
	switch t.DType {
	case Int64: // beyond 2⁵³ a float64 would round
		for _, v := range t.Int64s() {
			parts = append(parts, strconv.FormatInt(v, 10))
		}
	case Float, Float16, BFloat16:
		for _, v := range t.Float32s() {
			parts = append(parts, strconv.FormatFloat(float64(v), 'g', -1, 32))
		}
	default:
		for _, v := range t.Float64s() {
			parts = append(parts, strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	return head + " {" + strings.Join(parts, " ") + "}"
}

func attrText(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}

// nameText quotes a name that would not read as one word.
func nameText(name string) string {
	odd := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_./:-", r)
	}
	if name == "" || strings.ContainsFunc(name, odd) {
		return strconv.Quote(name)
	}
	return name
}
