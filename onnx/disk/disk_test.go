package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"yolofreeze/onnx/disk"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := errors.Join(os.WriteFile(path, []byte("four"), 0o666), os.Symlink(path, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "link"} {
		if data, err := disk.Read(filepath.Join(dir, name), 4); err != nil || string(data) != "four" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	refuses(t, dir, "a folder")
	refuses(t, path, "4 bytes are more than the limit of 3")
	if _, err := disk.Read(filepath.Join(dir, "none"), 4); !errors.Is(err, fs.ErrNotExist) || disk.Cause(err) != syscall.ENOENT {
		t.Errorf("a file that is not there: %v", err)
	}
}

// refuses checks that a path is not read, and why.
func refuses(t *testing.T, path, want string) {
	t.Helper()
	var refused *disk.Error
	_, err := disk.Read(path, 3)
	if !errors.As(err, &refused) || !refused.BadInput() || refused.Path != path || !strings.Contains(refused.Reason, want) {
		t.Errorf("%s: %v, want %q", path, err, want)
	}
	if err == nil || disk.Cause(err).Error() != refused.Reason {
		t.Errorf("the cause of %v is %v", err, disk.Cause(err))
	}
}

// TestGlob: a folder's own name is no pattern.
func TestGlob(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a[1]b*?", "plain", `back\*slash`, "caf\xe9 [x"} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Skip(err) // not every file system takes these
		}
		want := []string{filepath.Join(dir, "x1.csv"), filepath.Join(dir, "x2.csv")}
		for _, path := range append(want, filepath.Join(dir, "y.csv")) {
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if got := disk.Glob(dir, "x*.csv"); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestReadText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for written, want := range map[string]string{
		"": "", "lr0: 1\n": "lr0: 1\n", "\xef\xbb\xbfé\r\n": "é\r\n", "\xff\xfea\x00\xe9\x00": "aé", "\xfe\xff\x00a\x00\xe9": "aé", "caf\xe9": "caf\xe9",
	} {
		if err := os.WriteFile(path, []byte(written), 0o666); err != nil {
			t.Fatal(err)
		}
		if text, err := disk.ReadText(path, 20); err != nil || string(text) != want {
			t.Errorf("%q: %q, %v, want %q", written, text, err, want)
		}
	}
	if err := os.WriteFile(path, []byte("four"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.ReadText(path, 3); err == nil {
		t.Error("a file over the limit was read")
	}
}

// TestReplace: a file has its old content until the whole of the new one is
// there, and after an error nothing else is in the folder.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last.csv")
	if err := disk.Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	err := disk.Replace(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != 2 || !disk.Abandoned(names[0].Name()) || disk.Abandoned(names[1].Name()) {
			t.Errorf("while writing: %v, %v", names, err)
		}
		return full
	})
	if names, _ := os.ReadDir(dir); !errors.Is(err, full) || len(names) != 1 {
		t.Errorf("%v, left: %v", err, names)
	}
	if data, err := os.ReadFile(path); string(data) != "old" {
		t.Errorf("%q, %v", data, err)
	}
	if err := disk.Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
	if err := disk.Write(filepath.Join(dir, "none", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
