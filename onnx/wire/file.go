package wire

import (
	"errors"
	"fmt"
	"io"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
)

// Read decodes an .onnx file. Errors name the file; those that the file itself is to
// blame for satisfy interface{ BadInput() bool }.
func Read(path string) (*onnx.Model, error) {
	m, _, err := ReadSource(path)
	return m, err
}

// ReadSource is Read for those who also need the very bytes that were judged.
func ReadSource(path string) (*onnx.Model, []byte, error) {
	data, err := disk.ReadJudged(path, maxBytes, judge)
	if own := (*badInput)(nil); errors.As(err, &own) {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read model: %w", err)
	}
	m, err := Decode(data)
	if outside := (*externalError)(nil); errors.As(err, &outside) {
		outside.path = path
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, data, nil
}

// judge tells from the first bytes what cannot begin a model: every field of ModelProto
// is a number or a length, and none has number 0.
func judge(r io.ReaderAt, size int64) error {
	head := make([]byte, min(size, 512))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	if err := impostor(head); err != nil {
		return err
	}
	if number, kind := head[0]>>3, head[0]&7; number == 0 || kind != 0 && kind != 2 {
		return bad("not an ONNX model: begins with %q", head[:min(len(head), 8)])
	}
	return nil
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
