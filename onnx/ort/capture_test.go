package ort

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"yolofreeze/onnx"
)

// TestCapture: a captured run repeats on the values it was bound to, with what
// they hold by then. What it would not see is refused: host memory, other values,
// outputs that the runtime allocates.
func TestCapture(t *testing.T) {
	for _, kind := range []Kind{WebGPU, CUDA} {
		t.Run(kind.String(), func(t *testing.T) {
			const n = 1000
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s := plugged(t, kind, add(n), Options{Capture: true})
			values := map[string]*Value{}
			for i, name := range []string{"state", "delta", "next"} {
				tensor := onnx.NewTensor(onnx.Float, n)
				for k := range n {
					onnx.Data[float32](tensor)[k] = float32(i * k)
				}
				v, err := s.Place(tensor)
				if err != nil {
					t.Fatal(err)
				}
				defer v.Close()
				values[name] = v
			}
			b, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			host, err := NewValue(onnx.NewTensor(onnx.Float, n))
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			refused(t, b.Input("state", host), "reaches no host memory")
			refused(t, b.OutputAuto("next"), "so one must be bound")
			if err := errors.Join(b.Input("state", values["state"]), b.Input("delta", values["delta"]), b.Output("next", values["next"])); err != nil {
				t.Fatal(err)
			}
			for run := range 4 {
				for k := range n {
					onnx.Data[float32](host.Tensor())[k] = float32(run * k)
				}
				if err := errors.Join(values["state"].Write(host.Tensor()), b.Run()); err != nil {
					t.Fatal(err)
				}
				expect(t, values["next"], func(i int) float32 { return float32(run*i + i) })
			}
			refused(t, b.Input("state", values["delta"]), "keeps the values it was captured with")
			other, err := s.Bind()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			refused(t, other.Run(), "captured with another binding")
			if moved := b.Moved(); moved != (Moved{}) {
				t.Errorf("moved %+v", moved)
			}
		})
	}
}

// TestCaptureNowhere: other providers have nothing of the kind.
func TestCaptureNowhere(t *testing.T) {
	needLibrary(t)
	model := encode(t, add(1))
	_, err := Open(model, Options{Capture: true})
	refused(t, err, "device cpu captures no graphs, only cuda and webgpu do")
	refused(t, CheckCapture(Device{Kind: OpenVINO, Index: 1}), "device openvino:1 captures no graphs")
	if err := CheckCapture(Device{Kind: CUDA}); err != nil {
		t.Error(err)
	}
}

func refused(t *testing.T, err error, why string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want %q in it", err, why)
	}
}
