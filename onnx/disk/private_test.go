package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/onnx/disk"
)

func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "yolofreeze", "features")
	if err := disk.Private(dir); err != nil {
		t.Fatal(err)
	}
	if err := disk.Private(dir); err != nil {
		t.Errorf("again: %v", err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("made with mode %v, %v", info.Mode(), err)
	}
	refused := func(what string) {
		t.Helper()
		var foreign *disk.ForeignError
		if err := disk.Private(dir); !errors.As(err, &foreign) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Stat(folder); info.Mode().Perm() != 0o777 {
			t.Skip("no modes here")
		}
		refused(folder + " is anybody's")
		if err := os.Chmod(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder away")
	}
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	refused("another user's")
	if err := errors.Join(os.Chown(dir, 0, 0), os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Private(dir); err != nil {
		t.Errorf("a link of one's own: %v", err)
	}
	if err := os.Lchown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	refused("a link that another user has laid")
}
