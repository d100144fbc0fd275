package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"yolofreeze/onnx/disk"
)

// splitWords are the words for splits in the names of files and folders.
var splitWords = map[string]string{
	"train": "train", "training": "train", "trainval": "train", "val": "val", "valid": "val", "validation": "val", "minival": "val",
	"test": "test", "testing": "test",
}

// SplitOf tells the split that a file is named for, by a whole word of the name: latest
// is no test. "" if none.
func SplitOf(file string) string {
	base := filepath.Base(file)
	words := strings.FieldsFunc(strings.ToLower(strings.TrimSuffix(base, filepath.Ext(base))), func(r rune) bool { return !unicode.IsLetter(r) })
	for _, w := range words {
		if split := splitWords[w]; split != "" {
			return split
		}
	}
	return ""
}

// JSONBySplit lists the JSON files of a folder whose names begin so, that are of a format, and
// whose names are those of splits; a single file is train whatever its name. nil where there is none.
func JSONBySplit(folder, prefix string, is func(file string) bool) map[string]string {
	entries, _ := os.ReadDir(folder)
	out := map[string]string{}
	var all []string
	for _, e := range entries {
		if IsStray(e.Name()) || !strings.HasPrefix(e.Name(), prefix) || !strings.EqualFold(filepath.Ext(e.Name()), ".json") {
			continue
		}
		file := filepath.Join(folder, e.Name())
		if !is(file) {
			continue
		}
		all = append(all, file)
		if split := SplitOf(e.Name()); split != "" && out[split] == "" {
			out[split] = file
		}
	}
	if len(all) == 1 && len(out) == 0 {
		out["train"] = all[0]
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// FindPicture looks in folders for the picture that a label tool names, by its whole path at
// first and then by ever shorter ends of it, since tools write where a picture lay on their
// server. What leads out of the folders is not looked for: ok tells whether a part of the
// name does not. A picture that is nowhere is named where it is first looked for.
func FindPicture(folders []string, name string) (path string, ok bool) {
	parts := strings.Split(strings.ReplaceAll(name, `\`, "/"), "/")
	local, whole := localName(name)
	if len(name) > maxPath {
		return name, false
	}
	for ; len(parts) > 0; parts = parts[1:] {
		end, ok := localName(strings.Join(parts, "/"))
		for _, dir := range folders {
			if path := filepath.Join(dir, end); ok && disk.IsFile(path) {
				return path, true
			}
		}
	}
	switch {
	case !whole:
		return name, false
	case len(folders) == 0:
		return local, true
	}
	return filepath.Join(folders[0], local), true
}

// PictureIn is FindPicture for one folder; ok tells whether the picture is there.
func PictureIn(dir, name string) (path string, ok bool) {
	path, ok = FindPicture([]string{dir}, name)
	return path, ok && disk.IsFile(path)
}

const maxPath = 4096

// localName is a picture's name as a path that stays in its folder.
func localName(name string) (string, bool) {
	name = filepath.FromSlash(strings.ReplaceAll(name, `\`, "/"))
	return name, len(name) <= maxPath && filepath.IsLocal(name)
}
