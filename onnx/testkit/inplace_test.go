package testkit

import (
	"strings"
	"testing"

	"yolofreeze/onnx"
	"yolofreeze/onnx/op"
)

func TestInPlaceHazards(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(b *op.Builder, w *onnx.Value)
		want  string
	}{
		{"updated", func(b *op.Builder, w *onnx.Value) { b.Output("w.out", b.Sub(w, b.Scale(w, 0.1))) }, ""},
		{"read beside", func(b *op.Builder, w *onnx.Value) {
			b.Output("w.out", b.Scale(w, 2))
			b.Output("y", b.Neg(w))
		}, `w: Neg "Neg" may read it after w.out is written`},
		{"the new value is read", func(b *op.Builder, w *onnx.Value) { b.Output("y", b.Neg(b.Output("w.out", b.Scale(w, 2)))) }, ""},
		{"written out of order", func(b *op.Builder, w *onnx.Value) { b.Output("w.out", b.Transpose(w, 1, 0)) }, `w: Transpose "Transpose" reads it while it writes w.out`},
		{"out of order, then copied", func(b *op.Builder, w *onnx.Value) { b.Output("w.out", b.Neg(b.Transpose(w, 1, 0))) }, ""},
		{"no state", func(b *op.Builder, w *onnx.Value) {
			b.Output("y", b.Transpose(w, 1, 0))
			b.Output("z", b.Neg(w))
		}, ""},
	} {
		b := op.NewBuilder("test")
		c.build(b, b.Input("w", onnx.Float, onnx.Dims(2, 2)))
		got := strings.Join(InPlaceHazards(b.Model, func(name string) string { return name + ".out" }), "\n")
		if got != c.want || b.Err() != nil {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.want, b.Err())
		}
	}
}
