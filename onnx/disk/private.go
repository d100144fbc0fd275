package disk

import (
	"os"
	"path/filepath"
)

// ForeignError says that what is kept for later runs lies where others can change it.
type ForeignError struct{ Path, Reason string }

func (e *ForeignError) Error() string { return e.Path + ": is not used: " + e.Reason }

// Hint says what to do.
func (e *ForeignError) Hint() string {
	return "remove it or take it over (chown, chmod go-w), or name another cache folder by XDG_CACHE_HOME"
}

// Own returns a *ForeignError if somebody but this user and root can change what lies in a
// folder: who owns it or the folder above it, or the link that it is, or may write there.
// Where users have no numbers nothing is foreign.
func Own(dir string) error {
	for _, path := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		for _, look := range []func(string) (os.FileInfo, error){os.Lstat, os.Stat} {
			info, err := look(path)
			if err != nil {
				return err
			}
			if reason := foreign(info); reason != "" {
				return &ForeignError{path, reason}
			}
		}
	}
	return nil
}

// Private makes a folder that only this user may look into, for what later runs find there
// again. One that is there already must be this user's own, as Own has it.
func Private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return Own(dir)
}
