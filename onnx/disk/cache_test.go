package disk_test

import (
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx/disk"
)

func TestCacheFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", filepath.FromSlash("/x"))
	if got, err := disk.CacheFolder(); err != nil || got != filepath.FromSlash("/x/yolofreeze") {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "") // from the password file
	if got, err := disk.CacheFolder(); err != nil || !strings.HasSuffix(got, filepath.FromSlash("/.cache/yolofreeze")) || got == filepath.FromSlash("/.cache/yolofreeze") {
		t.Errorf("got %q, %v", got, err)
	}
}
