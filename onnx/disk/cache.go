package disk

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
)

// CacheFolder is where this program and yolofreeze setup keep what was fetched or made once
// for all: $XDG_CACHE_HOME/yolofreeze, or yolofreeze in the user's .cache folder (Windows:
// in %LocalAppData%).
func CacheFolder() (string, error) {
	if xdg := os.Getenv("XDG_CACHE_HOME"); xdg != "" {
		return filepath.Join(xdg, "yolofreeze"), nil
	}
	if local := os.Getenv("LocalAppData"); local != "" && filepath.Separator == '\\' {
		return filepath.Join(local, "yolofreeze"), nil
	}
	home := os.Getenv("HOME")
	if home == "" {
		u, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("finding the user's home folder: %w", err)
		}
		home = u.HomeDir
	}
	return filepath.Join(home, ".cache", "yolofreeze"), nil
}
