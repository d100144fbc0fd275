package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"yolofreeze/onnx/disk"
)

// pictureTypes are the endings of files that YOLOv5 takes for pictures; what is
// inside decides the format.
var pictureTypes = map[string]bool{
	".bmp": true, ".dng": true, ".gif": true, ".jpeg": true, ".jpg": true, ".mpo": true,
	".png": true, ".tif": true, ".tiff": true, ".webp": true, ".pfm": true,
}

// formatOf is the format that a picture's name promises, as package picture names it; "" for
// names that promise none of its formats.
func formatOf(path string) string {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".jpg", ".jpeg", ".mpo":
		return "jpeg"
	case ".tif", ".tiff":
		return "tiff"
	case ".png", ".gif", ".bmp", ".webp":
		return ext[1:]
	}
	return ""
}

// IsPicture tells by its name whether a file is taken for a picture.
func IsPicture(path string) bool {
	return pictureTypes[strings.ToLower(filepath.Ext(path))] && !IsStray(path)
}

// strays are what systems, shares and archives leave in folders, in lower case.
var strays = map[string]bool{
	"thumbs.db": true, "ehthumbs.db": true, "desktop.ini": true, "icon\r": true, "__macosx": true, "@eadir": true, "#recycle": true,
	"$recycle.bin": true, "system volume information": true, "lost+found": true, "__pycache__": true,
}

// IsStray tells by its name whether a file or folder is none of the data set's but
// was left by a system or an editor, or is hidden.
func IsStray(path string) bool {
	name := filepath.Base(path)
	return name[0] == '.' && name != "." && name != ".." || strings.HasPrefix(name, "~$") || strays[strings.ToLower(name)]
}

// FoldName makes names equal that some file systems cannot tell apart: those that
// differ in case, or in how Unicode composes their letters.
func FoldName(name string) string { return strings.ToLower(norm.NFC.String(name)) }

// portable is a name under which a picture of a written data set can be found on
// every system and by every list: valid UTF-8 on one line, not hidden, with a picture's
// ending. What cannot be kept is spelt as a URL spells it.
func portable(name string) string {
	var s strings.Builder
	for i, r := range name {
		switch _, n := utf8.DecodeRuneInString(name[i:]); {
		case r == utf8.RuneError && n == 1, unicode.IsControl(r):
			for _, b := range []byte(name[i : i+n]) {
				fmt.Fprintf(&s, "%%%02X", b)
			}
		default:
			s.WriteRune(r)
		}
	}
	out := s.String()
	if !pictureTypes[strings.ToLower(filepath.Ext(out))] {
		out += ".jpg" // what is inside decides
	}
	if stem := stem(out); stem != strings.TrimSpace(stem) || IsStray(out) {
		out = "_" + strings.TrimSpace(stem) + filepath.Ext(out)
	}
	return out
}

// ReadText reads a text file of a data set: see disk.ReadText. Its lines end in line feeds
// however they were ended, and it holds no zero bytes.
func ReadText(file string, limit int64) ([]byte, error) {
	text, err := disk.ReadText(file, limit)
	if err != nil {
		return nil, err
	}
	return PlainText(text)
}

// PlainText ends all lines of a text in line feeds and refuses zero bytes.
func PlainText(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, errors.New("holds zero bytes: not a text file in UTF-8")
	}
	if bytes.IndexByte(text, '\r') < 0 {
		return text, nil
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(text, []byte("\r"), []byte("\n")), nil // as old Macs ended lines
}

// ReadNames reads a list of classes, one name a line; nil where there is no such file.
func ReadNames(file string) ([]string, error) {
	text, err := ReadText(file, 4<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, disk.Cause(err))
	}
	var names []string
	seen := map[string]bool{}
	for n, line := range strings.Split(string(text), "\n") {
		name := strings.TrimSpace(line)
		switch {
		case name == "":
			continue
		case !utf8.ValidString(name):
			return nil, fmt.Errorf("%s:%d: class %.60q: not UTF-8", file, n+1, name)
		case seen[name]:
			return nil, fmt.Errorf("%s:%d: class %.60q is there twice", file, n+1, name)
		}
		seen[name] = true
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: names no class", file)
	}
	return names, nil
}
