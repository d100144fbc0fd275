package onnx

import (
	"fmt"
	"slices"
)

// Verify reports the first way in which the model is not a well-formed graph:
// every value has a name of its own and is bound once (as an input, an initializer
// or a node's output), nodes use only what is bound before them, the outputs are
// bound, initializers carry a Const of their Type and size, and attributes are
// sorted by name and of a kind that Attr allows. What operators mean it leaves to
// package op. Node names serve people only and are not looked at.
func (m *Model) Verify() error {
	v := verifier{bound: map[*Value]bool{}, names: map[string]bool{}}
	for i, in := range m.Inputs {
		if err := v.bind(in, nil); err != nil {
			return fmt.Errorf("verify input %d: %w", i, err)
		}
		if in.Const != nil {
			return fmt.Errorf("verify input %d: %q has a constant", i, in.Name)
		}
	}
	for i, init := range m.Initializers {
		if err := v.bind(init, nil); err != nil {
			return fmt.Errorf("verify initializer %d: %w", i, err)
		}
		if err := checkConst(init); err != nil {
			return fmt.Errorf("verify initializer %d: %q: %w", i, init.Name, err)
		}
	}
	for i, n := range m.Nodes {
		if n == nil {
			return fmt.Errorf("verify node %d: it is nil", i)
		}
		if err := v.node(n); err != nil {
			return fmt.Errorf("verify node %d (%s %q): %w", i, n.Op, n.Name, err)
		}
	}
	for i, out := range m.Outputs {
		if out == nil {
			return fmt.Errorf("verify output %d: it is nil", i)
		}
		if !v.bound[out] {
			return fmt.Errorf("verify output %d: nothing produces %q", i, out.Name)
		}
	}
	return nil
}

type verifier struct {
	bound map[*Value]bool
	names map[string]bool
}

// bind enters a value that the given node, or none, produces.
func (v *verifier) bind(val *Value, by *Node) error {
	switch {
	case val == nil:
		return fmt.Errorf("a nil value")
	case val.Name == "":
		return fmt.Errorf("a value without a name")
	case v.bound[val]:
		return fmt.Errorf("value %q is bound twice", val.Name)
	case v.names[val.Name]:
		return fmt.Errorf("two values are called %q", val.Name)
	case val.Node != by:
		return fmt.Errorf("value %q names another producer", val.Name)
	}
	v.bound[val], v.names[val.Name] = true, true
	return nil
}

func (v *verifier) node(n *Node) error {
	if n.Op == "" {
		return fmt.Errorf("no operator")
	}
	for i, in := range n.Inputs {
		if in != nil && !v.bound[in] {
			return fmt.Errorf("input %d, %q, is used before anything defines it", i, in.Name)
		}
	}
	for i, a := range n.Attrs {
		if err := checkAttr(a); err != nil {
			return err
		}
		if i > 0 && n.Attrs[i-1].Name >= a.Name {
			return fmt.Errorf("attribute %q stands after %q", a.Name, n.Attrs[i-1].Name)
		}
	}
	bound := false
	for i, out := range n.Outputs {
		if out == nil {
			continue
		}
		if err := v.bind(out, n); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
		if out.Const != nil {
			return fmt.Errorf("output %d: %q has a constant", i, out.Name)
		}
		bound = true
	}
	if !bound {
		return fmt.Errorf("no outputs")
	}
	return nil
}

func checkAttr(a Attr) error {
	switch t := a.Value.(type) {
	case int64, float32, string, []int64, []float32, []string:
		return nil
	case *Tensor:
		if t == nil {
			return fmt.Errorf("attribute %q: nil tensor", a.Name)
		}
		if err := checkTensor(t); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
		return nil
	}
	return fmt.Errorf("attribute %q has Go type %T", a.Name, a.Value)
}

func checkConst(v *Value) error {
	if v.Const == nil {
		return fmt.Errorf("no constant")
	}
	if err := checkTensor(v.Const); err != nil {
		return err
	}
	sizes, ok := v.Type.Static()
	if !ok || v.Type.DType != v.Const.DType || !slices.Equal(sizes, v.Const.Shape) {
		return fmt.Errorf("its type is %v, its constant is %v", v.Type, TypeOf(v.Const))
	}
	return nil
}

// checkTensor holds Raw against Shape and DType.
func checkTensor(t *Tensor) error {
	if t.DType.Size() == 0 {
		return fmt.Errorf("a tensor of %v has no bytes", t.DType)
	}
	for _, d := range t.Shape {
		if d < 0 {
			return fmt.Errorf("negative size in shape %v", t.Shape)
		}
	}
	if want := NumElements(t.Shape) * int64(t.DType.Size()); want != int64(len(t.Raw)) {
		return fmt.Errorf("%v takes %d bytes, not %d", TypeOf(t), want, len(t.Raw))
	}
	return nil
}
