package step

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"yolofreeze/freeze"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// Teacher is an older network that runs in the training graph, all its tensors
// constants. What its outputs are to the loss is said at loss.Teacher.
type Teacher struct {
	Net     *yolov5.Network
	State   map[string]*onnx.Tensor
	Columns []int   // of each of its classes, the class of the network that trains; -1: labels decide on it
	Weight  float64 // of its terms
}

// teacherScope is put before the names of a teacher's tensors and nodes.
const teacherScope = "teacher/"

// Shared is how many first layers a network has in common with its teacher all through training:
// the same layers with the same tensors, frozen with fixed statistics. They run once for both, or,
// where their outputs are cached, for neither.
func (t *Teacher) Shared(net *yolov5.Network, state map[string]*onnx.Tensor, plan *freeze.Plan) int {
	if t == nil || plan == nil || net.Folded != t.Net.Folded || net.Act != t.Net.Act || !reflect.DeepEqual(net.Acts, t.Net.Acts) {
		return 0
	}
	most := min(plan.FixedPrefix(), net.Head(), t.Net.Head())
	for i := range most {
		if !reflect.DeepEqual(net.Layers[i], t.Net.Layers[i]) {
			most = i
			break
		}
	}
	for name, tensor := range state {
		if layer := freeze.Layer(name); layer < most {
			if other := t.State[name]; other == nil || !slices.Equal(tensor.Shape, other.Shape) || !bytes.Equal(tensor.Raw, other.Raw) {
				most = layer
			}
		}
	}
	return most
}

// teach runs the teacher on what the network runs on, behind the layers that both share: outs are
// the outputs of the network's layers.
func (s *Spec) teach(b *op.Builder, outs map[int]*onnx.Value) (*loss.Teacher, error) {
	t := s.Teacher
	if t == nil {
		return nil, nil
	}
	shared := t.Shared(s.Net, s.State, s.Plan)
	if shared < s.Cut.Layers {
		return nil, fmt.Errorf("the teacher shares %d first layers, and %d are cut off", shared, s.Cut.Layers)
	}
	of := map[int]*onnx.Value{yolov5.Images: outs[yolov5.Images]}
	for _, layer := range t.Net.Cut(shared) {
		of[layer] = outs[layer]
	}
	weights := Spec{State: t.State}
	g := yolov5.Graph{Builder: b, Net: t.Net, Scope: teacherScope, Param: func(p yolov5.Param) *onnx.Value {
		tensor, err := weights.tensor(p)
		if err != nil {
			return b.Fail("%w", err)
		}
		return b.Param(teacherScope+p.Name, tensor)
	}}
	heads, err := g.ForwardFrom(shared, of)
	if err != nil {
		return nil, fmt.Errorf("build the teacher: %w", err)
	}
	return &loss.Teacher{Net: t.Net, Heads: heads, Columns: t.Columns, Weight: t.Weight}, nil
}
