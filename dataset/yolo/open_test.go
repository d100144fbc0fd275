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

func TestLabels(t *testing.T) {
	for _, c := range []struct {
		name, text string
		policy     dataset.Policy
		objects    int    // in train
		want       string // part of the error; "" for none
		counts     dataset.Counts
	}{
		{"box", "0 .5 .5 .25 .5\n", "", 1, "", dataset.Counts{Found: 1}},
		{"blank lines, mark, CRLF, tabs", "\xef\xbb\xbf\r\n 0\t.5 .5  .2 .2 \r\n\r\n1 .1 .1 .1 .1", "", 2, "", dataset.Counts{Found: 1}},
		{"empty", "", "", 0, "", dataset.Counts{Found: 1, Empty: 1}},
		{"whole class as float", "1.0 .5 .5 .2 .2", "", 1, "", dataset.Counts{Found: 1}},
		{"triangle", "1 .1 .1 .5 .1 .3 .9", "", 1, "", dataset.Counts{Found: 1}},
		{"outline beside box", "1 .1 .1 .5 .1 .5 .9 .1 .9\n0 .5 .5 .2 .2", "", 2, "", dataset.Counts{Found: 1}},
		{"repeated row", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2\n1 .5 .5 .2 .2", "", 2, "", dataset.Counts{Found: 1, Duplicates: 1}},

		{"class -1", "0 .5 .5 .2 .2\n-1 .5 .5 .2 .2", "", 0, `a.txt:2: class "-1": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"class 1.5", "1.5 .5 .5 .2 .2", "", 0, `a.txt:1: class "1.5": must be a whole number`, dataset.Counts{}},
		{"class 2 of 2", "2 .5 .5 .2 .2", "", 0, `class "2": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"huge class", "10000000000 .5 .5 .2 .2", "", 0, `class "10000000000": must be a whole number from 0 to 1`, dataset.Counts{}},
		{"name as class", "person .5 .5 .2 .2", "", 0, `a.txt:1: class "person": must be a whole number`, dataset.Counts{}},
		{"bad class dropped", "5 .5 .5 .2 .2\n1 .5 .5 .2 .2", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"bad class cannot be clipped", "5 .5 .5 .2 .2", dataset.Clip, 0, `class "5"`, dataset.Counts{}},

		{"over one", "0 1.0001 .5 .2 .2", "", 0, `a.txt:1: x "1.0001": must be from 0 to 1`, dataset.Counts{}},
		{"over one clipped", "0 1.0001 .5 .2 .2", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1}},
		{"over one dropped", "0 1.0001 .5 .2 .2\n0 .5 .5 .1 .1", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"negative", "0 .5 -0.04 .2 .2", "", 0, `y "-0.04"`, dataset.Counts{}},
		{"too large", "0 .5 1e309 .2 .2", "", 0, `a.txt:1: y "1e309": must be a decimal number within`, dataset.Counts{}},
		{"nan", "0 .5 .5 nan .2", "", 0, `w "nan": must be a decimal number`, dataset.Counts{}},
		{"inf", "0 .5 .5 .2 inf", "", 0, `h "inf"`, dataset.Counts{}},
		{"decimal comma", "0 0,5 .5 .2 .2", "", 0, `x "0,5": must be a decimal number with a point`, dataset.Counts{}},
		{"hex", "0 0x1p-2 .5 .2 .2", "", 0, `x "0x1p-2"`, dataset.Counts{}},
		{"commas", "0,.5,.5,.2,.2", "", 0, `separated by blanks`, dataset.Counts{}},
		{"polygon outside", "0 .1 .1 1.2 .1 .5 .5", "", 0, `polygon x "1.2"`, dataset.Counts{}},
		{"polygon clipped", "0 .1 .1 1.2 .1 .5 .5", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1}},

		{"no width", "0 .5 .5 0 .2", "", 0, `w "0": must be at least 1e-06`, dataset.Counts{}},
		{"no width dropped", "0 .5 .5 0 .2\n0 .5 .5 .1 .1", dataset.Drop, 1, "", dataset.Counts{Found: 1, Dropped: 1}},
		{"thin", "0 .5 .5 .2 1e-9", "", 0, `h "1e-09"`, dataset.Counts{}},
		{"clipped away", "0 1.5 .5 .2 .2\n0 .5 .5 .1 .1", dataset.Clip, 1, "", dataset.Counts{Found: 1, Clipped: 1, Dropped: 1}},

		{"4 columns", "0 .5 .5 .2", "", 0, `a.txt:1: "0 .5 .5 .2": 4 columns`, dataset.Counts{}},
		{"6 columns", "0 .5 .5 .2 .2 .9", "", 0, `6 columns`, dataset.Counts{}},
		{"half a point", "0 .1 .1 .5 .1 .5 .9 .1", "", 0, `8 columns`, dataset.Counts{}},

		{"UTF-16", "\xff\xfe0\x00 \x00", "", 0, `a.txt: text in UTF-16`, dataset.Counts{}},
		{"UTF-16 left out", "\xff\xfe0\x00 \x00", dataset.Drop, -1, `no readable picture`, dataset.Counts{Corrupt: 1}},
		{"zero byte", "0 .5 .5 .2 .2\x00", "", 0, `zero bytes`, dataset.Counts{}},
		{"cp950", "0 .5 .5 .2 .2\n\xa4\xa4 .5 .5 .2 .2", "", 0, `a.txt:2: class`, dataset.Counts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := Open(oneLabel(t, c.text), dataset.ReadOptions{BadLabels: c.policy})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n := len(set.Splits["train"][0].Labels); n != c.objects {
				t.Errorf("%d objects, want %d", n, c.objects)
			}
			c.counts.Pictures, c.counts.Objects = 1, c.objects
			if got := set.Report.Splits["train"]; got != c.counts {
				t.Errorf("counts %+v, want %+v", got, c.counts)
			}
		})
	}
}

func TestOutlineBox(t *testing.T) {
	set, err := Open(oneLabel(t, "1 .25 .25 .5 .25 .375 .75"), dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := set.Splits["train"][0].Labels[0]
	if l.X != .375 || l.Y != .5 || l.W != .25 || l.H != .5 || len(l.Polygon) != 3 {
		t.Errorf("got %+v", l)
	}
}

func TestConfigErrors(t *testing.T) {
	many := strings.Repeat("- ", 500) + "x"
	for _, c := range []struct{ name, text, want string }{
		{"no names", "train: images/train\n", `data.yaml: key "names" is missing`},
		{"no splits", "names: [a]\n", `none of the keys train, val and test`},
		{"missing folder", "train: images/nowhere\nnames: [a]\n", `key "train": "images/nowhere" is ROOT/images/nowhere: does not exist`},
		{"missing root", "path: elsewhere\ntrain: images/train\nnames: [a]\n", `key "path": ROOT/elsewhere does not exist`},
		{"nc", "train: images/train\nnc: 3\nnames: [a, b]\n", `data.yaml:2: key "nc": 3, but names lists 2`},
		{"gap", "train: images/train\nnames:\n  0: a\n  2: b\n", `line 4: number 2 leaves a gap`},
		{"double number", "train: images/train\nnames:\n  0: a\n  0: b\n", `0`},
		{"double key", "train: images/train\ntrain: images/val\nnames: [a]\n", `train`},
		{"double name", "train: images/train\nnames: [a, a]\n", `"a" is both class 0 and 1`},
		{"empty name", "train: images/train\nnames: [a, '']\n", `element 1 is empty`},
		{"named keys", "train: images/train\nnames: {cat: 0}\n", `"cat": must be a whole number`},
		{"tab", "train: images/train\nnames:\n\t0: a\n", `not valid YAML`},
		{"alias bomb", "a: &a [x, x]\nb: &b [*a, *a]\ntrain: *b\nnames: [a]\n", `key "train": element 0: must be text, not a list`},
		{"alias names", "a: &a [x, x]\ntrain: images/train\nnames: *a\n", `"x" is both class 0 and 1`},
		{"nested", "train: " + strings.Repeat("[", 5000) + "\nnames: [a]\n", `nested too deep`},
		{"nested lists", "train:\n  " + many + "\nnames: [a]\n", `nested too deep`},
		{"a list", "- a\n- b\n", `holds a list`},
		{"empty file", "", `the file is empty`},
		{"picture as list", "train: images/train/a.png\nnames: [a]\n", `must be a folder or a .txt list`},
		{"binary list", "train: images/train/a.txt\nnames: [a]\n", `not a list of pictures`},
		{"empty folder", "train: labels\nnames: [a]\n", `no pictures there`},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := files(t, map[string]any{
				"data.yaml": c.text, "images/train/a.png": picture, "labels/train/a.txt": "0 .5 .5 .2 .2",
				"images/train/a.txt": "\x89PNG\x00",
			})
			_, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{})
			want := strings.ReplaceAll(c.want, "ROOT", root)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %s", err, want)
			}
		})
	}
}

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

// TestKeypoints: behind a box they are passed over where the data.yaml tells of them, and
// never taken for an outline.
func TestKeypoints(t *testing.T) {
	const line = "0 .50 .50 .20 .20 .45 .45 1 .55 .45 1 .45 .55 1 .55 .55 0\n"
	tree := map[string]any{"images/train/a.png": picture, "labels/train/a.txt": line + "1 .5 .5 .4 .4\n"}
	for more, want := range map[string]string{
		"kpt_shape: [4, 3]": "", "kpt_shape: [4, 2]": "17 columns: must be 5 (class x y w h), or 13 with the keypoints", "": "needs kpt_shape: [4, 3]", "kpt_shape: 4": "must be the number of points",
	} {
		tree["data.yaml"] = "train: images/train\nnames: [cat, dog]\n" + more
		set, err := Open(filepath.Join(files(t, tree), "data.yaml"), dataset.ReadOptions{})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %s", more, err, want)
			}
			continue
		}
		if err != nil || len(set.Splits["train"][0].Labels) != 2 {
			t.Fatalf("%q: %v", more, err)
		}
		if l := set.Splits["train"][0].Labels[0]; l.Polygon != nil || !l.SameBox(dataset.Label{X: .5, Y: .5, W: .2, H: .2}.Snapped()) {
			t.Errorf("%q: %+v", more, l)
		}
	}
}

// TestKeypointsOrOutlines: without a visibility it takes many lines to tell them apart.
func TestKeypointsOrOutlines(t *testing.T) {
	for _, c := range []struct{ name, a, b, want string }{
		{"points in their boxes", "0 .5 .5 .2 .2 .45 .45 .55 .55\n1 .2 .3 .2 .4 .15 .2 0 0\n", "0 .7 .7 .4 .4 .6 .8 .8 .6\n", "labels/train/a.txt:1: 9 columns, as in all 3 such lines"},
		{"quads", "0 .5 .5 .6 .5 .6 .6 .5 .6\n0 .1 .5 .3 .5 .3 .6 .1 .6\n", "1 .8 .1 .9 .1 .9 .2 .8 .2\n", ""},
		{"outlines of several lengths", "0 .5 .5 .6 .5 .6 .6 .5 .6\n0 .5 .5 .6 .5 .6 .6\n", "", ""},
		{"one box beside them", "0 .5 .5 .2 .2\n0 .5 .5 .2 .2 .45 .45 .55 .55\n", "", "kpt_shape: [2, 2]"},
	} {
		root := files(t, map[string]any{"data.yaml": "train: images/train\nnames: [cat, dog]\n",
			"images/train/a.png": picture, "labels/train/a.txt": c.a, "images/train/b.png": picture, "labels/train/b.txt": c.b})
		set, err := Open(filepath.Join(root, "data.yaml"), dataset.ReadOptions{Workers: 1})
		if c.want == "" && (err != nil || set.Splits["train"][0].Labels[0].Polygon == nil) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

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

func TestDarknet(t *testing.T) {
	root := files(t, map[string]any{"obj.data": "classes = 2\r\ntrain = data/train.txt\r\nnames = data/obj.names\r\nbackup = backup/\r\n", "obj.names": "cat\ndog\n",
		"none.data": "train = data/train.txt\nnames = gone.names\n",
		"train.txt": "data/obj_train_data/a.png\n", "obj_train_data/a.png": picture, "obj_train_data/a.txt": "1 .5 .5 .2 .2"})
	set, err := Open(filepath.Join(root, "obj.data"), dataset.ReadOptions{})
	if err != nil || set.Report.Objects != 1 || fmt.Sprint(set.Names) != "[cat dog]" {
		t.Errorf("%v, %+v", err, set)
	}
	if _, err := Open(filepath.Join(root, "none.data"), dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "gone.names does not exist") {
		t.Errorf("%v", err)
	}
}
