package yolo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

// TestLayouts opens one set written in the ways that data.yaml files name
// pictures; all must find the same two pictures.
func TestLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		yaml  string
		extra map[string]any
	}{
		"folder":           {"train: images/train\nnames: [cat, dog]\n", nil},
		"parent":           {"train: ../images/train\nnames: [cat, dog]\n", nil},
		"backslash":        {"train: images\\train\nnames: [cat, dog]\n", nil},
		"numbered names":   {"path: .\ntrain: images/train\nnames:\n  0: cat\n  1: dog\nnc: 2\n", nil},
		"list of folders":  {"train: [images/train/x, images/train/y]\nnames: [cat, dog]\n", nil},
		"text list":        {"train: lists/t.txt\nnames: [cat, dog]\n", map[string]any{"lists/t.txt": "./../images/train/x/a.png\r\n\n../images/train/y/中 文.png\n"}},
		"list from root":   {"train: lists/t.txt\nnames: [cat, dog]\n", map[string]any{"lists/t.txt": "images/train/x/a.png\nimages\\train\\y\\中 文.png"}},
		"folder and list":  {"train:\n- images/train/x\n- t.txt\nnames: [cat, dog]\n", map[string]any{"t.txt": "images/train/y/中 文.png"}},
		"missing test":     {"train: images/train\ntest: images/gone\nnames: [cat, dog]\n", nil},
		"download ignored": {"train: images/train\nnames: [cat, dog]\ndownload: |\n  bash -c 'touch pwned'\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tree := map[string]any{
				"data.yaml":            c.yaml,
				"images/train/x/a.png": picture, "labels/train/x/a.txt": "0 .5 .5 .2 .2",
				"images/train/y/中 文.png": picture, "labels/train/y/中 文.txt": "1 .5 .5 .2 .2",
			}
			for k, v := range c.extra {
				tree[k] = v
			}
			root := files(t, tree)
			set, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if n := set.Report.Objects; n != 2 || len(set.Splits["train"]) != 2 {
				t.Errorf("%d objects in %d pictures, want 2 in 2: %+v", n, len(set.Splits["train"]), set)
			}
		})
	}
}

func TestLabelPath(t *testing.T) {
	for in, want := range map[string]string{
		"/d/images/train/a.jpg":           "/d/labels/train/a.txt",
		"/images/x/images/a.b.jpg":        "/images/x/labels/a.b.txt",
		"/d/images/images.jpg":            "/d/labels/images.txt",
		"/d/pictures/a.jpg":               "/d/pictures/a.txt",
		"/d/myimages/a.jpg.jpg":           "/d/myimages/a.jpg.txt",
		"images/a.jpg":                    "labels/a.txt",
		"/d/images/val/2007 images/a.JPG": "/d/labels/val/2007 images/a.txt",
	} {
		if got := LabelPath(filepath.FromSlash(in)); got != filepath.FromSlash(want) {
			t.Errorf("LabelPath(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestLinkedImages keeps the names of linked folders: labels lie beside the
// link, not beside what it leads to.
func TestLinkedImages(t *testing.T) {
	root := files(t, map[string]any{
		"data.yaml": "train: images/train\nnames: [cat]\n", "store/p/a.png": picture, "labels/train/a.txt": "0 .5 .5 .2 .2",
		"images/x": "",
	})
	if err := os.Symlink("../store/p", filepath.Join(root, "images", "train")); err != nil {
		t.Skip(err)
	}
	set, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
	if err != nil || set.Report.Objects != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	loop := filepath.Join(root, "store", "p", "round")
	if err := os.Symlink(".", loop); err != nil {
		t.Skip(err)
	}
	if _, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "circle of links") {
		t.Errorf("circle of links: %v", err)
	}
}

// TestWorkingFolder: what does not lie beside the data.yaml is looked for in the
// working folder, where YOLOv5's own files mean it.
func TestWorkingFolder(t *testing.T) {
	for name, text := range map[string]string{
		"path":    "path: ../sets/pets\ntrain: images\nnames: [cat]\n",
		"entries": "train: ../sets/pets/images\nnames: [cat]\n",
		"list":    "train: list.txt\nnames: [cat]\n",
	} {
		t.Run(name, func(t *testing.T) {
			root := files(t, map[string]any{
				"code/data/pets.yaml": text, "code/data/list.txt": "../sets/pets/images/a.png\n",
				"sets/pets/images/a.png": picture, "sets/pets/labels/a.txt": "0 .5 .5 .2 .2",
			})
			t.Chdir(filepath.Join(root, "code"))
			for _, file := range []string{filepath.Join("data", "pets.yaml"), filepath.Join(root, "code", "data", "pets.yaml")} {
				if set, err := Open(file, dataset.ReadOptions{}); err != nil || set.Report.Objects != 1 {
					t.Errorf("%s: %v", file, err)
				}
			}
			t.Chdir(root)
			if _, err := Open(filepath.Join("code", "data", "pets.yaml"), dataset.ReadOptions{}); err == nil {
				t.Error("found from elsewhere")
			}
		})
	}
}

// TestStrays: hidden files and folders are no pictures, in folders and in lists, and give
// no word each; lists hold quoted names and a folder data that is not there.
func TestStrays(t *testing.T) {
	tree := map[string]any{"data.yaml": twoClasses, "list.yaml": "train: train.txt\nval: images/val\nnames: [cat, dog]\n",
		"train.txt":          "data/images/train/a.png\r\"images/train/b c.png\"\rimages/train/._a.png\r.DS_Store\n",
		"images/train/a.png": picture, "labels/train/a.txt": "0 .5 .5 .2 .2\r1 .1 .1 .1 .1\r",
		"images/train/b c.png": picture, "labels/train/b c.txt": "0 .5 .5 .2 .2",
		"images/val/b.png": picture, "labels/val/b.txt": "1 .5 .5 .2 .2"}
	for _, stray := range []string{"._a.png", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "@eaDir/a.png", "Thumbs.db", ".DS_Store", "~$a.png", ".Trashes/a.png"} {
		tree["images/train/"+stray] = "x"
	}
	root := files(t, tree)
	for _, file := range []string{"data.yaml", "list.yaml"} {
		set, err := Open(filepath.Join(root, file), dataset.ReadOptions{Splits: []string{"train", "val"}})
		if err != nil || set.Report.Found != 3 || set.Report.Objects != 4 || len(set.Report.Problems) > 0 {
			t.Errorf("%s: %v, %+v", file, err, set)
		}
	}
}
