package wire

import (
	"fmt"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// Read decodes an .onnx file. Errors name the file; those that the file itself is to
// blame for satisfy interface{ BadInput() bool }.
func Read(path string) (*onnx.Model, error) {
	data, err := disk.Read(path, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	m, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Write encodes a model into an .onnx file. Whatever interrupts it, path holds either
// what it held before or the whole new model.
func Write(path string, m *onnx.Model) error {
	data, err := Encode(m)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := disk.Write(path, data); err != nil {
		return fmt.Errorf("write %s, %d bytes: %w", path, len(data), err)
	}
	return nil
}
