// Package disk reads files that a user names, replaces files whole, and knows what may be
// written to.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Error says why a file is not read.
type Error struct{ Path, Reason string }

func (e *Error) Error() string { return e.Path + ": " + e.Reason }

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *Error) BadInput() bool { return true }

// Exists reports whether a path leads to anything.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// IsFile reports whether a path leads to a regular file.
func IsFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// IsFolder reports whether a path leads to a folder.
func IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Glob lists what a pattern finds in a folder, whose own name means itself.
func Glob(folder, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(Literal(folder), pattern))
	return found
}

// Literal makes a pattern that means exactly a path.
func Literal(path string) string {
	if filepath.Separator != '\\' {
		path = strings.ReplaceAll(path, `\`, `\\`)
	}
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

// Cause drops the path from an error of this package or the system, for messages
// that begin with it.
func Cause(err error) error {
	var system *fs.PathError
	var own *Error
	switch {
	case errors.As(err, &system):
		return system.Err
	case errors.As(err, &own):
		return errors.New(own.Reason)
	}
	return err
}

// Open opens a regular file, following links, of at most limit bytes, and tells its
// size: a pipe or a device could block or never end. What is refused gives an
// *Error, a file that cannot be opened the system's error.
func Open(path string, limit int64) (*os.File, int64, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, &Error{path, "not a regular file but " + kind(info.Mode())}
	case info.Size() > limit:
		return nil, 0, &Error{path, fmt.Sprintf("%d bytes are more than the limit of %d", info.Size(), limit)}
	}
	f, err := os.Open(path)
	for wait := 5 * time.Millisecond; err != nil && passing(err) && wait < time.Second; wait *= 4 {
		time.Sleep(wait)
		f, err = os.Open(path)
	}
	return f, info.Size(), err
}

// passing reports whether what the system refuses may go well in a moment.
func passing(err error) bool {
	return isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.EAGAIN, syscall.EINTR, syscall.EIO, syscall.ENOMEM,
		syscall.ESTALE, syscall.ETIMEDOUT, syscall.EBUSY)
}

// Fault reports whether the system is to blame for an error, and not the path or
// what lies there: no permission, too many open files, a failing disk.
func Fault(err error) bool {
	var system syscall.Errno
	return errors.As(err, &system) && !isAny(err, fs.ErrNotExist, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EISDIR, syscall.EINVAL, syscall.EILSEQ)
}

func isAny(err error, list ...error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// Read reads such a file.
func Read(path string, limit int64) ([]byte, error) { return ReadAll(Open(path, limit)) }

// ReadText reads such a file of text as UTF-8 without a byte order mark, with which
// editors on Windows begin files; text that begins with the mark of UTF-16 is UTF-16.
func ReadText(path string, limit int64) ([]byte, error) {
	data, err := Read(path, limit)
	if err != nil {
		return nil, err
	}
	text, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), data)
	return text, err
}

// ReadJudged is Read for formats that say early what they are: judge looks at the file
// before it is read whole, since a sparse one could take all memory and hold nothing.
func ReadJudged(path string, limit int64, judge func(f io.ReaderAt, size int64) error) ([]byte, error) {
	f, size, err := Open(path, limit)
	if err != nil {
		return nil, err
	}
	if err := judge(f, size); err != nil {
		f.Close()
		return nil, err
	}
	return ReadAll(f, size, nil)
}

// ReadAll reads what Open opened, and closes it.
func ReadAll(f *os.File, size int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	if n, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %d of %d bytes: %w", f.Name(), n, size, err)
	}
	return data, nil
}
