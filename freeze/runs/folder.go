package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"yolofreeze/onnx/disk"
)

// NewFolder makes the folder of a run: project/name, or project/name2, name3 …
// where that is taken; with reuse it takes what is there.
func NewFolder(project, name string, reuse bool) (string, error) {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(project, name)), 0o777); err != nil {
		return "", fmt.Errorf("make the run's folder: %w", err)
	}
	for i := 1; ; i++ {
		dir := filepath.Join(project, name)
		if i > 1 {
			dir += strconv.Itoa(i)
		}
		err := os.Mkdir(dir, 0o777)
		switch {
		case err == nil, reuse && errors.Is(err, os.ErrExist):
			return dir, nil
		case !errors.Is(err, os.ErrExist):
			return "", fmt.Errorf("make the run's folder: %w", err)
		}
	}
}

// WriteFile replaces a file whole or not at all.
func WriteFile(path string, data []byte) error {
	if err := disk.Write(path, data); err != nil {
		return fmt.Errorf("write %s, %d bytes: %w", path, len(data), err)
	}
	return nil
}
