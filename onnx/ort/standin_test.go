package ort

import (
	"sync"
	"testing"
	"time"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/standin"
)

// TestStandinThreads: kernels follow on the stream on which their input was copied, although
// other goroutines make the scheduler move those that run on the device to other threads.
func TestStandinThreads(t *testing.T) {
	trace := standin.Rerun(t)
	if trace == nil {
		runMany(t)
		return
	}
	copies := map[string]int{} // by stream, not followed by a kernel yet
	kernels := 0
	for _, c := range trace {
		switch {
		case c.What == "copy" && c.Fields[2] == "device":
			copies[c.Fields[0]]++
		case c.What == "kernel":
			kernels++
			if copies[c.Fields[0]]--; copies[c.Fields[0]] != 0 {
				t.Fatalf("kernel %d runs on stream %s, its input was copied on another: %v", kernels, c.Fields[0], copies)
			}
		}
	}
	if kernels < standinRuns {
		t.Errorf("%d kernels of %d runs", kernels, standinRuns)
	}
}

const standinRuns = 3000

// runMany runs y = -x on a device while other goroutines want its thread.
func runMany(t *testing.T) {
	s, err := Open(unaryModel("Neg", onnx.Float, 1), Options{Device: standin.Device})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	x, err := NewValue(onnx.NewTensor(onnx.Float, 8))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := s.Place(onnx.NewTensor(onnx.Float, 8))
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	if err := b.Input("x", x); err != nil {
		t.Fatal(err)
	}
	if err := b.Output("y", y); err != nil {
		t.Fatal(err)
	}
	var others sync.WaitGroup
	done := make(chan bool)
	for range 8 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					time.Sleep(time.Microsecond)
				}
			}
		})
	}
	for range standinRuns {
		if err := b.Run(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	others.Wait()
}
