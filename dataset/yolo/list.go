package yolo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

const (
	maxListBytes   = 1 << 30
	maxLabelBytes  = 64 << 20
	maxFolderDepth = 32
)

// pictures expands one entry of a split: a folder, a list, or one picture.
func (c *Config) pictures(split, entry string) ([]string, error) {
	path := c.entryPath(entry)
	st, err := os.Stat(path)
	if err != nil {
		return nil, c.keyError(split, entry, path, err)
	}
	var out []string
	switch {
	case st.IsDir():
		err = walkPictures(path, 0, &out)
	case strings.EqualFold(filepath.Ext(path), ".txt"):
		out, err = c.readList(path)
	case dataset.IsPicture(path):
		return nil, c.keyError(split, entry, path, errors.New("a picture: must be a folder or a .txt list"))
	default:
		err = errors.New("must be a folder or a .txt list")
	}
	if err == nil && len(out) == 0 {
		err = errors.New("no pictures there")
	}
	if err != nil {
		return nil, c.keyError(split, entry, path, err)
	}
	return out, nil
}

func (c *Config) keyError(split, entry, path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("does not exist")
	}
	if abs, aerr := filepath.Abs(path); aerr == nil {
		path = abs
	}
	return fmt.Errorf("%s: key %q: %q is %s: %w", c.File, split, entry, path, err)
}

// entryPath resolves an entry against the root; where the file names none, also
// against the working folder. Exports of labelling sites
// write ../train/images for a folder that lies beside the data.yaml.
func (c *Config) entryPath(entry string) string {
	path := resolve(c.Root, entry)
	if disk.Exists(path) {
		return path
	}
	if inner, ok := strings.CutPrefix(entry, "../"); ok {
		if p := resolve(c.Root, inner); disk.Exists(p) {
			return p
		}
	}
	if inner, ok := strings.CutPrefix(entry, "data/"); ok && c.Path == "" { // as darknet and CVAT write it
		if p := resolve(c.Root, inner); disk.Exists(p) {
			return p
		}
	}
	if c.Path == "" {
		path = find(c.Root, entry)
	}
	if !disk.Exists(path) && foreignPath(entry) { // where it lay on the machine that wrote the file
		parts := strings.Split(strings.ReplaceAll(entry, `\`, "/"), "/")
		for parts = parts[1:]; len(parts) > 0; parts = parts[1:] {
			if p := filepath.Join(c.Root, filepath.Join(parts...)); filepath.IsLocal(filepath.Join(parts...)) && disk.Exists(p) {
				return p
			}
		}
	}
	return path
}

// foreignPath tells whether an entry is a whole path, on this system or on Windows.
func foreignPath(entry string) bool {
	return filepath.IsAbs(entry) || strings.HasPrefix(entry, "/") || len(entry) > 2 && entry[1] == ':' && (entry[2] == '\\' || entry[2] == '/')
}

// walkPictures collects the pictures below a folder. Links to folders are
// followed, their names kept; a circle of them ends at maxFolderDepth.
func walkPictures(dir string, depth int, out *[]string) error {
	if depth > maxFolderDepth {
		return fmt.Errorf("%s: folders nested deeper than %d: a circle of links?", dir, maxFolderDepth)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if dataset.IsStray(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		folder := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			st, err := os.Stat(path)
			folder = err == nil && st.IsDir()
		}
		if folder {
			if err := walkPictures(path, depth+1, out); err != nil {
				return err
			}
		} else if dataset.IsPicture(path) {
			*out = append(*out, path)
		}
	}
	return nil
}

// readList reads a list of pictures, one a line, relative to the list's own
// folder, or else to the root or the working folder.
func (c *Config) readList(file string) ([]string, error) {
	data, err := dataset.ReadText(file, maxListBytes)
	if err != nil {
		return nil, fmt.Errorf("not a list of pictures: %w", disk.Cause(err))
	}
	var out []string
	for n, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || dataset.IsStray(line) {
			continue
		}
		if len(line) > 4096 || !dataset.IsPicture(strings.Trim(line, `"'`)) {
			return nil, fmt.Errorf("line %d: %q is not the name of a picture", n+1, strings.ToValidUTF8(line[:min(len(line), 60)], "�"))
		}
		if bare := strings.Trim(line, `"'`); bare != line && !disk.Exists(resolve(filepath.Dir(file), line)) {
			line = bare
		}
		path := resolve(filepath.Dir(file), line)
		if !filepath.IsAbs(line) && !disk.Exists(path) {
			if p := find(c.Root, line); disk.Exists(p) {
				path = p
			} else if inner, ok := strings.CutPrefix(strings.ReplaceAll(line, `\`, "/"), "data/"); ok && !disk.Exists(filepath.Join(filepath.Dir(file), "data")) {
				path = resolve(filepath.Dir(file), inner) // CVAT and darknet write data/ for the list's own folder
			}
		}
		out = append(out, path)
	}
	return out, nil
}

// LabelPath names the label file of a picture: the last folder called images
// becomes labels, the ending .txt. Links are not resolved, since they may lead
// elsewhere.
func LabelPath(picture string) string {
	const sep = string(filepath.Separator)
	dir, base := filepath.Split(picture)
	switch i := strings.LastIndex(dir, sep+"images"+sep); {
	case i >= 0:
		dir = dir[:i] + sep + "labels" + sep + dir[i+len("/images/"):]
	case strings.HasPrefix(dir, "images"+sep):
		dir = "labels" + dir[len("images"):]
	}
	return dir + strings.TrimSuffix(base, filepath.Ext(base)) + ".txt"
}
