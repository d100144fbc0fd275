package model_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/freeze/fixture"
	"yolofreeze/freeze/model"
	"yolofreeze/onnx/disk"
)

// TestKinds: an extension says the kind, in letters of any size, to every reader alike.
func TestKinds(t *testing.T) {
	for path, want := range map[string]string{"a.pt": model.KindCheckpoint, "A.PT": model.KindCheckpoint, "b.Pth": model.KindCheckpoint,
		"c.ONNX": model.KindONNX, "d.e.SafeTensors": model.KindSafetensors, t.TempDir(): model.KindArtifacts} {
		if kind, err := model.KindOf(path); err != nil || kind != want {
			t.Errorf("%s is %q, %v, want %q", path, kind, err, want)
		}
	}
	for _, path := range []string{"a.tflite", "pt", "a.pt.txt", ""} {
		for name, read := range map[string]func() error{
			"load":     func() error { _, err := model.Load(path); return err },
			"validate": func() error { _, err := model.LoadForVal(path); return err },
			"inspect":  func() error { _, err := model.Inspect(path); return err },
		} {
			var input *disk.InputError
			if err := read(); !errors.As(err, &input) || !strings.Contains(err.Error(), "want .pt, .onnx, .safetensors or an artifacts folder") {
				t.Errorf("%s %q: %v", name, path, err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "SMALL.SAFETENSORS")
	if err := model.Save(path, fixture.SmallModel(t)); err != nil {
		t.Fatal(err)
	}
	if m, err := model.Load(path); err != nil || m.Net.NC == 0 {
		t.Errorf("load: %v", err)
	}
	if m, err := model.LoadForVal(path); err != nil || m.Net.NC == 0 {
		t.Errorf("validate: %v", err)
	}
	if info, err := model.Inspect(path); err != nil || info.Kind != model.KindSafetensors {
		t.Errorf("inspect: %+v, %v", info, err)
	}
}
