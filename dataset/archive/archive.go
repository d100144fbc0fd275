// Package archive unpacks zipped data sets into the cache folder, once for each state of a file.
package archive

import (
	"archive/zip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
	"yolofreeze/onnx/machine"
)

// limits are generous: a data set may have millions of pictures, and COCO's JSON shrinks to a tenth.
var limits = disk.ZipLimits{Records: 5_000_000, Floor: 64 << 20, Ratio: 100}

// Is tells by its name whether a file is one that Unpack reads.
func Is(file string) bool { return strings.EqualFold(filepath.Ext(file), ".zip") }

// Unpack returns the folder with a zip file's content, which lies in the cache folder from then
// on; it may be removed at any time that nothing reads it. Names that lead elsewhere, links,
// encrypted files, and archives that grow beyond measure or beyond the disk's free space are
// errors, and nothing is left of them. What systems leave behind is not unpacked.
func Unpack(file string) (dir string, err error) {
	state, err := dataset.StateOf(file)
	if err != nil {
		return "", err
	}
	whole, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	cache, err := disk.CacheFolder()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "datasets")
	if err := disk.Private(cache); err != nil {
		return "", err
	}
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%v", whole, state))
	dir = filepath.Join(cache, fmt.Sprintf("%.60s-%x", strings.ToValidUTF8(stem, "_"), sum[:8]))
	if disk.IsFolder(dir) {
		return dir, nil
	}
	tmp, done, err := disk.Stage(filepath.Join(cache, "."+filepath.Base(dir)+".tmp"), 0o700)
	if err != nil {
		return "", err
	}
	defer done()
	if err := unpack(file, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil && !disk.IsFolder(dir) { // another process was quicker
		return "", err
	}
	return dir, nil
}

func unpack(file, dir string) error {
	bad := func(err error) error {
		if disk.Fault(err) {
			return err
		}
		return &disk.InputError{Path: file, Err: err}
	}
	f, size, err := disk.Open(file, 1<<62)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zip.NewReader(f, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return bad(fmt.Errorf("not a zip file, damaged or incomplete, %d bytes: %w", size, err))
	}
	total := int64(0)
	for _, r := range z.File {
		r.Name = properName(r)
	}
	if err := disk.CheckZip(z.File, size, limits); err != nil {
		return bad(err)
	}
	files := slices.DeleteFunc(slices.Clone(z.File), func(r *zip.File) bool {
		return strings.HasSuffix(r.Name, "/") || slices.ContainsFunc(strings.Split(r.Name, "/"), func(part string) bool { return part != "" && dataset.IsStray(part) })
	})
	for _, r := range files {
		switch name := filepath.FromSlash(r.Name); {
		case !filepath.IsLocal(name):
			return bad(fmt.Errorf("zip record %s: unsafe name", disk.ZipName(r.Name)))
		case !r.Mode().IsRegular():
			return bad(fmt.Errorf("zip record %s: not a regular file, and links are not followed", disk.ZipName(r.Name)))
		}
		total += int64(r.UncompressedSize64)
	}
	if free, known := machine.FreeDisk(dir); known && total > free {
		return fmt.Errorf("%s: unpacked it is %d MB, and %s has %d MB left", file, total>>20, filepath.Dir(dir), free>>20)
	}
	var failed atomic.Pointer[error]
	dataset.Each(len(files), runtime.GOMAXPROCS(0), func(i int) {
		if failed.Load() != nil {
			return
		}
		if err := put(files[i], dir); err != nil {
			if !disk.Fault(err) {
				err = fmt.Errorf("zip record %s: %w", disk.ZipName(files[i].Name), disk.Cause(err))
			}
			failed.CompareAndSwap(nil, &err)
		}
	})
	if err := failed.Load(); err != nil {
		return bad(*err)
	}
	return nil
}

// properName is a record's name with slashes, in UTF-8: older programs write backslashes, and
// names in the code page of the first PCs, as the format says of names that are not marked.
func properName(r *zip.File) string {
	name := r.Name
	if !utf8.ValidString(name) {
		name, _ = charmap.CodePage437.NewDecoder().String(name) // which has all bytes
	}
	return strings.ReplaceAll(name, `\`, "/")
}

func put(r *zip.File, dir string) error {
	path := filepath.Join(dir, filepath.FromSlash(r.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	in, err := r.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	err = disk.Put(path, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(in, int64(r.UncompressedSize64)))
		if err == nil {
			if n, end := in.Read(make([]byte, 1)); n > 0 || end == nil {
				err = errors.New("longer than its directory says")
			} else if end != io.EOF {
				err = end // the checksum
			}
		}
		return err
	})
	if errors.Is(err, zip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the file is damaged", zip.ErrChecksum)
	}
	return err
}
