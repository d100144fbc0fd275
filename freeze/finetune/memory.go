package finetune

import (
	"path/filepath"

	"yolofreeze/dataset"
	"yolofreeze/dataset/loader"
	"yolofreeze/onnx/machine"
)

// diskBudget bounds the folder of decoded pictures.
const diskBudget = 32 << 30

// cacheBudgets says how many bytes of decoded pictures may stay in memory, and
// which folder holds the others.
func cacheBudgets(cache string) (ram int64, disk loader.DiskCache) {
	switch cache {
	case "auto":
		return machine.FreeMemory() / 4, disk
	case "ram":
		return machine.FreeMemory() / 10 * 8, disk
	case "disk":
		if dir := dataset.DefaultCacheDir(); dir != "" {
			disk = loader.DiskCache{Dir: filepath.Join(filepath.Dir(dir), "decoded"), Budget: diskBudget}
		}
	}
	return 0, disk
}
