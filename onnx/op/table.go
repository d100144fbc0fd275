package op

import (
	"fmt"

	"yolofreeze/onnx"
)

// Opset is the version of ai.onnx of every graph that yolofreeze emits: the
// newest that CUDA builds of ONNX Runtime cover wholly from 1.18 on.
const Opset = 17

// Op describes an operator of the domain ai.onnx, or a composite one of Domain.
type Op struct {
	Name     string
	Required int     // how many inputs, from the first on, may not be omitted
	Since    []int64 // schema versions, ascending
	Infer    Infer
	Grad     Gradient
}

// Infer is a shape rule: the types of a node's outputs from the types and
// constants of its inputs and from its attributes. It checks as it goes.
type Infer func(n *onnx.Node) ([]onnx.Type, error)

// Gradient is a rule of reverse-mode differentiation. Rule builds, for the
// gradients dy of the node's outputs (nil: none arrives), the gradient of each
// input whose Needs is true; the others stay nil. The caller sums over
// broadcast dimensions. The zero Gradient means that someone forgot.
type Gradient struct {
	Rule   func(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value
	Reason string // why there is none, for Unsupported
	none   bool
}

// Backward is the builder a gradient rule writes with.
type Backward struct {
	*Builder
	Needs []bool // per input of the node: is its gradient wanted?
}

// NoGrad marks operators whose outputs do not depend smoothly on any input.
var NoGrad = Gradient{none: true}

// Unsupported marks operators that have a gradient which nobody needs here.
func Unsupported(reason string) Gradient { return Gradient{Reason: reason} }

// Differentiable reports whether gradients flow through the operator.
func (g Gradient) Differentiable() bool { return !g.none }

func rule(f func(b *Backward, n *onnx.Node, dy []*onnx.Value) []*onnx.Value) Gradient {
	return Gradient{Rule: f}
}

var (
	table   = map[string]*Op{}
	domains = map[string]string{} // of operators that are not of ai.onnx
)

func init() {
	for _, family := range [][]Op{convolutions, norms, pools, elementwise, shapes, indexing, selections, reductions, products, quantisations, composites} {
		for _, o := range family {
			if o.Grad.Rule == nil && o.Grad.Reason == "" && !o.Grad.none {
				panic("op: the gradient of " + o.Name + " is neither given nor declined")
			}
			if table[o.Name] != nil {
				panic("op: " + o.Name + " is listed twice")
			}
			table[o.Name] = &o
		}
	}
	for _, o := range composites {
		domains[o.Name] = Domain
	}
}

// Lookup returns the operator called name.
func Lookup(name string) (*Op, bool) {
	o, ok := table[name]
	return o, ok
}

// Names returns every operator of the table, unordered.
func Names() []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	return names
}

// Since returns the version of the schema of an operator of ai.onnx in force at an opset.
func Since(name string, opset int64) (int64, bool) {
	o, ok := table[name]
	if !ok || domains[name] != "" {
		return 0, false
	}
	since := int64(0)
	for _, v := range o.Since {
		if v <= opset {
			since = v
		}
	}
	return since, since > 0
}

// InferNode returns the types of a node's outputs by its operator's shape rule.
func InferNode(n *onnx.Node) ([]onnx.Type, error) {
	o, ok := table[n.Op]
	if !ok || n.Domain != domains[n.Op] {
		return nil, fmt.Errorf("op %s%s: not an operator that yolofreeze knows", domainPrefix(n.Domain), n.Op)
	}
	types, err := o.infer(n)
	if err != nil {
		return nil, fmt.Errorf("op %s: %w", n.Op, err)
	}
	return types, nil
}

// infer spares the rules what each would have to check: that inputs are there
// and of known rank, and that there are no more outputs than they speak of.
func (o *Op) infer(n *onnx.Node) ([]onnx.Type, error) {
	for i := range max(o.Required, len(n.Inputs)) {
		switch v := n.Input(i); {
		case v == nil && i < o.Required:
			return nil, fmt.Errorf("lacks input %d", i)
		case v != nil && v.Type.Shape == nil:
			return nil, fmt.Errorf("input %d, %q, is of unknown rank", i, v.Name)
		}
	}
	types, err := o.Infer(n)
	if err != nil {
		return nil, err
	}
	if len(n.Outputs) > len(types) {
		return nil, fmt.Errorf("has %d outputs, not %d", len(n.Outputs), len(types))
	}
	return types, nil
}

func domainPrefix(domain string) string {
	if domain == "" {
		return ""
	}
	return domain + "."
}

// Check verifies that every value's type is what the shape rules answer, or
// says more where they know nothing of a dimension. Nodes of other domains are
// taken as they are.
func Check(m *onnx.Model) error {
	for _, n := range m.Nodes {
		if n.Domain != "" && n.Domain != Domain {
			continue
		}
		types, err := InferNode(n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
		for i, out := range n.Outputs {
			if out != nil && !refines(out.Type, types[i]) {
				return fmt.Errorf("node %q: output %q is %v, by the rule of %s it is %v", n.Name, out.Name, out.Type, n.Op, types[i])
			}
		}
	}
	return nil
}

// refines reports whether t is u, or u with some of its nameless dimensions known.
func refines(t, u onnx.Type) bool {
	if t.DType != u.DType || len(t.Shape) != len(u.Shape) {
		return false
	}
	for i, d := range u.Shape {
		if t.Shape[i] != d && (d.Known() || d.Name != "") {
			return false
		}
	}
	return true
}

// InferTypes sets the type of every node's outputs, for models read from a file.
func InferTypes(m *onnx.Model) error {
	for _, n := range m.Nodes {
		if n.Domain != "" {
			return fmt.Errorf("node %q: op %s%s: not an operator of ai.onnx", n.Name, domainPrefix(n.Domain), n.Op)
		}
		types, err := InferNode(n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
		for i, out := range n.Outputs {
			if out != nil {
				out.Type = types[i]
			}
		}
	}
	return nil
}
