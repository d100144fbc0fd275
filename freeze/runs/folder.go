package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"yolofreeze/onnx/disk"
)

// NewFolder makes the folder of a run: project/name, or project/name2, name3 …
// where that is taken; with reuse it takes what is there, if a run made that, as a mark says
// or results.csv, opt.yaml and freeze.yaml do. No folder
// is one of the inputs, holds one, or lies in a data set (see [disk.Claim]).
func NewFolder(project, name string, reuse bool, in disk.Inputs) (string, error) {
	first := filepath.Join(project, name)
	if err := disk.CheckOutput(first, disk.Inputs{Folders: in.Folders}); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(first), 0o777); err != nil {
		return "", fmt.Errorf("make the run's folder: %w", err)
	}
	for i := 1; ; i++ {
		dir := first
		if i > 1 {
			dir += strconv.Itoa(i)
		}
		err := os.Mkdir(dir, 0o777)
		if err == nil || reuse && errors.Is(err, os.ErrExist) {
			if trained(dir) && !disk.Claimed(dir) && disk.CheckOutput(dir, in) == nil {
				disk.Adopt(dir) // what does not succeed here Claim tells
			}
			err = disk.Claim(dir, in)
		} else if errors.Is(err, os.ErrExist) {
			continue
		}
		if refused := (*disk.OutputError)(nil); err != nil && !errors.As(err, &refused) {
			err = fmt.Errorf("make the run's folder: %w", err)
		}
		return dir, err
	}
}

// trained reports whether a folder holds what a training run of ours leaves, such as one from
// before folders were marked, or whose mark was lost in copying. freeze.yaml nobody else writes.
func trained(dir string) bool {
	for _, name := range []string{ResultsFile, OptionsFile, PlanFile} {
		if !disk.IsFile(filepath.Join(dir, name)) {
			return false
		}
	}
	return true
}

// WriteFile replaces a file whole or not at all.
func WriteFile(path string, data []byte) error {
	if err := disk.Write(path, data); err != nil {
		return fmt.Errorf("write %s, %d bytes: %w", path, len(data), err)
	}
	return nil
}

// Newest finds the run below a folder whose state was saved last, "" where there is none.
func Newest(project string) (newest string, err error) {
	entries, err := os.ReadDir(project)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	var saved time.Time
	for _, e := range entries {
		dir := filepath.Join(project, e.Name())
		info, err := os.Stat(filepath.Join(dir, "weights", "last.safetensors"))
		if err == nil && info.ModTime().After(saved) {
			newest, saved = dir, info.ModTime()
		}
	}
	return newest, nil
}
