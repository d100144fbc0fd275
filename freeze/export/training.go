package export

import (
	"yolofreeze/freeze"
	"yolofreeze/freeze/model"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/artifact"
	"yolofreeze/onnx/wire"
)

// OnDevice lays a model out for ONNX Runtime's own on-device training API
// (onnxruntime-training 1.19.2 was its last). Its user inputs are images, uint8
// [N,3,H,W], and the matches of each level as in our training graph; it answers
// with the total loss and its three parts. Every parameter is an input of the
// graphs, and gradients add up in buffers that the runtime keeps.
//
// That API keeps no other state than parameters, so BatchNorm normalises by the
// running statistics, which stay as they are, under every plan.
func OnDevice(m *model.Model, plan *freeze.Plan, o BundleOptions) (*artifact.OnDevice, error) {
	if err := oneBranch(m, "ONNX Runtime's training API"); err != nil {
		return nil, err
	}
	size := o.size()
	spec := &step.Spec{Net: m.Net, State: m.State, Plan: plan, Batch: o.Batch, Height: size.Height, Width: size.Width,
		Loss: step.LossOf(o.Hyp).ScaledTo(m.Net, int64(size.Height), int64(size.Width))}
	decay := step.Recipe{Hyp: o.Hyp, BatchSize: o.Batch}.WeightDecay()
	about, err := m.About()
	if err != nil {
		return nil, err
	}
	d := &artifact.OnDevice{State: &artifact.TrainingState{Properties: map[string]string{model.ModelKey: about, model.VersionKey: o.Version}}}
	if d.Optimizer, err = wire.OnDeviceOptimizer(o.Optimizer, o.Hyp.Momentum, decay); err != nil {
		return nil, err
	}
	if d.Training, err = spec.OnDeviceTraining(d.State); err != nil {
		return nil, err
	}
	if d.Eval, err = spec.OnDeviceEval(); err != nil {
		return nil, err
	}
	return d, nil
}
