package disk_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"yolofreeze/onnx/disk"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := disk.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	var held *disk.Held
	if _, err := disk.Lock(path); !errors.As(err, &held) || held.Process != strconv.Itoa(os.Getpid()) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the lock's file stays")
	}
	again, err := disk.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := disk.Lock(filepath.Join(path, "none", "x")); err == nil {
		t.Error("a lock in a folder that is not there")
	}
}

// TestLockFollowsNoLink: what a link leads to is neither written nor made.
func TestLockFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "precious"), filepath.Join(dir, ".lock")
	for _, there := range []bool{true, false} {
		os.Remove(target)
		if there {
			if err := os.WriteFile(target, []byte("precious"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		os.Remove(link)
		if err := os.Symlink(target, link); err != nil {
			t.Skip(err)
		}
		var refused *disk.Error
		if _, err := disk.Lock(link); !errors.As(err, &refused) {
			t.Errorf("locked a link: %v", err)
		}
		if text, err := os.ReadFile(target); (err == nil) != there || there && string(text) != "precious" {
			t.Errorf("the target is %q, %v", text, err)
		}
	}
}

// TestLockEndsWithProcess: a lock that a killed process has left is free, whatever is in its file.
func TestLockEndsWithProcess(t *testing.T) {
	if path := os.Getenv("DISK_TEST_LOCK"); path != "" {
		if _, err := disk.Lock(path); err != nil {
			t.Fatal(err)
		}
		os.Exit(0) // without unlocking
	}
	path := filepath.Join(t.TempDir(), ".lock")
	cmd := exec.Command(os.Args[0], "-test.run=TestLockEndsWithProcess")
	cmd.Env = append(os.Environ(), "DISK_TEST_LOCK="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	unlock, err := disk.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
