//go:build unix

package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"yolofreeze/onnx/disk"
)

// TestReadSpecial: what could block or never end is refused.
func TestReadSpecial(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	refuses(t, pipe, "a named pipe")
	refuses(t, "/dev/zero", "a device")
}

// TestMode: a file that was replaced has the permissions that any new file has.
func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := disk.Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0)
	syscall.Umask(old)
	if want := fs.FileMode(0o666 &^ old); info.Mode() != want {
		t.Errorf("mode %v, want %v", info.Mode(), want)
	}
}
