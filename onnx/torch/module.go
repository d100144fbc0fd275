package torch

import (
	"fmt"
	"iter"

	"yolofreeze/onnx"
)

// Limits of the tree of modules; yolov5x6 has about 1,000 of them, 6 deep.
const (
	maxModuleDepth = 64
	maxModules     = 20_000
	maxName        = 512
	maxSlots       = 200_000 // parameters and buffers of all modules, those that are None or hidden included
	maxInts        = 256     // of one attribute
)

// Object is an instance of a Python class, held as its attributes: nothing of the
// class itself is known. Instances of torch.nn.Module have children, parameters
// and buffers beside their plain attributes.
type Object struct {
	Module, Name string // "models.common", "C3"
	attrs        *dict
}

// Class returns "models.common.C3".
func (o *Object) Class() string { return globalName(o.Module, o.Name) }

func (o *Object) String() string { return o.Class() }

// setState takes the attributes as BUILD brings them: a dict, or with slots a
// tuple of two.
func (o *Object) setState(m *machine, state any) error {
	if pair, ok := state.(tuple); ok && len(pair) == 2 {
		for _, part := range pair {
			if part == nil {
				continue
			}
			if _, nested := part.(tuple); nested {
				return fmt.Errorf("%s: state is a tuple of tuples", o.Class())
			}
			if err := o.setState(m, part); err != nil {
				return err
			}
		}
		return nil
	}
	d, ok := state.(*dict)
	if !ok {
		return fmt.Errorf("%s: state is %s, not a dict", o.Class(), kind(state))
	}
	if o.attrs == nil {
		o.attrs = &dict{}
	}
	for i, key := range d.keys {
		if _, ok := key.(string); !ok {
			return fmt.Errorf("%s: an attribute's name is %s", o.Class(), kind(key))
		}
		if m.charge(96); m.err != nil {
			return m.err
		}
		o.attrs.set(key, d.values[i])
	}
	return nil
}

// Attr returns a plain attribute as nested []any, map[string]any, string, int64,
// float64, bool, nil, *onnx.Tensor or *Object; false where there is none, or where
// it has no such form.
func (o *Object) Attr(name string) (any, bool) {
	v, ok := o.raw(name)
	if !ok {
		return nil, false
	}
	p, err := plain(v)
	return p, err == nil
}

func (o *Object) raw(name string) (any, bool) {
	if o == nil || o.attrs == nil {
		return nil, false
	}
	at, ok := o.attrs.index[name]
	if !ok {
		return nil, false
	}
	return o.attrs.values[at], true
}

// Int returns an integer attribute.
func (o *Object) Int(name string) (int64, bool) {
	v, _ := o.raw(name)
	n, ok := v.(int64)
	return n, ok
}

// Ints returns an attribute that is an integer or a tuple or list of integers,
// such as kernel_size or f.
func (o *Object) Ints(name string) ([]int64, bool) {
	v, _ := o.raw(name)
	if n, ok := v.(int64); ok {
		return []int64{n}, true
	}
	return integers(v, maxInts)
}

// Float returns a numeric attribute, such as eps or momentum.
func (o *Object) Float(name string) (float64, bool) {
	v, _ := o.raw(name)
	return number(v)
}

// Bool returns a bool attribute.
func (o *Object) Bool(name string) (value, ok bool) {
	v, _ := o.raw(name)
	value, ok = v.(bool)
	return value, ok
}

// Text returns a str attribute, such as mode or padding_mode.
func (o *Object) Text(name string) (string, bool) {
	v, _ := o.raw(name)
	s, ok := v.(string)
	return s, ok
}

// Child returns the child module of that name, nil where there is none.
func (o *Object) Child(name string) *Object {
	c, _ := o.part("_modules").get(name).(*Object)
	return c
}

// Children yields the child modules in their order.
func (o *Object) Children() iter.Seq2[string, *Object] {
	return func(yield func(string, *Object) bool) {
		d := o.part("_modules")
		if d == nil {
			return
		}
		for i, key := range d.keys {
			name, isName := key.(string)
			if child, ok := d.values[i].(*Object); ok && isName && !yield(name, child) {
				return
			}
		}
	}
}

// Tensor returns the parameter, buffer or tensor attribute of that name, nil where
// there is none.
func (o *Object) Tensor(name string) *onnx.Tensor {
	own, _ := o.raw(name)
	for _, v := range []any{o.part("_parameters").get(name), o.part("_buffers").get(name), own} {
		if t, ok := v.(*tensor); ok {
			made, _ := t.get() // a file with a tensor that fails does not load
			return made
		}
	}
	return nil
}

func (o *Object) part(name string) *dict {
	v, _ := o.raw(name)
	d, _ := v.(*dict)
	return d
}

// walker collects a module's state in the order of PyTorch's state_dict: own
// parameters, own persistent buffers, then each child's.
type walker struct {
	state   []NamedTensor
	names   map[string]bool
	modules int
	slots   int
	hidden  map[*set]map[any]bool // what is in a set of hidden buffers, which modules may share
}

func newWalker() *walker {
	return &walker{names: map[string]bool{}, hidden: map[*set]map[any]bool{}}
}

// hiddenIn returns the names in a module's set of hidden buffers.
func (w *walker) hiddenIn(o *Object) map[any]bool {
	v, _ := o.raw("_non_persistent_buffers_set")
	s, ok := v.(*set)
	if !ok {
		return nil
	}
	if names, known := w.hidden[s]; known {
		return names
	}
	names := make(map[any]bool, len(s.items))
	for _, item := range s.items {
		if hashable(item) {
			names[item] = true
		}
	}
	w.hidden[s] = names
	return names
}

func (w *walker) module(prefix string, o *Object, depth int) error {
	if w.modules++; w.modules > maxModules {
		return fmt.Errorf("%s: more than %d modules", shown(prefix), maxModules)
	}
	if depth > maxModuleDepth || len(prefix) > maxName {
		return fmt.Errorf("%s: modules nested deeper than %d, or a name longer than %d", quote(prefix), maxModuleDepth, maxName)
	}
	if err := w.tensors(prefix, o.part("_parameters"), nil, true); err != nil {
		return err
	}
	if err := w.tensors(prefix, o.part("_buffers"), w.hiddenIn(o), false); err != nil {
		return err
	}
	children := o.part("_modules")
	if children == nil {
		return nil
	}
	for i, key := range children.keys {
		name := prefix + keyText(key)
		switch child := children.values[i].(type) {
		case nil:
		case *Object:
			if err := w.module(name+".", child, depth+1); err != nil {
				return err
			}
		default:
			return fmt.Errorf("module %s is %s", shown(name), kind(child))
		}
	}
	return nil
}

func (w *walker) tensors(prefix string, d *dict, hidden map[any]bool, parameter bool) error {
	if d == nil {
		return nil
	}
	for i, key := range d.keys {
		if w.slots++; w.slots > maxSlots {
			return fmt.Errorf("%s: more than %d parameters and buffers", shown(prefix), maxSlots)
		}
		if d.values[i] == nil || hidden[key] {
			continue
		}
		if err := w.tensor(prefix+keyText(key), d.values[i], parameter); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) tensor(name string, v any, parameter bool) error {
	t, ok := v.(*tensor)
	switch {
	case !ok:
		return fmt.Errorf("tensor %s is %s", shown(name), kind(v))
	case len(name) > maxName:
		return fmt.Errorf("tensor %s: a name longer than %d", quote(name), maxName)
	case w.names[name]:
		return fmt.Errorf("tensor %s twice in the model", shown(name))
	}
	made, err := t.get()
	if err == nil {
		err = t.show()
	}
	if err != nil {
		return fmt.Errorf("tensor %s: %w", shown(name), err)
	}
	w.names[name] = true
	w.state = append(w.state, NamedTensor{name, made, parameter})
	return nil
}
