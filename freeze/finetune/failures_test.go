package finetune

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/freeze"
	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/options"
	"yolofreeze/freeze/step"
	"yolofreeze/onnx/optim"
	"yolofreeze/onnx/ort"
)

// TestMemoryError plants what the CUDA provider's arena says when it is at its limit.
func TestMemoryError(t *testing.T) {
	m := fixture.SmallModel(t)
	plan, err := m.Plan([]string{"1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run := &trainer{job: &job{model: m, stages: []freeze.Stage{{Plan: plan}}, size: dataset.SizeOf(64, 0), batch: 48, loss: step.LossOf(options.Defaults().Hyp), o: &options.Settings{Options: options.Defaults()}}}
	run.o.Runtime.Device = ort.Device{Kind: ort.CUDA}
	limited := func(bytes string) { run.o.Runtime.ProviderOptions = map[string]string{"gpu_mem_limit": bytes} }
	limited("20000000")
	planted := fmt.Errorf("run the training graph: %w", errors.New("BFCArena::AllocateRawInternal Available memory of 12 is smaller than requested bytes of 256"))
	failure := func(want string) *MemoryError {
		t.Helper()
		var e *MemoryError
		if err := run.outOfMemory(planted); !errors.As(err, &e) || !errors.Is(err, planted) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("error %v, want %q in it", err, want)
		}
		return e
	}
	e := failure("out of memory on cuda:0 with batch size 48 at 64 pixels: batch size ")
	fixed, picture, err := step.Memory(step.Spec{Net: m.Net, State: m.State, Plan: plan, Height: 64, Width: 64, Loss: step.LossOf(options.Defaults().Hyp), Optimizer: optim.Options{Algorithm: "SGD"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(e.Fits); !e.Estimated || n < 2 || n >= 48 || fixed+n*picture > 20e6 || fixed+(n+1)*picture <= 20e6 {
		t.Errorf("%d pictures fit; a step takes %d bytes and %d for each", n, fixed, picture)
	}
	if want := fmt.Sprintf("`batch-size %d`;", e.Fits); !strings.HasPrefix(e.Hint(), want) {
		t.Errorf("hint %q, want %q", e.Hint(), want)
	}

	limited("1000")
	failure("not even one picture would fit")
	run.o.Runtime.ProviderOptions = nil // the memory of a GPU that is not there
	failure("try batch size 24")

	limited("99000000000") // by which it should have fitted
	if e := failure("try batch size 24"); e.Estimated {
		t.Errorf("%+v", e)
	}
	other := errors.New("another failure")
	if got := run.outOfMemory(other); got != other {
		t.Errorf("%v became %v", other, got)
	}
}
