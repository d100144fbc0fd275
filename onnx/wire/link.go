package wire

import (
	"fmt"

	"yolofreeze/onnx"
)

// linker turns names into values.
type linker struct {
	values map[string]*onnx.Value
}

// link fills the model's graph from the decoded one.
func (g *graphProto) link(m *onnx.Model) error {
	l := linker{map[string]*onnx.Value{}}
	m.Name = g.name
	for _, v := range g.initializers {
		if err := l.bind(v); err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
	}
	m.Initializers = g.initializers
	for _, in := range g.inputs {
		if v := l.values[in.name]; v != nil && v.Const != nil {
			continue // an initializer's default value
		}
		if !in.typed {
			return fmt.Errorf("input %q has no type", in.name)
		}
		v := &onnx.Value{Name: in.name, Type: in.typ}
		if err := l.bind(v); err != nil {
			return fmt.Errorf("input: %w", err)
		}
		m.Inputs = append(m.Inputs, v)
	}
	for i, n := range g.nodes {
		if err := l.outputs(n); err != nil {
			return fmt.Errorf("node %d (%s %q): %w", i, n.node.Op, n.node.Name, err)
		}
	}
	for i, n := range g.nodes {
		if err := l.inputs(n); err != nil {
			return fmt.Errorf("node %d (%s %q): %w", i, n.node.Op, n.node.Name, err)
		}
	}
	for _, out := range g.outputs {
		v := l.values[out.name]
		if v == nil {
			return fmt.Errorf("nothing produces output %q", out.name)
		}
		m.Outputs = append(m.Outputs, v)
	}
	for _, v := range append(g.infos, g.outputs...) {
		if known := l.values[v.name]; v.typed && known != nil && known.Node != nil {
			known.Type = v.typ
		}
	}
	var err error
	m.Nodes, err = sorted(g.nodes)
	return err
}

func (l linker) bind(v *onnx.Value) error {
	if v.Name == "" {
		return fmt.Errorf("a value without a name")
	}
	if l.values[v.Name] != nil {
		return fmt.Errorf("value %q is bound twice", v.Name)
	}
	l.values[v.Name] = v
	return nil
}

func (l linker) outputs(n nodeProto) error {
	bound := false
	for _, name := range n.outputs {
		if name == "" {
			n.node.Outputs = append(n.node.Outputs, nil)
			continue
		}
		v := &onnx.Value{Name: name, Node: n.node}
		if err := l.bind(v); err != nil {
			return err
		}
		n.node.Outputs = append(n.node.Outputs, v)
		bound = true
	}
	if !bound {
		return fmt.Errorf("no outputs")
	}
	return nil
}

func (l linker) inputs(n nodeProto) error {
	for i, name := range n.inputs {
		v := l.values[name]
		if v == nil && name != "" {
			return fmt.Errorf("input %d, %q, is defined nowhere", i, name)
		}
		n.node.Inputs = append(n.node.Inputs, v)
	}
	return nil
}

// sorted orders nodes so that producers precede users and otherwise keeps the order.
// It is a depth-first walk with a stack of its own, because a chain may be long.
func sorted(protos []nodeProto) ([]*onnx.Node, error) {
	const open, done = 1, 2
	state := make(map[*onnx.Node]int, len(protos))
	order := make([]*onnx.Node, 0, len(protos))
	type frame struct {
		node *onnx.Node
		next int // the input to look at
	}
	for _, p := range protos {
		if state[p.node] == done {
			continue
		}
		stack := []frame{{node: p.node}}
		state[p.node] = open
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.node.Inputs) {
				state[top.node] = done
				order = append(order, top.node)
				stack = stack[:len(stack)-1]
				continue
			}
			in := top.node.Inputs[top.next]
			top.next++
			if in == nil || in.Node == nil || state[in.Node] == done {
				continue
			}
			if state[in.Node] == open {
				return nil, fmt.Errorf("a cycle goes through %q, the output of %s %q", in.Name, in.Node.Op, in.Node.Name)
			}
			state[in.Node] = open
			stack = append(stack, frame{node: in.Node})
		}
	}
	return order, nil
}
