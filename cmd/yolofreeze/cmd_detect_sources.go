package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// findPictures lists the pictures that sources name: files, folders (not those
// below them), globs, .txt lists of any of these, one a line, and "-", such a
// list on standard input.
func findPictures(sources []string, t *terminal) ([]string, error) {
	var all, barren []string
	for _, source := range sources {
		found, err := picturesOf(source, "", t.in, true)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			barren = append(barren, source)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, badInputf("%s: no picture found", strings.Join(sources, ", "))
	}
	for _, source := range barren {
		t.warnf("%s: no picture found", source)
	}
	return all, nil
}

// picturesOf resolves one source; base is the folder that a list's relative
// paths are tried in after the working folder.
func picturesOf(source, base string, stdin io.Reader, lists bool) ([]string, error) {
	if source == "-" && lists {
		return fromList("standard input", "", stdin)
	}
	info, err := os.Stat(source)
	if err != nil && base != "" && !filepath.IsAbs(source) {
		if inside, ok := os.Stat(filepath.Join(base, source)); ok == nil {
			source, info, err = filepath.Join(base, source), inside, nil
		}
	}
	switch {
	case err != nil && strings.ContainsAny(source, "*?["):
		return fromGlob(source)
	case err != nil && strings.Contains(source, "://"):
		return nil, usageErrorf("detect: source %s: streams and addresses are not read", source).hinted("download it first")
	case err != nil && strings.Trim(source, "0123456789") == "":
		return nil, badInputf("source %s: %v", source, disk.Cause(err)).hinted("cameras are not read; lists of classes are written with commas, such as --classes 0,2")
	case err != nil:
		return nil, badInputf("source %s: %v", source, disk.Cause(err))
	case info.IsDir():
		return fromFolder(source)
	case lists && strings.EqualFold(filepath.Ext(source), ".txt"):
		f, err := os.Open(source)
		if err != nil {
			return nil, badInputf("source %s: %v", source, disk.Cause(err))
		}
		defer f.Close()
		return fromList(source, filepath.Dir(source), f)
	}
	return []string{source}, nil
}

func fromFolder(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, badInputf("source %s: %v", dir, disk.Cause(err))
	}
	var found []string
	for _, e := range entries {
		if dataset.IsPicture(e.Name()) && e.Type()&fs.ModeDir == 0 {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// splitSources parts a value of --source at its commas, but for those in the paths
// of what is there.
func splitSources(value string) (sources []string) {
	parts := strings.Split(value, ",")
next:
	for len(parts) > 0 {
		for n := len(parts); n > 0; n-- {
			whole := strings.Join(parts[:n], ",")
			for _, source := range []string{whole, strings.TrimSpace(whole)} {
				if leadsSomewhere(source) {
					sources, parts = append(sources, source), parts[n:]
					continue next
				}
			}
		}
		sources, parts = append(sources, strings.TrimSpace(parts[0])), parts[1:]
	}
	return sources
}

func leadsSomewhere(source string) bool {
	if disk.Exists(source) {
		return true
	}
	found, err := filepath.Glob(literally(source))
	return err == nil && len(found) > 0
}

// literally makes a pattern of a path whose first folders are there and have in
// their names what patterns are made of.
func literally(pattern string) string {
	folder, rest := "", pattern
	for {
		i := strings.IndexRune(rest, filepath.Separator) + 1
		if i == 0 || !disk.IsFolder(folder+rest[:i]) {
			return disk.Literal(folder) + rest
		}
		folder, rest = folder+rest[:i], rest[i:]
	}
}

func fromGlob(pattern string) ([]string, error) {
	found, err := filepath.Glob(literally(pattern))
	if err != nil {
		return nil, usageErrorf("detect: source %q: malformed glob", pattern)
	}
	return slices.DeleteFunc(found, func(path string) bool { return !dataset.IsPicture(path) }), nil
}

func fromList(name, base string, r io.Reader) ([]string, error) {
	var found []string
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" {
			continue
		}
		more, err := picturesOf(line, base, nil, false)
		if err != nil {
			return nil, badInput(fmt.Errorf("%s:%d: %w", name, n, err))
		}
		found = append(found, more...)
	}
	if err := lines.Err(); err != nil {
		return nil, badInputf("reading %s: %v", name, err)
	}
	return found, nil
}
