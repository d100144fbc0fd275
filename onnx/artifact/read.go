package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"yolofreeze/freeze"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/safetensors"
)

// Is reports whether dir looks like an artifacts folder.
func Is(dir string) bool { return disk.IsFile(filepath.Join(dir, ManifestFile)) }

// Open reads a folder's manifest, plan and checkpoint and holds them against
// each other. Every file is held against its checksum, the graphs too, which
// stay on the disk. Errors that the folder is to blame for are of type *Error.
func Open(dir string) (*Bundle, error) {
	b := &Bundle{}
	if err := b.Manifest.read(dir); err != nil {
		return nil, err
	}
	plan, err := b.file(dir, PlanFile)
	if err != nil {
		return nil, err
	}
	if b.Plan, err = freeze.ParseYAML(plan); err != nil {
		return nil, &Error{filepath.Join(dir, PlanFile), err.Error(), ""}
	}
	checkpoint, err := b.file(dir, CheckpointFile)
	if err != nil {
		return nil, err
	}
	if b.Checkpoint, err = safetensors.Decode(checkpoint); err != nil {
		return nil, &Error{filepath.Join(dir, CheckpointFile), err.Error(), ""}
	}
	if err := b.check(); err != nil {
		return nil, &Error{dir, err.Error(), ""}
	}
	for _, name := range []string{TrainingFile, OptimizerFile, EvalFile} {
		if err := b.verify(dir, name); err != nil {
			return nil, err
		}
	}
	return b, nil
}

const maxManifest = 64 << 20

func (m *Manifest) read(dir string) error {
	path := filepath.Join(dir, ManifestFile)
	data, err := readFile(path, maxManifest)
	if errors.Is(err, os.ErrNotExist) {
		hint := "yolofreeze convert WEIGHTS -o DIR makes one"
		for _, name := range []string{"best.safetensors", filepath.Join("weights", "best.safetensors")} {
			if file := filepath.Join(dir, name); disk.IsFile(file) {
				hint = "a run's weights are " + file
			}
		}
		return &Error{dir, "not an artifacts folder: it has no " + ManifestFile, hint}
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, m); err != nil {
		return &Error{path, err.Error(), ""}
	}
	switch {
	case m.Format != Format:
		return &Error{path, fmt.Sprintf("format %d is not known, only %d is", m.Format, Format), ""}
	case m.Batch < 1 || m.ImgSize < 1 || m.Height < 0:
		return &Error{path, fmt.Sprintf("batch %d, imgsz %d", m.Batch, m.ImgSize), ""}
	}
	return nil
}

// file reads a file of the folder and holds it against its checksum.
func (b *Bundle) file(dir, name string) ([]byte, error) {
	data, err := readFile(filepath.Join(dir, name), math.MaxInt64)
	if err != nil {
		return nil, err
	}
	return data, b.compare(dir, name, fileOf(data))
}

// verify holds a file of the folder against its checksum without keeping it.
func (b *Bundle) verify(dir, name string) error {
	path := filepath.Join(dir, name)
	f, _, err := disk.Open(path, math.MaxInt64)
	if err != nil {
		return readError(path, err)
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return readError(path, err)
	}
	return b.compare(dir, name, File{size, hex.EncodeToString(h.Sum(nil))})
}

// compare holds what a file is against what the manifest says of it.
func (b *Bundle) compare(dir, name string, got File) error {
	want, ok := b.Manifest.Files[name]
	if !ok {
		return &Error{filepath.Join(dir, ManifestFile), "files lacks " + name, ""}
	}
	if got == want {
		return nil
	}
	e := &Error{filepath.Join(dir, name), fmt.Sprintf("is not the file that was written: %d bytes, SHA-256 %.12s…, in %s %d bytes, %.12s…",
		got.Size, got.SHA256, ManifestFile, want.Size, want.SHA256), ""}
	switch name {
	case PlanFile:
		e.hint = "keep a plan of your own outside and apply it: `freeze @plan.yaml`"
	case TrainingFile, OptimizerFile, EvalFile:
		e.hint = "training builds its graphs from the checkpoint and the plan: a changed one would do nothing; yolofreeze convert " +
			filepath.Join(dir, CheckpointFile) + " -o DIR makes the folder anew"
	}
	return e
}

// readFile reads a file of at most limit bytes; the manifest alone may be missing.
func readFile(path string, limit int64) ([]byte, error) {
	data, err := disk.Read(path, limit)
	return data, readError(path, err)
}

func readError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) && filepath.Base(path) != ManifestFile {
		return &Error{path, "is missing", ""}
	}
	if refused := (*disk.Error)(nil); errors.As(err, &refused) {
		return &Error{path, refused.Reason, ""}
	}
	if err != nil {
		return fmt.Errorf("read artifacts: %w", err)
	}
	return nil
}
