//go:build unix

package finetune

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"yolofreeze/onnx/disk"
)

// lockFolder keeps other processes out of a run's folder until unlock is called
// or the process ends, however it ends. File systems without locks are left unlocked.
func lockFolder(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, ".lock")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, fmt.Errorf("lock the run's folder: %w", err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			holder := make([]byte, 20)
			n, _ := f.Read(holder)
			f.Close()
			return nil, &disk.InputError{Path: dir, Err: fmt.Errorf("process %s is training here", strings.TrimSpace(string(holder[:n])))}
		}
		if err == nil && !stillThere(f, path) { // the holder has just removed it
			f.Close()
			continue
		}
		f.Truncate(0)
		f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
		return func() {
			os.Remove(path)
			f.Close()
		}, nil
	}
}

func stillThere(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
