package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Inputs are what a command reads and must not write over.
type Inputs struct {
	Files   []string // as paths to them
	Folders []string // of pictures and labels: nothing is to be written into them
}

// OutputError says why a command does not write where it was told to.
type OutputError struct{ Path, Reason string }

func (e *OutputError) Error() string { return e.Path + ": is not written to: " + e.Reason }

// BadInput marks the error as the input's fault, not the program's or the disk's.
func (e *OutputError) BadInput() bool { return true }

// Hint says what to do.
func (e *OutputError) Hint() string { return "name another file or a new folder for what is written" }

// CheckOutput refuses a path, a file's or a folder's, that is an input, holds one, lies in
// a folder of inputs or among the pictures or labels of any data set. Links, other
// spellings and cases of names lead to the same file: files are compared, not names. The
// error is an *[OutputError], or the system's.
func CheckOutput(path string, in Inputs) error {
	whole, err := realPath(path)
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return &OutputError{path, fmt.Sprintf(format, args...)}
	}
	known := files{}
	for _, at := range ancestors(whole) {
		for _, folder := range in.Folders {
			if known.same(at, folder) {
				return refuse("it lies in %s, which is read", folder)
			}
		}
		if beside := dataFolder(at); beside != "" {
			return refuse("it lies in %s, beside %s: pictures and labels of a data set", at, beside)
		}
	}
	looked := map[string]bool{} // at the folders of inputs
	for _, file := range in.Files {
		if known.same(file, whole) {
			return refuse("it is %s, which is read", file)
		}
		folder := filepath.Dir(file)
		if looked[folder] {
			continue
		}
		looked[folder] = true
		if real, err := realPath(folder); err == nil && slices.ContainsFunc(ancestors(real), func(at string) bool { return known.same(at, whole) }) {
			return refuse("%s, which is read, lies in it", file)
		}
	}
	return nil
}

// realPath follows the links of as much of a path as is there.
func realPath(path string) (string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for at := whole; ; {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		if target, linked := os.Readlink(at); linked == nil { // to what is not there yet
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return "", err // a loop
			}
			return realPath(filepath.Join(target, rest))
		}
		up := filepath.Dir(at)
		if up == at {
			return whole, nil
		}
		at, rest = up, filepath.Join(filepath.Base(at), rest)
	}
}

// ancestors are the path and all folders above it.
func ancestors(path string) []string {
	list := []string{path}
	for up := filepath.Dir(path); up != path; path, up = up, filepath.Dir(up) {
		list = append(list, up)
	}
	return list
}

// Same reports whether two paths lead to one file that is there.
func Same(a, b string) bool { return files{}.same(a, b) }

// files are those that paths lead to, nil for nothing. Each path is looked at once.
type files map[string]fs.FileInfo

// same reports whether two paths lead to one file.
func (f files) same(a, b string) bool {
	x, y := f.at(a), f.at(b)
	return x != nil && y != nil && os.SameFile(x, y)
}

func (f files) at(path string) fs.FileInfo {
	info, known := f[path]
	if !known {
		info, _ = os.Stat(path)
		f[path] = info
	}
	return info
}

// dataFolder finds, for a folder of a data set's pictures or labels by its name, the
// other beside it, "" where there is none.
func dataFolder(path string) string {
	pairs := map[string]string{"images": "labels", "labels": "images", "jpegimages": "Annotations", "annotations": "JPEGImages"}
	other := pairs[strings.ToLower(filepath.Base(path))]
	if beside := filepath.Join(filepath.Dir(path), other); other != "" && IsFolder(beside) {
		return beside
	}
	return ""
}

// mark is the file by which a folder is known to have been made by this program.
const mark = ".yolofreeze"

// Claim makes a folder for what a command writes, unless CheckOutput refuses it. One that
// is there and not empty must have been made by Claim.
func Claim(dir string, in Inputs) error {
	if err := CheckOutput(dir, in); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return halfMark(e.Name()) })
	if len(entries) > 0 && !Claimed(dir) {
		return &OutputError{dir, fmt.Sprintf("it holds %s, and no %s that says that a run of ours made it", entries[0].Name(), mark)}
	}
	if len(entries) > 0 {
		return nil
	}
	return Adopt(dir)
}

// halfMark reports whether a name is that of a mark which Adopt is writing, or was when its
// program was killed: a folder with nothing else is as good as empty.
func halfMark(name string) bool { return strings.HasPrefix(name, "."+mark) && Abandoned(name) }

// Adopt marks a folder as made by Claim, for those who know it to be.
func Adopt(dir string) error {
	return Write(filepath.Join(dir, mark), []byte("This folder was made by yolofreeze, which may write into it again.\n"))
}

// Claimed reports whether Claim made a folder.
func Claimed(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, mark))
	return err == nil && info.Mode().IsRegular()
}

// Untouched reports whether nothing was put into a folder since Claim made it, but files of these names.
func Untouched(dir string, but ...string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != mark && !halfMark(e.Name()) && !slices.Contains(but, e.Name())
	})
}
