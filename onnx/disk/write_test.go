package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/onnx/disk"
)

// TestWritersFollowNoLink: what a link leads to stays as it is, whoever writes under the link's name.
func TestWritersFollowNoLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "precious"), filepath.Join(dir, "link")
	writers := map[string]func() error{
		"Replace": func() error { return disk.Write(link, []byte("new")) },
		"Put":     func() error { return disk.Put(link, disk.Bytes([]byte("new"))) },
		"Append": func() error {
			f, err := disk.Append(link)
			if err != nil {
				return err
			}
			_, err = f.WriteString("new")
			return errors.Join(err, f.Close())
		},
	}
	for name, write := range writers {
		for _, there := range []bool{true, false} {
			os.Remove(target)
			os.Remove(link)
			if there {
				if err := os.WriteFile(target, []byte("precious"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(target, link); err != nil {
				t.Skip(err)
			}
			err := write()
			if refused := (*disk.Error)(nil); name == "Append" && !errors.As(err, &refused) || name != "Append" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if text, err := os.ReadFile(target); (err == nil) != there || there && string(text) != "precious" {
				t.Errorf("%s: the target is %q, %v", name, text, err)
			}
		}
	}
}

func TestFolder(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	made, err := disk.Folder(dir, "crops", "cat")
	if err != nil || made != filepath.Join(dir, "crops", "cat") || !disk.IsFolder(made) {
		t.Errorf("%s, %v", made, err)
	}
	if _, err := disk.Folder(dir, "crops", "cat"); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "labels")); err != nil {
		t.Skip(err)
	}
	var refused *disk.Error
	if _, err := disk.Folder(dir, "labels"); !errors.As(err, &refused) {
		t.Errorf("a link to a folder was taken: %v", err)
	}
}

// TestStage: what killed processes left is swept, what others fill stays, and so does what only looks alike.
func TestStage(t *testing.T) {
	parent := t.TempDir()
	prefix := filepath.Join(parent, ".art.tmp")
	for _, left := range []string{prefix + "1", prefix + "2", prefix + "3files"} {
		if err := os.Mkdir(left, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := disk.Lock(prefix + "2.lock")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	dir, done, err := disk.Stage(prefix, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if disk.Exists(prefix+"1") || !disk.IsFolder(prefix+"2") || !disk.IsFolder(prefix+"3files") || !disk.IsFolder(dir) {
		t.Errorf("left: %v", disk.Glob(parent, ".*"))
	}
	if busy := disk.Sweep(prefix); len(busy) != 2 {
		t.Errorf("being filled: %v", busy)
	}
	done()
	if left := disk.Glob(parent, ".*"); len(left) != 3 {
		t.Errorf("left when done: %v", left)
	}
}
