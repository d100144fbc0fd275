package testkit

import (
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/pass"
)

// Tests that import this package hold every graph that passes rewrite to Sound.
func init() { pass.Check = Sound }

// Sound reports the first way in which a model is not a well-formed, well-typed graph.
func Sound(m *onnx.Model) error {
	if err := m.Verify(); err != nil {
		return err
	}
	return op.Check(m)
}
