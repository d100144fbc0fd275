package wire

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"yolofreeze/onnx"
)

// Read decodes an .onnx file. Errors name the file; those that the file itself is to
// blame for satisfy interface{ BadInput() bool }.
func Read(path string) (*onnx.Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, bad("not a regular file (%v)", info.Mode().Type()))
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("%s: %w", path, bad("%d bytes, an .onnx file holds less than 2 GiB", info.Size()))
	}
	data, err := os.ReadFile(path)
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
	if err := replace(path, data); err != nil {
		return fmt.Errorf("write %s, %d bytes: %w", path, len(data), err)
	}
	return nil
}

// replace puts data beside path, makes it durable and renames it into place.
func replace(path string, data []byte) error {
	temp := path + ".tmp" + strconv.Itoa(os.Getpid())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		dir.Sync() // not every file system can; the rename has happened
		dir.Close()
	}
	return nil
}
