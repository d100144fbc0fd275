package finetune

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"yolofreeze/dataset"
)

// diskBudget bounds the folder of decoded pictures.
const diskBudget = 32 << 30

// cacheBudgets says how many bytes of decoded pictures may stay in memory, and
// which folder holds the others.
func cacheBudgets(cache string) (ram int64, disk dataset.DiskCache) {
	switch cache {
	case "auto":
		return freeMemory() / 4, disk
	case "ram":
		return freeMemory() / 10 * 8, disk
	case "disk":
		if dir := dataset.DefaultCacheDir(); dir != "" {
			disk = dataset.DiskCache{Dir: filepath.Join(filepath.Dir(dir), "decoded"), Budget: diskBudget}
		}
	}
	return 0, disk
}

// freeMemory returns the bytes that programs can still take, 2 GiB where the system does not tell.
func freeMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 2 << 30
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return 2 << 30
}
