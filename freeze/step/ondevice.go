package step

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/grad"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
	"yolofreeze/onnx/yolov5"
	"yolofreeze/onnx/yolov5/loss"
)

// onDeviceLosses are the outputs that on-device graphs begin with.
func onDeviceLosses(b *op.Builder, l loss.Losses) {
	for _, out := range []struct {
		name string
		v    *onnx.Value
	}{{OutTotal, l.Total}, {OutBox, l.Box}, {OutObj, l.Obj}, {OutCls, l.Cls}} {
		b.Output(out.name, out.v)
	}
}

// onDeviceForward builds forward pass and loss with every parameter an input.
func (s *Spec) onDeviceForward(b *op.Builder, visit func(p yolov5.Param, v *onnx.Value)) (loss.Losses, []*onnx.Value, error) {
	images := b.Input("images", onnx.Uint8, onnx.Dims(int64(s.Batch), 3, int64(s.Height), int64(s.Width)))
	net := yolov5.Graph{Builder: b, Net: s.Net, Param: func(p yolov5.Param) *onnx.Value {
		v := b.Input(p.Name, onnx.Float, onnx.Dims(p.Shape...))
		visit(p, v)
		return v
	}}
	heads, err := net.Forward(b.FromBytes(images, onnx.Float))
	if err != nil {
		return loss.Losses{}, nil, err
	}
	losses, err := loss.Build(b, s.Net, heads, s.Loss, nil)
	return losses, heads, err
}

// OnDeviceTraining writes the training graph and fills in the parameters' lists.
func (s *Spec) OnDeviceTraining(state *artifact.TrainingState) (*onnx.Model, error) {
	b := op.NewBuilder("training")
	var params []yolov5.Param
	var trainable []*onnx.Value
	loss, _, err := s.onDeviceForward(b, func(p yolov5.Param, v *onnx.Value) {
		t, err := s.tensor(p)
		if err != nil {
			b.Fail("%w", err)
			return
		}
		named := artifact.NamedTensor{Name: p.Name, Tensor: t}
		if p.Kind.Buffer() || s.frozen(p) {
			state.Frozen = append(state.Frozen, named)
			return
		}
		state.Trainable = append(state.Trainable, named)
		params, trainable = append(params, p), append(trainable, v)
	})
	if err != nil {
		return nil, fmt.Errorf("build the training graph: %w", err)
	}
	grads, err := grad.Build(b, loss.Total, trainable, loss.Detached)
	if err != nil {
		return nil, fmt.Errorf("build the gradients: %w", err)
	}
	onDeviceLosses(b, loss)
	losses := len(b.Model.Outputs)
	for i, p := range params {
		b.Output(p.Name+"_grad", grads[i])
	}
	if b.Err() != nil {
		return nil, fmt.Errorf("build the training graph: %w", b.Err())
	}
	if err := pass.Run(b.Model, pass.Standard...); err != nil {
		return nil, err
	}
	accumulate(b.Model, losses)
	return b.Model, nil
}

// accumulate replaces the outputs from the given one on, gradients, by ONNX
// Runtime's accumulators, which work in place: with lazy_reset_grad they
// overwrite their buffer, else they add to it.
func accumulate(m *onnx.Model, first int) {
	flag := onnx.Type{DType: onnx.Bool, Shape: onnx.Dims(1)}
	reset := &onnx.Value{Name: "lazy_reset_grad", Type: flag}
	m.Domains = map[string]int64{"com.microsoft": 1}
	for i, g := range m.Outputs[first:] {
		buffer := &onnx.Value{Name: g.Name + ".accumulation.buffer", Type: g.Type}
		done := &onnx.Value{Name: g.Name + ".accumulation.out", Type: flag}
		done.Node = &onnx.Node{Name: g.Name + ".accumulation", Op: "InPlaceAccumulatorV2", Domain: "com.microsoft",
			Inputs: []*onnx.Value{buffer, g, reset}, Outputs: []*onnx.Value{done}}
		m.Nodes, m.Inputs, m.Outputs[first+i] = append(m.Nodes, done.Node), append(m.Inputs, buffer), done
	}
	m.Inputs = append(m.Inputs, reset)
}

// OnDeviceEval writes the evaluation graph: the losses, and the decoded boxes,
// output0, by which the runtime's API exports a model for inference.
func (s *Spec) OnDeviceEval() (*onnx.Model, error) {
	b := op.NewBuilder("eval")
	loss, heads, err := s.onDeviceForward(b, func(yolov5.Param, *onnx.Value) {})
	if err != nil {
		return nil, fmt.Errorf("build the evaluation graph: %w", err)
	}
	onDeviceLosses(b, loss)
	return decodedModel(b, s.Net, heads, "build the evaluation graph")
}
