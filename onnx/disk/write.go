package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// Replace puts what write writes in the place of the file at path, in one step: it
// goes to a new file in the same folder, is made durable, and takes the name last.
// After an error the old file is as it was and nothing new is left. A link of that
// name is replaced, what it leads to stays.
func Replace(path string, write func(io.Writer) error) error {
	return replace(path, write, true)
}

// Put is Replace for files of which there are many, such as drawings: each is whole or
// not there, but may be lost if the machine stops in the next moments.
func Put(path string, write func(io.Writer) error) error {
	return replace(path, write, false)
}

func replace(path string, write func(io.Writer) error, durable bool) error {
	f, err := pending(path)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(f, 1<<16)
	err = write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	if durable {
		Sync(filepath.Dir(path))
	}
	return nil
}

// rename names path alone in its errors, and not the new file.
func rename(from, path string) error {
	err := os.Rename(from, path)
	if link := (*os.LinkError)(nil); errors.As(err, &link) {
		if IsFolder(path) {
			link.Err = syscall.EISDIR
		}
		return &fs.PathError{Op: "replace", Path: path, Err: link.Err}
	}
	return err
}

// pending makes a new file beside path, with the permissions that any new file has.
func pending(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(temporary(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// temporary makes a name beside path, by chance, that Abandoned knows.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s%019d", filepath.Base(path), rand.Int64()))
}

// Keep gives the file at path a second name, in the place of what has that name. It
// does nothing where there is no such file, or the file system knows no second names.
func Keep(path, as string) error {
	tmp := temporary(as)
	if err := os.Link(path, tmp); err != nil {
		return nil
	}
	if err := os.Rename(tmp, as); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.RemoveAll(tmp) // renaming one name of a file to another does nothing
}

// Abandoned reports whether a name in a folder is that of a file which Replace or Keep
// had not finished when the program was killed.
func Abandoned(name string) bool { return abandoned.MatchString(name) }

var abandoned = regexp.MustCompile(`^\..+[0-9]{8,}$`)

// Write is Replace with bytes.
func Write(path string, data []byte) error { return Replace(path, Bytes(data)) }

// Bytes writes data, for Replace and Put.
func Bytes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// Append opens a file to read, and to write at its end, and makes it where there is none. A link is an
// *Error: what it leads to is somebody else's.
func Append(path string) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &Error{path, "not a regular file but " + kind(info.Mode())}
	}
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|noFollow, 0o666)
}

// Folder makes a folder below dir and returns its path. What is there already must be a
// folder: a link to one would have what is written go elsewhere, and is an *Error.
func Folder(dir string, names ...string) (string, error) {
	for _, name := range names {
		dir = filepath.Join(dir, name)
		err := os.Mkdir(dir, 0o777)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if info, err := os.Lstat(dir); err != nil {
			return "", err
		} else if !info.IsDir() {
			return "", &Error{dir, "not a folder but " + kind(info.Mode())}
		}
	}
	return dir, nil
}

// Sync makes a folder's names durable, where the file system can.
func Sync(dir string) {
	if f, err := os.Open(dir); err == nil {
		f.Sync()
		f.Close()
	}
}
