package testkit_test

import (
	"testing"

	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit"
	"yolofreeze/onnx/torch"
	"yolofreeze/onnx/wire"
)

// TestSparse: what a file is shows before it is read whole.
func TestSparse(t *testing.T) {
	const size = 1900 << 20 // within every reader's limit
	for _, head := range []string{"", "PK\x03\x04", "<!doctype html>", "\x1f\x8b\x08", "\x08\x00\x00\x00\x00\x00\x00\x00{}", "\x80\x00\x00\x00\x00\x00\x00\x00{}"} {
		testkit.Sparse(t, "a.pt", []byte(head), size, func(path string) error { _, err := torch.Load(path); return err })
		testkit.Sparse(t, "a.safetensors", []byte(head), size, func(path string) error { _, err := safetensors.Read(path); return err })
	}
	for _, head := range []string{"", "PK\x03\x04", "<!doctype html>", "{}"} {
		testkit.Sparse(t, "a.onnx", []byte(head), size, func(path string) error { _, err := wire.Read(path); return err })
	}
	whole := `{"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}`
	testkit.Sparse(t, "b.safetensors", append([]byte{byte(len(whole)), 0, 0, 0, 0, 0, 0, 0}, whole...), size, func(path string) error { _, err := safetensors.Read(path); return err })
}
