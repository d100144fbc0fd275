package finetune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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

// writeFile replaces a file whole or not at all.
func writeFile(path string, data []byte) error {
	temp := path + ".tmp" + strconv.Itoa(os.Getpid())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("write %s, %d bytes: %w", path, len(data), err)
	}
	return nil
}
