package ort

import (
	"errors"
	"strings"
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

// negative is the model y = -x.
func negative(t *testing.T) []byte {
	t.Helper()
	m, err := unaryModel("Neg", onnx.Float, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// runMany runs y = -x on a device while other goroutines want its thread.
func runMany(t *testing.T) {
	s, err := Open(negative(t), Options{Device: Device{Kind: CUDA}})
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

// TestStandinMessages: what the provider says when a GPU is not as it should be comes as one
// short line with the right cure, without places in its sources.
func TestStandinMessages(t *testing.T) {
	for _, c := range []struct{ env, device, want, cure string }{
		{"STANDIN_DEVICES=1", "cuda:1", "Invalid device ID: 1, must be between 0 (inclusive) and 1 (exclusive)", "CUDA_DEVICE_ORDER"},
		{"STANDIN_DEVICES=0", "cuda:0", "Invalid device ID: 0", "no NVIDIA GPU is seen"},
		{"STANDIN_FAULT=cudaGetDeviceCount=100", "cuda:0", "CUDA failure 100: no CUDA-capable device is detected", "no NVIDIA GPU is seen"},
		{"STANDIN_FAULT=cudaSetDevice=35", "cuda:0", "CUDA failure 35: CUDA driver version is insufficient", "install 580.65"},
		{"STANDIN_FAULT=cudaSetDevice=46", "cuda:0", "CUDA failure 46: CUDA-capable device(s) is/are busy", "compute mode"},
		{"STANDIN_FAULT=cudaMalloc=2@3", "cuda:0", "Failed to allocate memory", "another program holds"},
		{"STANDIN_FAULT=cublasCreate_v2=1", "cuda:0", "CUBLAS failure 1", "cuBLAS does not start"},
		{"STANDIN_FAULT=cudnnBackendFinalize=3000", "cuda:0", "OP not supported by CUDNN Frontend", "cuDNN 9.19.0, which is loaded, has no plan"},
		{"STANDIN_FAULT=cudaStreamSynchronize=719", "cuda:0", "CUDA failure 719: unspecified launch failure", "Xid"},
	} {
		t.Run(c.env+" "+c.device, func(t *testing.T) {
			if standin.Rerun(t, c.env) != nil {
				return
			}
			err := Check(named(t, c.device), nil)
			var u *Unavailable
			if !errors.As(err, &u) {
				t.Fatalf("error %v", err)
			}
			if reason := u.Reason.Error(); !strings.Contains(reason, c.want) || !strings.Contains(u.Cure, c.cure) {
				t.Errorf("%q, cured by %q, want %q and %q", reason, u.Cure, c.want, c.cure)
			} else if len(reason) > 240 || strings.Contains(reason, "onnxruntime::") || strings.Contains(reason, ".cc:") {
				t.Errorf("%q holds places in the runtime's sources", reason)
			}
		})
	}
}

// TestStandinFull: a device whose memory does not take a tensor says that it is out of memory.
func TestStandinFull(t *testing.T) {
	if standin.Rerun(t, "STANDIN_MEMORY=100000000") != nil {
		return
	}
	s, err := Open(negative(t), Options{Device: Device{Kind: CUDA}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Place(onnx.NewTensor(onnx.Float, 50_000_000))
	if !OutOfMemory(err) {
		t.Errorf("error %v", err)
	}
	if free, known := s.device.FreeMemory(); !known || free <= 0 || free > 100_000_000 {
		t.Errorf("%d bytes are free, known %v", free, known)
	}
}
