package ref

import (
	"fmt"
	"maps"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

// Run computes the model's outputs, by name, from its inputs. Value types must be set
// where integers are divided; where types are set, every array is held against them,
// and what a node gives as float16 or bfloat16 is rounded to that.
func Run(m *onnx.Model, feeds map[string]*Array) (map[string]*Array, error) {
	have := map[*onnx.Value]*Array{}
	for _, v := range m.Initializers {
		have[v] = FromTensor(v.Const)
	}
	fed := 0
	for _, v := range m.Inputs {
		a := feeds[v.Name]
		if a == nil {
			return nil, fmt.Errorf("run: input %q is not fed", v.Name)
		}
		if err := conforms(v, a); err != nil {
			return nil, fmt.Errorf("run: input: %w", err)
		}
		have[v] = a
		fed++
	}
	if fed < len(feeds) {
		return nil, fmt.Errorf("run: fed %q, the inputs are %v", slices.Sorted(maps.Keys(feeds)), m.Inputs)
	}
	uses := countUses(m)
	for _, n := range m.Nodes {
		if err := step(m.Opset, n, have); err != nil {
			return nil, err
		}
		for _, v := range n.Inputs { // let go of what nobody reads any more
			if uses[v]--; uses[v] == 0 {
				delete(have, v)
			}
		}
	}
	out := map[string]*Array{}
	for _, v := range m.Outputs {
		if have[v] == nil {
			return nil, fmt.Errorf("run: nothing produces output %q", v.Name)
		}
		out[v.Name] = have[v]
	}
	return out, nil
}

func countUses(m *onnx.Model) map[*onnx.Value]int {
	uses := map[*onnx.Value]int{}
	for _, n := range m.Nodes {
		for _, v := range n.Inputs {
			uses[v]++
		}
	}
	for _, v := range m.Outputs {
		uses[v]++
	}
	return uses
}

// step evaluates one node of a run.
func step(opset int64, n *onnx.Node, have map[*onnx.Value]*Array) error {
	in := make([]*Array, len(n.Inputs))
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		if in[i] = have[v]; in[i] == nil {
			return fmt.Errorf("op %s, node %q: input %q has no value yet", n.Op, n.Name, v.Name)
		}
	}
	out, err := Eval(n, opset, in)
	if err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v == nil {
			continue
		}
		if err := conforms(v, out[i]); err != nil {
			return fmt.Errorf("op %s, node %q: output: %w", n.Op, n.Name, err)
		}
		have[v] = out[i].rounded(v.Type.DType)
	}
	return nil
}

// conforms holds an array against the type its value declares.
func conforms(v *onnx.Value, a *Array) error {
	if v.Type.Shape == nil {
		return nil
	}
	ok := len(v.Type.Shape) == len(a.Shape)
	for i := 0; ok && i < len(a.Shape); i++ {
		d := v.Type.Shape[i]
		ok = !d.Known() || d.Size == a.Shape[i]
	}
	if !ok {
		return fmt.Errorf("%q has shape %v, its type is %v", v.Name, a.Shape, v.Type)
	}
	return nil
}

// Eval computes one node of the domain ai.onnx at an opset. Entries of in are nil for
// omitted inputs. It returns as many arrays as the node has outputs, and at least those
// that the operator always gives; division is the integers' where the node's values have
// integer types. Operators, shapes or attributes that it cannot follow are errors.
func Eval(n *onnx.Node, opset int64, in []*Array) (out []*Array, err error) {
	k, ok := kernels[n.Op]
	if !ok || n.Domain != "" && n.Domain != op.Domain {
		return nil, fmt.Errorf("op %s, node %q: no reference for it (domain %q)", n.Op, n.Name, n.Domain)
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(refusal)
			if !ok {
				panic(r)
			}
			out, err = nil, fmt.Errorf("op %s, node %q: %w", n.Op, n.Name, f.err)
		}
	}()
	c := &call{n, opset, in}
	need(len(in) >= k.min && len(in) <= k.max, "%d inputs, want %d to %d", len(in), k.min, k.max)
	for i, a := range in {
		need(i >= k.min || a != nil, "input %d is missing", i)
		need(a == nil || elements(a.Shape) == int64(len(a.Data)), "input %d is not an array", i)
	}
	if k.one != nil {
		out = []*Array{k.one(c)}
	} else {
		out = k.many(c)
	}
	need(len(n.Outputs) <= len(out), "%d outputs, it gives %d", len(n.Outputs), len(out))
	return out, nil
}

// Supported reports whether Eval knows an operator of the domain ai.onnx, or a composite one.
func Supported(name string) bool {
	_, ok := kernels[name]
	return ok
}

// kernel computes an operator that takes min to max inputs and gives one output or many.
type kernel struct {
	min, max int
	one      func(*call) *Array
	many     func(*call) []*Array
}

// variadic is the max of operators that take any number of inputs.
const variadic = 1 << 30
