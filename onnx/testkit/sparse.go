package testkit

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Sparse writes a file of size bytes that begins with head and is else a hole, and
// hands it to read, which must refuse it without taking memory for it.
func Sparse(t *testing.T, name string, head []byte, size int64, read func(path string) error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Skip(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := read(path)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 64<<20 {
		t.Errorf("%s of %d bytes, beginning with %q: error %v, %d bytes of memory", name, size, head, err, took)
	}
}
