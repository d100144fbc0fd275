package onnx

import (
	"errors"
	"testing"
)

func TestText(t *testing.T) {
	const want = `model small opset 17, com.example 1
metadata names = "{0: 'a'}"
metadata stride = "32"
input x: float32[n 2]
initializer model.0.w: float32[2 5]
initializer "odd name": int64[2] {4611686018427387904 -1}
_, h = Gemm(x, model.0.w, _) {alpha=0.1, names=["a b" ""], perm=[1 0], s="DCR", value=float32[] {0.5}} @model.0/gemm
y: float32 = com.example.Relu(h, "odd name")
output y: float32
`
	if got := small().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTensorText(t *testing.T) {
	for _, c := range []struct {
		tensor *Tensor
		want   string
	}{
		{nil, "nil"},
		{Scalar(true), "bool[] {1}"},
		{NewTensor(Int64, 0), "int64[0] {}"},
		{Of([]float32{0.1, 1e10}, 2).ToFloat16(), "float16[2] {0.099975586 +Inf}"},
		{NewTensor(Uint8, 8), "uint8[8] {0 0 0 0 0 0 0 0}"},
		{NewTensor(Uint8, 3, 3), "uint8[3 3]"},
		{&Tensor{DType: Float, Shape: []int64{2}}, "float32[2]"},
	} {
		if got := c.tensor.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTextError(t *testing.T) {
	if err := small().Text(full{}); err == nil {
		t.Error("a failed write went unnoticed")
	}
}
