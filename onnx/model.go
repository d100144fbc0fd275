package onnx

import (
	"fmt"
	"slices"
)

// Model is a graph with what ModelProto says of it. Values and nodes are
// pointers; the graph is walked, not looked up by name.
type Model struct {
	Opset        int64            // version of the default domain ai.onnx
	Domains      map[string]int64 // versions of further domains in use
	Name         string
	Inputs       []*Value
	Outputs      []*Value
	Initializers []*Value // every Value here has a Const
	Nodes        []*Node  // in an order where producers precede users
	Metadata     map[string]string
}

// Node applies an operator. A nil entry of Inputs or Outputs is an omitted optional one.
type Node struct {
	Name    string
	Op      string
	Domain  string // "" is ai.onnx
	Inputs  []*Value
	Outputs []*Value
	Attrs   []Attr // sorted by name
}

// Attr is a node's attribute: int64, float32, string, []int64, []float32, []string or *Tensor.
type Attr struct {
	Name  string
	Value any
}

// Value is an edge of the graph: a graph input, an initializer (Const set) or a node's output (Node set).
type Value struct {
	Name  string
	Type  Type
	Node  *Node
	Const *Tensor
}

// Type is a tensor's element type and shape. A nil Shape is an unknown rank, an empty one a scalar.
type Type struct {
	DType DType
	Shape []Dim
}

// Dim is one dimension: a size, or Unknown with an optional name that all equal dimensions share.
type Dim struct {
	Size int64
	Name string
}

// Unknown is the Size of a dimension that is known only when the graph runs.
const Unknown int64 = -1

// Sym returns a dimension known by name only.
func Sym(name string) Dim { return Dim{Unknown, name} }

// Dims makes a static shape.
func Dims(sizes ...int64) []Dim {
	shape := make([]Dim, len(sizes))
	for i, s := range sizes {
		shape[i] = Dim{Size: s}
	}
	return shape
}

// Known reports whether the dimension is a fixed size.
func (d Dim) Known() bool { return d.Size >= 0 }

func (d Dim) String() string {
	switch {
	case d.Known():
		return fmt.Sprint(d.Size)
	case d.Name == "":
		return "?"
	}
	return d.Name
}

// Static returns the sizes of a shape whose dimensions are all known.
func (t Type) Static() ([]int64, bool) {
	if t.Shape == nil {
		return nil, false
	}
	sizes := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		if !d.Known() {
			return nil, false
		}
		sizes[i] = d.Size
	}
	return sizes, true
}

// Equal reports whether two types are the same, symbolic names included.
func (t Type) Equal(u Type) bool {
	return t.DType == u.DType && (t.Shape == nil) == (u.Shape == nil) && slices.Equal(t.Shape, u.Shape)
}

func (t Type) String() string {
	if t.Shape == nil {
		return t.DType.String()
	}
	return fmt.Sprintf("%v%v", t.DType, t.Shape)
}

// TypeOf returns the type of a tensor.
func TypeOf(t *Tensor) Type { return Type{t.DType, Dims(t.Shape...)} }

// Attr returns the attribute called name, nil when the node has none.
func (n *Node) Attr(name string) any {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return nil
}

// Int returns an integer attribute or its default.
func (n *Node) Int(name string, otherwise int64) int64 {
	if v, ok := n.Attr(name).(int64); ok {
		return v
	}
	return otherwise
}

// Float returns a float attribute or its default.
func (n *Node) Float(name string, otherwise float32) float32 {
	if v, ok := n.Attr(name).(float32); ok {
		return v
	}
	return otherwise
}

// Str returns a string attribute or its default.
func (n *Node) Str(name, otherwise string) string {
	if v, ok := n.Attr(name).(string); ok {
		return v
	}
	return otherwise
}

// Ints returns a list-of-integers attribute or its default.
func (n *Node) Ints(name string, otherwise []int64) []int64 {
	if v, ok := n.Attr(name).([]int64); ok {
		return v
	}
	return otherwise
}

// Input returns the i-th input, nil when it is omitted.
func (n *Node) Input(i int) *Value {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return nil
}

// Output returns the i-th output, nil when it is omitted.
func (n *Node) Output(i int) *Value {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return nil
}

// Initializer returns the initializer called name, nil when there is none.
func (m *Model) Initializer(name string) *Value {
	for _, v := range m.Initializers {
		if v.Name == name {
			return v
		}
	}
	return nil
}
