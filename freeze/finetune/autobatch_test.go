package finetune

import (
	"testing"

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
	m := smallModel(t)
	memory := func(side int, selectors ...string) (int64, int64) {
		plan, err := m.Plan(selectors, nil)
		if err != nil {
			t.Fatal(err)
		}
		fixed, picture, err := stepMemory(Spec{Net: m.Net, State: m.State, Plan: plan, Height: side, Width: side,
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

func TestAutoBatch(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.BatchSize = 1, AutoBatch
	q := &quiet{t: t}
	mustRun(t, o, q)
	if !q.heard("AutoBatch: a step takes about ") || !q.heard("batch size 64") {
		t.Errorf("lines %q", q.lines)
	}
	o.BatchSize = -2
	if _, err := Run(t.Context(), o, q); err == nil || err.Error() != "batch size -2: want 1 or more, or -1 for what fits into memory" {
		t.Errorf("error %v", err)
	}
}
