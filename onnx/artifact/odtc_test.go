package artifact

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/testkit/hostile"
)

func trainingState() *TrainingState {
	return &TrainingState{
		Trainable: []NamedTensor{
			{"model.24.m.0.weight", onnx.Of([]float32{1, 2, 3, 4, 5, 6}, 3, 2, 1, 1)}, {"model.24.m.0.bias", onnx.Of([]float32{1, -1, 0.5}, 3)},
		},
		Frozen:     []NamedTensor{{"model.0.conv.weight", onnx.Of([]float32{7}, 1, 1, 1, 1)}, {"scalar", onnx.Scalar(int64(9))}, {"none", onnx.NewTensor(onnx.Float, 0, 3)}},
		Properties: map[string]string{"yolofreeze.model": `{"names":["ü"]}`, "empty": ""},
	}
}

func sameTensors(t *testing.T, got, want []NamedTensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || g.Tensor.DType != w.Tensor.DType || !slices.Equal(g.Tensor.Shape, w.Tensor.Shape) || !bytes.Equal(g.Tensor.Raw, w.Tensor.Raw) {
			t.Errorf("tensor %d is %s %v%v, want %s %v%v", i, g.Name, g.Tensor.DType, g.Tensor.Shape, w.Name, w.Tensor.DType, w.Tensor.Shape)
		}
	}
}

func TestTrainingState(t *testing.T) {
	want := trainingState()
	data, err := EncodeTrainingState(want)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := EncodeTrainingState(trainingState()); !bytes.Equal(again, data) {
		t.Error("other bytes the second time")
	}
	for shift := range 4 { // memory of any alignment
		got, err := DecodeTrainingState(append(make([]byte, shift), data...)[shift:])
		if err != nil {
			t.Fatal(err)
		}
		sameTensors(t, got.Trainable, want.Trainable)
		sameTensors(t, got.Frozen, want.Frozen)
		if !maps.Equal(got.Properties, want.Properties) {
			t.Errorf("properties %q", got.Properties)
		}
	}
}

// TestTheirTrainingState reads what onnxruntime-training 1.19.2 wrote for
// w [3,2], trainable, and b [3], frozen.
func TestTheirTrainingState(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString("" +
		"CAAAAE9EVEP0////EAAAAAIAAAAIAAwACAAEAAgAAAAIAAAADAAAAAEAAAAMAAAAAQAAAEgAAADK////EAAAAAEAAAAYAAAAIAAAAAwAAAAAAAAAAAAAAAAAAAABAAAA" +
		"AwAAAAAAAAABAAAAYgAOABQAEAAAAAwACAAEAA4AAAAQAAAAAQAAACQAAAA0AAAAGAAAAAAAAADNzMw9zcxMPpqZmT7NzMw+AAAAPwIAAAADAAAAAAAAAAIAAAAAAAAA" +
		"AQAAAHcAAAA=")
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeTrainingState(data)
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, got.Trainable, []NamedTensor{{"w", onnx.Of([]float32{0, 0.1, 0.2, 0.3, 0.4, 0.5}, 3, 2)}})
	sameTensors(t, got.Frozen, []NamedTensor{{"b", onnx.NewTensor(onnx.Float, 3)}})
}

func TestTrainingStateRefuses(t *testing.T) {
	good, err := EncodeTrainingState(trainingState())
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(good) {
		if s, err := DecodeTrainingState(good[:n]); err == nil && n < len(good)-8 {
			t.Errorf("the first %d bytes of %d give %d tensors", n, len(good), len(s.Trainable))
		} else if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q", err)
		}
	}
	if _, err := DecodeTrainingState([]byte("PK\x03\x04")); err == nil || !strings.Contains(err.Error(), "no ODTC at byte 4") {
		t.Errorf("a zip file: %v", err)
	}
	if _, err := EncodeTrainingState(&TrainingState{Frozen: []NamedTensor{{"s", &onnx.Tensor{DType: onnx.String}}}}); err == nil {
		t.Error("strings were written")
	}
}

func FuzzTrainingState(f *testing.F) {
	good, err := EncodeTrainingState(trainingState())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		s, err := DecodeTrainingState(data)
		if err != nil {
			return
		}
		size := 0
		for _, tensor := range slices.Concat(s.Trainable, s.Frozen) {
			if int64(len(tensor.Tensor.Raw)) != onnx.NumElements(tensor.Tensor.Shape)*int64(tensor.Tensor.DType.Size()) {
				t.Errorf("%s: %d bytes for %v", tensor.Name, len(tensor.Tensor.Raw), tensor.Tensor.Shape)
			}
			size += len(tensor.Tensor.Raw)
		}
		if size > len(data) {
			t.Errorf("%d bytes of tensors in %d", size, len(data))
		}
	})
}
