package features

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Folder holds the caches of all runs.
func Folder() string {
	if dir := dataset.DefaultCacheDir(); dir != "" {
		return filepath.Join(filepath.Dir(dir), "features")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("yolofreeze-features-%d", os.Getuid()))
}

// Cache is a finished cache on the disk.
type Cache struct {
	Dir   string
	Bytes int64
	Used  time.Time
}

// Caches lists the finished caches, the one used longest ago first.
func Caches() []Cache {
	var list []Cache
	for _, index := range disk.Glob(Folder(), filepath.Join("*", IndexFile)) {
		dir := filepath.Dir(index)
		info, err := os.Stat(index)
		data, err2 := os.Stat(filepath.Join(dir, DataFile))
		if err == nil && err2 == nil {
			list = append(list, Cache{dir, data.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b Cache) int { return a.Used.Compare(b.Used) })
	return list
}

// staged is what the names of folders that are being filled begin with.
const staged = "writing-"

// Sweep removes what killed runs left half written, and returns the bytes of what
// others are writing.
func Sweep() (busy int64) {
	for _, path := range disk.Sweep(filepath.Join(Folder(), staged)) {
		if info, err := os.Stat(filepath.Join(path, DataFile)); err == nil {
			busy += info.Size()
		}
	}
	for _, path := range disk.Glob(Folder(), "validation-*.bin") { // where the system let none be removed at once
		os.Remove(path)
	}
	return busy
}
