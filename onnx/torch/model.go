package torch

import (
	"fmt"
	"strconv"
	"strings"

	"yolofreeze/onnx"
)

// readModel reads the root module: its list of layers, its state, and what its
// last layer (Detect) and itself say of the classes and levels.
func (c *Checkpoint) readModel() error {
	w := newWalker()
	if err := w.module("", c.Model, 0); err != nil {
		return err
	}
	c.State = w.state
	if err := c.readLayers(); err != nil {
		return err
	}
	table, _ := c.Model.raw("yaml")
	var err error
	if c.YAML, err = plainDict("yaml", table); err != nil {
		return err
	}
	if names, ok := c.Model.raw("names"); ok {
		if c.Names, err = classNames(names); err != nil {
			return err
		}
	}
	head := c.Layers[len(c.Layers)-1].Object
	for _, o := range []*Object{head, c.Model} {
		if nc, ok := o.Int("nc"); ok && c.NC == 0 {
			c.NC = int(nc)
		}
		if stride := o.Tensor("stride"); stride != nil && c.Strides == nil {
			c.Strides = stride.Float64s()
		}
	}
	if nc, ok := c.YAML["nc"].(int64); ok && c.NC == 0 {
		c.NC = int(nc)
	}
	c.Anchors = head.Tensor("anchors")
	return nil
}

// readLayers lists the children of the module called model, in their order.
func (c *Checkpoint) readLayers() error {
	list := c.Model.Child("model")
	if list == nil {
		return fmt.Errorf("%s has no list of layers called model: not a model of YOLOv5", c.Model.Class())
	}
	for name, o := range list.Children() {
		index, err := strconv.Atoi(name)
		if err != nil || index != len(c.Layers) {
			return fmt.Errorf("layer %s comes after %d layers", shown("model."+name), len(c.Layers))
		}
		layer := Layer{Index: index, Class: o.Class(), Object: o}
		from, _ := o.Ints("f")
		for _, f := range from {
			layer.From = append(layer.From, int(f))
		}
		c.Layers = append(c.Layers, layer)
	}
	if len(c.Layers) == 0 {
		return fmt.Errorf("%s has no layers: not a model of YOLOv5", c.Model.Class())
	}
	return nil
}

// printed is a value as Python prints it: the name that an unquoted no, 1.0 or ~
// in a data.yaml became.
func printed(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return map[bool]string{true: "True", false: "False"}[v]
	case float64:
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".en") { // nor inf, nan
			text += ".0"
		}
		return text
	}
	return fmt.Sprint(v)
}

// classNames reads a list, or a dict by index, of names.
func classNames(v any) ([]string, error) {
	p, err := plain(v)
	if err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	switch p := p.(type) {
	case []any:
		names := make([]string, len(p))
		for i, n := range p {
			names[i] = printed(n)
		}
		return names, nil
	case map[string]any:
		names := make([]string, len(p))
		for i := range names {
			n, ok := p[strconv.Itoa(i)]
			if !ok {
				return nil, fmt.Errorf("names: %d of them, but none for class %d", len(names), i)
			}
			names[i] = printed(n)
		}
		return names, nil
	}
	return nil, nil
}

// readStateDict takes the tensors as they are and the anchors from among them.
func (c *Checkpoint) readStateDict(d *dict) error {
	c.Source = "state_dict"
	w := newWalker()
	for i, key := range d.keys {
		name := key.(string) // as isStateDict found
		t := d.values[i].(*tensor)
		if err := w.tensor(name, t, t.parameter || !bufferName(name, t.dtype)); err != nil {
			return err
		}
	}
	c.State = w.state
	for _, n := range c.State {
		if strings.HasSuffix(n.Name, ".anchors") && len(n.Tensor.Shape) == 3 {
			c.Anchors = n.Tensor
			c.NC = classesOf(c.State, strings.TrimSuffix(n.Name, "anchors")+"m.0.weight", n.Tensor.Shape[1])
		}
	}
	return nil
}

// bufferName knows the buffers that YOLOv5's modules register.
func bufferName(name string, d onnx.DType) bool {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "running_mean", "running_var", "num_batches_tracked", "anchors", "anchor_grid":
		return true
	}
	return d == onnx.Int64 || d == onnx.Bool
}

// classesOf solves channels = na · (5 + nc) for a head convolution's output channels.
func classesOf(state []NamedTensor, weight string, na int64) int {
	for _, n := range state {
		if n.Name == weight && len(n.Tensor.Shape) == 4 && na > 0 && n.Tensor.Shape[0]%na == 0 {
			return int(max(n.Tensor.Shape[0]/na-5, 0))
		}
	}
	return 0
}
