package op

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"yolofreeze/onnx"
)

// Builder appends nodes to a model: any operator by Op and Ops, the usual ones by
// the methods of its families. Its first error sticks: later calls do nothing, and
// Err tells.
type Builder struct {
	Arithmetic
	Layout
	Layers

	Model  *onnx.Model
	scope  string
	used   map[string]int
	consts map[string]*onnx.Value
	err    error
}

// The families of operators that a Builder has methods for.
type (
	Arithmetic struct{ b *Builder } // element by element, and sums over axes
	Layout     struct{ b *Builder } // what moves, joins, divides and picks elements
	Layers     struct{ b *Builder } // convolution, matrix product, pooling, normalization
)

// NewBuilder starts an empty model at Opset.
func NewBuilder(name string) *Builder {
	return Extend(&onnx.Model{Name: name, Opset: Opset, Metadata: map[string]string{}})
}

// Extend continues an existing model.
func Extend(m *onnx.Model) *Builder {
	b := &Builder{Model: m, used: map[string]int{}, consts: map[string]*onnx.Value{}}
	b.Arithmetic, b.Layout, b.Layers = Arithmetic{b}, Layout{b}, Layers{b}
	for _, list := range [][]*onnx.Value{m.Inputs, m.Initializers} {
		for _, v := range list {
			b.used[v.Name]++
		}
	}
	for _, n := range m.Nodes {
		b.used[n.Name]++
		for _, v := range n.Outputs {
			if v != nil {
				b.used[v.Name]++
			}
		}
	}
	return b
}

// Err returns the first error.
func (b *Builder) Err() error { return b.err }

// Fail records an error unless one is there already, and returns a placeholder.
func (b *Builder) Fail(format string, args ...any) *onnx.Value {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
		if b.scope != "" {
			b.err = fmt.Errorf("%s: %w", b.scope, b.err)
		}
	}
	return &onnx.Value{Name: "invalid"}
}

// In runs f with names prefixed by scope and a slash: values made inside carry their provenance.
func (b *Builder) In(scope string, f func()) {
	outer := b.scope
	b.scope = scope
	f()
	b.scope = outer
}

// unique makes a name within the scope that nothing else has.
func (b *Builder) unique(base string) string {
	if b.scope != "" {
		base = b.scope + "/" + base
	}
	for {
		n := b.used[base]
		b.used[base]++
		if n == 0 {
			return base
		}
		if name := base + "." + strconv.Itoa(n); b.used[name] == 0 {
			b.used[name]++
			return name
		}
	}
}

// Input adds a graph input. Its name is taken as it is.
func (b *Builder) Input(name string, dtype onnx.DType, shape []onnx.Dim) *onnx.Value {
	v := &onnx.Value{Name: b.exact(name), Type: onnx.Type{DType: dtype, Shape: shape}}
	b.Model.Inputs = append(b.Model.Inputs, v)
	return v
}

// Param adds an initializer whose name is taken as it is.
func (b *Builder) Param(name string, t *onnx.Tensor) *onnx.Value {
	return b.initializer(b.exact(name), t)
}

func (b *Builder) exact(name string) string {
	if b.used[name] > 0 {
		b.Fail("the name %q is taken", name)
	}
	b.used[name]++
	return name
}

func (b *Builder) initializer(name string, t *onnx.Tensor) *onnx.Value {
	v := &onnx.Value{Name: name, Type: onnx.TypeOf(t), Const: t}
	b.Model.Initializers = append(b.Model.Initializers, v)
	return v
}

// Output makes v a graph output called name, through an Identity when v cannot take that name.
func (b *Builder) Output(name string, v *onnx.Value) *onnx.Value {
	if b.err != nil {
		return v
	}
	scope := b.scope
	b.scope = ""
	defer func() { b.scope = scope }()
	if v.Node == nil || slices.Contains(b.Model.Outputs, v) {
		v = b.Op("Identity", nil, v)
	}
	b.used[name]++
	v.Name = name
	b.Model.Outputs = append(b.Model.Outputs, v)
	return v
}

// Const adds a constant, or finds the equal one that is there.
func (b *Builder) Const(t *onnx.Tensor) *onnx.Value {
	if len(t.Raw) > 64 {
		return b.initializer(b.unique("const"), t)
	}
	key := fmt.Sprintf("%v%v%x", t.DType, t.Shape, t.Raw)
	v, ok := b.consts[key]
	if !ok {
		scope := b.scope
		b.scope = ""
		v = b.initializer(b.unique("const"), t)
		b.scope = scope
		b.consts[key] = v
	}
	return v
}

// Float is a float32 scalar.
func (b *Builder) Float(f float64) *onnx.Value { return b.Const(onnx.Scalar(float32(f))) }

// Ints is an int64 vector.
func (b *Builder) Ints(v ...int64) *onnx.Value { return b.Const(onnx.Of(v, int64(len(v)))) }

// Attrs lists a node's attributes by name.
type Attrs map[string]any

// Op appends a node with one output.
func (b *Builder) Op(name string, attrs Attrs, inputs ...*onnx.Value) *onnx.Value {
	return b.Ops(name, 1, attrs, inputs...)[0]
}

// Ops appends a node with several outputs.
func (b *Builder) Ops(name string, outputs int, attrs Attrs, inputs ...*onnx.Value) []*onnx.Value {
	n := &onnx.Node{Op: name, Domain: domains[name], Inputs: slices.Clone(inputs)}
	for len(n.Inputs) > 0 && n.Inputs[len(n.Inputs)-1] == nil {
		n.Inputs = n.Inputs[:len(n.Inputs)-1]
	}
	for k, v := range attrs {
		n.Attrs = append(n.Attrs, onnx.Attr{Name: k, Value: v})
	}
	slices.SortFunc(n.Attrs, func(x, y onnx.Attr) int { return strings.Compare(x.Name, y.Name) })
	out := make([]*onnx.Value, outputs)
	for i := range out {
		out[i] = &onnx.Value{Name: "invalid"}
	}
	if b.err != nil {
		return out
	}
	n.Outputs = slices.Clone(out) // callers may change what they are given
	n.Name = b.unique(name)
	types, err := InferNode(n)
	if err != nil {
		b.Fail("node %q: %w", n.Name, err)
		return out
	}
	for i, v := range out {
		*v = onnx.Value{Name: n.Name, Type: types[i], Node: n}
		if i > 0 {
			v.Name = b.unique(name + "_" + strconv.Itoa(i))
		}
	}
	b.Model.Nodes = append(b.Model.Nodes, n)
	if n.Domain != "" {
		b.Model.Domains = map[string]int64{n.Domain: 1}
	}
	return out
}

// Rename gives a value a telling name within the present scope.
func (b *Builder) Rename(v *onnx.Value, name string) *onnx.Value {
	if b.err == nil && v.Node != nil {
		v.Name = b.unique(name)
	}
	return v
}
