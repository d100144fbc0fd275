package disk

import (
	"fmt"
	"os"
	"strings"

	"github.com/gofrs/flock"
)

// Held says that another process holds a lock.
type Held struct{ Path, Process string }

func (e *Held) Error() string { return fmt.Sprintf("%s: process %s holds it", e.Path, e.Process) }

// Lock makes a file at path, with the process's number in it, and keeps other processes from
// the same lock until unlock is called, which removes the file, or the process ends, however
// it ends. Where another one holds it the error is a *Held. File systems without locks are
// left unlocked. A link is an *Error: what it leads to is somebody else's.
func Lock(path string) (unlock func(), err error) {
	for {
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			return nil, &Error{path, "not a lock but " + kind(info.Mode())}
		}
		lock := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE|noFollow), flock.SetPermissions(0o666))
		got, err := lock.TryLock()
		if err == nil && !got {
			return nil, &Held{path, holder(path)}
		}
		if _, missing := os.Lstat(path); err != nil && missing != nil {
			return nil, err
		}
		if err == nil && !holds(lock, path) { // the holder has just removed it
			lock.Close()
			continue
		}
		sign(path, lock)
		return func() {
			os.Remove(path)
			lock.Close()
		}, nil
	}
}

// holds tells whether the lock is on the very file of that name.
func holds(lock *flock.Flock, path string) bool {
	a, err := lock.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// sign writes who holds the lock; a system that keeps locked files from being written goes without.
func sign(path string, lock *flock.Flock) {
	f, err := os.OpenFile(path, os.O_WRONLY|noFollow, 0)
	if err != nil {
		return
	}
	defer f.Close()
	mine, err := lock.Stat()
	if info, err2 := f.Stat(); err == nil && err2 == nil && os.SameFile(mine, info) {
		f.Truncate(0)
		f.Write(fmt.Appendln(nil, os.Getpid()))
	}
}

func holder(path string) string {
	text, err := Read(path, 20)
	if err != nil || len(text) == 0 {
		return "(number unknown)"
	}
	return strings.TrimSpace(string(text))
}
