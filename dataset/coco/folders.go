package coco

import (
	"os"
	"path/filepath"
	"strings"

	"yolofreeze/dataset"
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
		if _, ok := dataset.PictureIn(dir, string(im.FileName)); ok {
			return true
		}
	}
	return false
}
