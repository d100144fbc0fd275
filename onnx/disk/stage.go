package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// lockSuffix names the lock of a folder that is being filled, which lies beside it.
const lockSuffix = ".lock"

// Stage makes an empty folder whose path is prefix and a number. What is filled there takes
// its place by one rename. Those of the prefix that killed processes left are removed
// first. Calling done removes the folder, if it still has that name.
func Stage(prefix string, perm fs.FileMode) (dir string, done func(), err error) {
	Sweep(prefix)
	for {
		dir = fmt.Sprintf("%s%d", prefix, rand.Uint32())
		unlock, err := Lock(dir + lockSuffix)
		if held := (*Held)(nil); errors.As(err, &held) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		if err = os.Mkdir(dir, perm); err == nil {
			return dir, func() {
				os.RemoveAll(dir)
				unlock()
			}, nil
		}
		unlock()
		if !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
	}
}

// Sweep removes the folders that Stage made for processes that are gone, and returns those
// which others are filling.
func Sweep(prefix string) (busy []string) {
	seen := map[string]bool{}
	for _, path := range Glob(filepath.Dir(prefix), Literal(filepath.Base(prefix))+"*") {
		path = strings.TrimSuffix(path, lockSuffix)
		if !staged.MatchString(path[len(filepath.Clean(prefix)):]) || seen[path] {
			continue
		}
		seen[path] = true
		unlock, err := Lock(path + lockSuffix)
		if err != nil {
			busy = append(busy, path)
			continue
		}
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			os.RemoveAll(path)
		}
		unlock()
	}
	return busy
}

var staged = regexp.MustCompile(`^[0-9]+$`)
