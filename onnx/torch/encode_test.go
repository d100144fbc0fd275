package torch

import (
	"archive/zip"
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/onnx"
)

func TestEncodeState(t *testing.T) {
	half := onnx.Of([]float32{1, -2, 0.5}, 3).ToFloat16()
	tensors := []NamedTensor{
		{"model.0.conv.weight", onnx.Of([]float32{1, 2, 3, 4, 5, float32(math.Pi)}, 1, 2, 3), true},
		{"model.0.bn.num_batches_tracked", onnx.Scalar(int64(1) << 40), false},
		{"model.1.bias", half, true},
		{"größer", onnx.Of(make([]float64, 300), 300), true},
		{"none", onnx.NewTensor(onnx.Float, 0, 4), true},
	}
	data, err := EncodeState(tensors)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EncodeState(tensors)
	if err != nil || !bytes.Equal(data, again) {
		t.Error("other bytes the second time")
	}
	path := filepath.Join(t.TempDir(), "state.pt")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.State) != len(tensors) {
		t.Fatalf("%d tensors, want %d", len(c.State), len(tensors))
	}
	for i, want := range tensors {
		got := c.State[i]
		if got.Name != want.Name || got.Tensor.DType != want.Tensor.DType || !slices.Equal(got.Tensor.Shape, want.Tensor.Shape) || !bytes.Equal(got.Tensor.Raw, want.Tensor.Raw) {
			t.Errorf("tensor %d is %s %v%v, want %s %v%v", i, got.Name, got.Tensor.DType, got.Tensor.Shape, want.Name, want.Tensor.DType, want.Tensor.Shape)
		}
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		at, err := f.DataOffset()
		if err != nil || at%64 != 0 || f.Flags != 0 || f.Method != zip.Store {
			t.Errorf("record %s at %d, flags %d, method %d: %v", f.Name, at, f.Flags, f.Method, err)
		}
	}
}

func TestEncodeStateRefuses(t *testing.T) {
	one := onnx.Scalar(float32(1))
	for want, tensors := range map[string][]NamedTensor{
		"tensor x: PyTorch has no storage for uint16": {{"x", onnx.NewTensor(onnx.Uint16, 1), true}},
		`tensor "x" is there twice`:                   {{"x", one, true}, {"x", one, true}},
		`tensor "" is there twice, or has no name`:    {{"", one, true}},
	} {
		if _, err := EncodeState(tensors); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
