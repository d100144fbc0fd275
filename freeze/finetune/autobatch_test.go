package finetune

import (
	"testing"

	"yolofreeze/freeze/options"
)

func TestAutoBatch(t *testing.T) {
	o := smallRun(t)
	o.Epochs, o.BatchSize = 1, options.AutoBatch
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
