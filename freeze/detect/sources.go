package detect

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// SourceError is a source of pictures that gives none.
type SourceError struct {
	Source string
	Err    error

	hint  string
	usage bool
}

func (e *SourceError) Error() string { return fmt.Sprintf("source %s: %v", e.Source, e.Err) }

func (e *SourceError) Unwrap() error { return e.Err }

// Hint says what helps, "" where that is not known.
func (e *SourceError) Hint() string { return e.hint }

// Usage reports whether something was asked for that makes no sense.
func (e *SourceError) Usage() bool { return e.usage }

// BadInput reports whether what was asked for is not there.
func (e *SourceError) BadInput() bool { return !e.usage }

func badSource(source string, err error) *SourceError { return &SourceError{Source: source, Err: err} }

// Sources lists the pictures that sources name: files, folders (not those
// below them), globs, .txt lists of any of these, one a line, and "-", such a
// list on standard input. Sources without a picture are barren; all must not be.
func Sources(sources []string, stdin io.Reader) (pictures, barren []string, err error) {
	for _, source := range sources {
		found, err := picturesOf(source, "", stdin, true)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			barren = append(barren, source)
		}
		pictures = append(pictures, found...)
	}
	if len(pictures) == 0 {
		return nil, nil, badSource(strings.Join(sources, ", "), errNone)
	}
	return pictures, barren, nil
}

var errNone = fmt.Errorf("no picture found")

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
		return nil, &SourceError{source, fmt.Errorf("streams and addresses are not read"), "download it first", true}
	case err != nil && strings.Trim(source, "0123456789") == "":
		return nil, &SourceError{source, disk.Cause(err), "cameras are not read", false}
	case err != nil:
		return nil, badSource(source, disk.Cause(err))
	case info.IsDir():
		return fromFolder(source)
	case lists && strings.EqualFold(filepath.Ext(source), ".txt"):
		f, _, err := disk.Open(source, math.MaxInt64)
		if err != nil {
			return nil, badSource(source, disk.Cause(err))
		}
		defer f.Close()
		return fromList(source, filepath.Dir(source), f)
	}
	return []string{source}, nil
}

func fromFolder(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, badSource(dir, disk.Cause(err))
	}
	var found []string
	for _, e := range entries {
		if dataset.IsPicture(e.Name()) && e.Type()&fs.ModeDir == 0 {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}

// SplitSources parts a text at its commas, but for those in the paths of what is there.
func SplitSources(value string) (sources []string) {
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
	found, err := glob(source)
	return disk.Exists(source) || err == nil && len(found) > 0
}

func fromGlob(pattern string) ([]string, error) {
	found, err := glob(pattern)
	if err != nil {
		return nil, &SourceError{Source: pattern, Err: fmt.Errorf("malformed glob"), usage: true}
	}
	return slices.DeleteFunc(found, func(path string) bool { return !dataset.IsPicture(path) }), nil
}

// glob lists what a pattern matches. First folders that are there stand for themselves,
// whatever is in their names.
func glob(pattern string) ([]string, error) {
	folder, rest := "", pattern
	for {
		i := strings.IndexRune(rest, filepath.Separator) + 1
		if i == 0 || !disk.IsFolder(folder+rest[:i]) {
			return filepath.Glob(disk.Literal(folder) + rest)
		}
		folder, rest = folder+rest[:i], rest[i:]
	}
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
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		found = append(found, more...)
	}
	if err := lines.Err(); err != nil {
		return nil, badSource(name, err)
	}
	return found, nil
}
