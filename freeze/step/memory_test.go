package step

import (
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
	"yolofreeze/onnx/optim"
)

// TestPeakBytes follows a chain whose values have 40 bytes each.
func TestPeakBytes(t *testing.T) {
	b := op.NewBuilder("chain")
	x := b.Input("x", onnx.Float, onnx.Dims(10))
	y := b.Sigmoid(x)
	z := b.Sigmoid(b.Sigmoid(y))
	b.Output("out", b.Add(y, z)) // x, y, z and their sum
	b.Sigmoid(z)                 // used by nobody
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if got := peakBytes(b.Model); got != 160 {
		t.Errorf("%d bytes, want 160", got)
	}
}

// TestStepMemory: a step takes more where less is frozen, and for larger pictures.
func TestStepMemory(t *testing.T) {
	m := fixture.SmallModel(t)
	memory := func(side int, selectors ...string) (int64, int64) {
		plan, err := m.Plan(selectors, nil)
		if err != nil {
			t.Fatal(err)
		}
		fixed, picture, err := Memory(Spec{Net: m.Net, State: m.State, Plan: plan, Height: side, Width: side,
			Optimizer: optim.Options{Algorithm: "SGD"}})
		if err != nil {
			t.Fatal(err)
		}
		return fixed, picture
	}
	_, all := memory(64)
	fixed, frozen := memory(64, "2")
	_, large := memory(128, "2")
	if !(frozen > 64*64*3*4 && all > frozen && large > 3*frozen && large < 5*frozen && fixed >= 0) {
		t.Errorf("a picture takes %d bytes, frozen %d, frozen and large %d; fixed %d", all, frozen, large, fixed)
	}
}
