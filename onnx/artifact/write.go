package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"yolofreeze/onnx"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/wire"
)

// Write writes a bundle as the folder dir, whole or not at all. dir must not
// exist or be empty, unless replace is set and it is an artifacts folder.
func Write(dir string, b *Bundle, replace bool) error {
	if err := Free(dir, replace); err != nil {
		return err
	}
	b.Manifest.Format = Format
	b.Manifest.Trainable, b.Manifest.Frozen = b.Plan.TrainableNames(), b.Plan.FrozenNames()
	b.Manifest.Freeze, b.Manifest.BN = b.Plan.Selectors, b.Plan.Policies
	if b.Manifest.Freeze == nil {
		b.Manifest.Freeze = []string{}
	}
	err := errors.Join(b.check(), b.checkGraphs())
	if err != nil {
		return fmt.Errorf("write artifacts %s: %w", dir, err)
	}
	temp, done, err := stage(dir)
	if err != nil {
		return fmt.Errorf("write artifacts %s: %w", dir, err)
	}
	defer done() // with the new folder on failure, the old one after an exchange
	if err := b.fill(temp); err != nil {
		return fmt.Errorf("write artifacts %s: %w", dir, err)
	}
	if err := place(temp, dir); err != nil {
		return fmt.Errorf("write artifacts %s: %w", dir, err)
	}
	return nil
}

// stage makes an empty folder beside dir, which is gone when done is called.
func stage(dir string) (temp string, done func(), err error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	parent, name := filepath.Split(whole)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return "", nil, err
	}
	return disk.Stage(filepath.Join(parent, "."+name+".tmp"), 0o777)
}

// Free returns an error unless Write may write to dir.
func Free(dir string, replace bool) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return &Error{dir, "is there and not a folder", ""}
	case !Is(dir):
		return &Error{dir, "is there and not an artifacts folder", "name a new folder"}
	case !replace:
		return &Error{dir, "is there already", "name another folder, or write over it with `exist-ok`"}
	}
	return nothingElse(dir, entries, append([]string{ManifestFile}, hashed...))
}

// nothingElse refuses to replace a folder in which somebody has put files of his own.
func nothingElse(dir string, entries []os.DirEntry, own []string) error {
	for _, e := range entries {
		if !slices.Contains(own, e.Name()) {
			return &Error{dir, "holds " + e.Name() + ", which is no part of such a folder and would be lost with the old one", "move it elsewhere, or name another folder"}
		}
	}
	return nil
}

// fill writes every file, the manifest last.
func (b *Bundle) fill(dir string) error {
	graph := func(m *onnx.Model) func() ([]byte, error) {
		return func() ([]byte, error) { return wire.Encode(m) }
	}
	content := map[string]func() ([]byte, error){
		TrainingFile:   graph(b.Training),
		OptimizerFile:  graph(b.Optimizer),
		EvalFile:       graph(b.Eval),
		CheckpointFile: func() ([]byte, error) { return safetensors.Encode(b.Checkpoint) },
		PlanFile:       func() ([]byte, error) { return b.Plan.YAML(), nil },
	}
	b.Manifest.Files = map[string]File{}
	for _, name := range hashed {
		data, err := content[name]()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := disk.Write(filepath.Join(dir, name), data); err != nil {
			return err
		}
		b.Manifest.Files[name] = fileOf(data)
	}
	data, err := json.MarshalIndent(b.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", ManifestFile, err)
	}
	return disk.Write(filepath.Join(dir, ManifestFile), append(data, '\n'))
}

func fileOf(data []byte) File {
	sum := sha256.Sum256(data)
	return File{int64(len(data)), hex.EncodeToString(sum[:])}
}

// place gives the folder temp the name dir; what had it before is then at temp.
func place(temp, dir string) error {
	err := os.Remove(dir)
	if err == nil || errors.Is(err, os.ErrNotExist) { // an empty folder, or none
		err = os.Rename(temp, dir)
	} else {
		err = exchange(temp, dir)
	}
	if err != nil {
		return err
	}
	disk.Sync(filepath.Dir(dir))
	return nil
}

// exchangeByRenames is for systems that cannot exchange two names at once:
// between its two steps the old folder is at dir+".old".
func exchangeByRenames(temp, dir string) error {
	old := dir + ".old"
	if err := os.Rename(dir, old); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return errors.Join(err, os.Rename(old, dir))
	}
	return os.Rename(old, temp)
}
