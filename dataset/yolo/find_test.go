package yolo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

// TestOrphans: labels are found under names that are the same elsewhere; those of no picture are told.
func TestOrphans(t *testing.T) {
	root := files(t, map[string]any{"data.yaml": "train: images\nnames: [cat]\n", "labels/classes.txt": "cat",
		"images/a.png": picture, "labels/a.TXT": "0 .5 .5 .2 .2", "images/cafe\u0301.png": picture, "labels/caf\u00e9.txt": "0 .5 .5 .2 .2",
		"images/b.png": picture, "labels/c.txt": "0 .5 .5 .2 .2", "labels/d.txt": "0 .5 .5 .2 .2"})
	set, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
	if err != nil || set.Report.Found != 2 || set.Report.Missing != 1 || set.Report.Orphans != 2 ||
		!strings.Contains(fmt.Sprint(set.Report.Problems), "c.txt: no picture has these labels, the first of 2 such files (not used)") {
		t.Fatalf("%v, %+v", err, set)
	}
	for _, name := range []string{"a.TXT", "caf\u00e9.txt"} {
		if err := os.Rename(filepath.Join(root, "labels", name), filepath.Join(root, "labels", "x"+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "labels", "b.txt"), []byte("0 .5 .5 .2 .2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{Splits: []string{"train"}}); err == nil ||
		!strings.Contains(err.Error(), `has no labels for 2 of its 3 pictures, while 4 label files belong to no picture; labels of`) {
		t.Errorf("most are lost: %v", err)
	}
}
