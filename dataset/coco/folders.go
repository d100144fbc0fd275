package coco

import (
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/onnx/disk"
)

// pictureFolders lists the folders in which the pictures of a document may lie,
// those first that hold one of its first pictures.
func pictureFolders(doc *document, split string) []string {
	dir := filepath.Dir(doc.file)
	up := filepath.Dir(dir)
	stem := strings.TrimSuffix(filepath.Base(doc.file), filepath.Ext(doc.file))
	tail := stem[strings.LastIndex(stem, "_")+1:] // train2017 of instances_train2017
	candidates := []string{
		dir, filepath.Join(dir, "images"),
		filepath.Join(up, "images", tail), filepath.Join(up, tail),
		filepath.Join(up, "images", split), filepath.Join(up, split),
		filepath.Join(up, "images"), up,
		filepath.Join(dir, tail), filepath.Join(dir, split), filepath.Join(dir, "images", tail), filepath.Join(dir, "images", split),
	}
	const some = 20
	var good, rest []string
	for _, c := range candidates {
		if st, err := os.Stat(c); err != nil || !st.IsDir() {
			continue
		}
		if hasAny(c, doc.images[:min(some, len(doc.images))]) {
			good = append(good, c)
		} else {
			rest = append(rest, c)
		}
	}
	return append(good, rest...)
}

func hasAny(dir string, images []image) bool {
	for _, im := range images {
		if name, ok := localName(string(im.FileName)); ok && disk.IsFile(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

// localName is a picture's name as a path that stays in its folder.
func localName(name string) (string, bool) {
	name = filepath.FromSlash(strings.ReplaceAll(name, `\`, "/"))
	return name, len(name) <= 4096 && filepath.IsLocal(name)
}

// findPicture looks for a picture. A name that leads elsewhere is not looked
// for at all; one that is nowhere is named where it is first looked for.
func findPicture(folders []string, name string) (path string, ok bool) {
	local, ok := localName(name)
	if !ok {
		return name, false
	}
	for _, dir := range folders {
		if path := filepath.Join(dir, local); disk.IsFile(path) {
			return path, true
		}
	}
	if len(folders) == 0 {
		return local, true
	}
	return filepath.Join(folders[0], local), true
}
