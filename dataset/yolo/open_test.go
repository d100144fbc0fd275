package yolo

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

// files writes a tree; values that are image.Image are written as PNG.
func files(t testing.TB, tree map[string]any) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range tree {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		switch c := content.(type) {
		case image.Image:
			err = png.Encode(f, c)
		case string:
			_, err = f.WriteString(c)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var picture = image.NewGray(image.Rect(0, 0, 40, 20))

const twoClasses = "train: images/train\nval: images/val\nnames: [cat, dog]\n"

// oneLabel is a set with one good picture per split and the given label file.
func oneLabel(t testing.TB, label string) string {
	return filepath.Join(files(t, map[string]any{
		"data.yaml":          twoClasses,
		"images/train/a.png": picture, "labels/train/a.txt": label,
		"images/val/b.png": picture, "labels/val/b.txt": "1 .5 .5 .2 .2",
	}), "data.yaml")
}

// TestNoLabels: where nothing is labelled, the error says where labels are looked for.
func TestNoLabels(t *testing.T) {
	root := files(t, map[string]any{"data.yaml": "train: pictures\nnames: [cat]\n", "pictures/a.png": picture, "labels/a.txt": "0 .5 .5 .2 .2"})
	_, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
	at := filepath.Join(root, "pictures", "a")
	if want := "labels of " + at + ".png are looked for in " + at + ".txt"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestBackground: pictures without labels count, but a set needs some object.
func TestBackground(t *testing.T) {
	tree := map[string]any{"data.yaml": "train: images\nnames: [cat]\n", "images/a.png": picture, "images/b.png": picture, "labels/b.txt": ""}
	root := files(t, tree)
	_, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
	if err == nil || !strings.Contains(err.Error(), `split "train" has no object in its 2 pictures (1 without labels, 1 with empty ones, 0 objects left out)`) {
		t.Errorf("no objects: %v", err)
	}
	set, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{AllowUnfit: true})
	if err != nil || set.Report.Missing != 1 || set.Report.Empty != 1 {
		t.Errorf("%+v, %v", set, err)
	}
	if _, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{Splits: []string{"val"}}); err == nil || !strings.Contains(err.Error(), `key "val" is missing`) {
		t.Errorf("asked for a missing split: %v", err)
	}
}

// TestManyLabels indexes many label files of pictures that are hard links to a
// few, and bounds time and memory. YOLOFREEZE_LONG makes it 100 000 files.
func TestManyLabels(t *testing.T) {
	n := 3_000
	if os.Getenv("YOLOFREEZE_LONG") != "" {
		n = 100_000
	}
	root := files(t, map[string]any{"data.yaml": "train: images\nnames: [cat, dog]\n"})
	one := ""
	for i := range n {
		sub := fmt.Sprintf("%03d", i/1000)
		if i%1000 == 0 {
			for _, d := range []string{"images", "labels"} {
				if err := os.MkdirAll(filepath.Join(root, d, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			one = filepath.Join(files(t, map[string]any{"one.png": picture}), "one.png")
		}
		name := filepath.Join(sub, fmt.Sprintf("%06d", i))
		text := fmt.Sprintf("%d 0.5 0.%06d 0.25 0.25\n1 .4 .4 .1 .1\n0 .3 .3 .2 .2\n", i%2, i)
		err := os.WriteFile(filepath.Join(root, "labels", name+".txt"), []byte(text), 0o644)
		if err == nil {
			err = os.Link(one, filepath.Join(root, "images", name+".png"))
		}
		if err != nil {
			t.Skip(err)
		}
	}
	var before, after runtime.MemStats
	for _, run := range []string{"first", "with picture sizes known"} {
		runtime.GC()
		runtime.ReadMemStats(&before)
		set, took, err := timed(filepath.Join(root, "data.yaml"), filepath.Join(root, "cache"))
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		t.Logf("%s: %d objects in %v, %d bytes a picture kept", run, set.Report.Objects, took, grown/int64(n))
		if set.Report.Objects != 3*n || grown > 2000*int64(n) || took.Seconds() > 60 {
			t.Errorf("%d objects, %d bytes, %v", set.Report.Objects, grown, took)
		}
		runtime.KeepAlive(set)
	}
}

// TestUnsplit: a labelling tool's folder has its classes beside it and one split.
func TestUnsplit(t *testing.T) {
	root := files(t, map[string]any{"classes.txt": "cat\r\ndog\r\n", "images/a.png": picture, "labels/a.txt": "1 .5 .5 .2 .2", "notes.json": "{}"})
	set, err := OpenFolder(root, dataset.ReadOptions{})
	if err != nil || len(set.Splits["train"]) != 1 || fmt.Sprint(set.Names) != "[cat dog]" {
		t.Fatalf("%v, %+v", err, set)
	}
	if _, err = OpenFolder(root, dataset.ReadOptions{Splits: []string{"train", "val"}}); err == nil || !strings.Contains(err.Error(), "dataset split deals") {
		t.Errorf("for training: %v", err)
	}
}
