package yolo

import (
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

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

// TestFirstOfLongLines: the error names the first line in order, whichever file was read first.
func TestFirstOfLongLines(t *testing.T) {
	outline := []dataset.Point{{X: .5, Y: .5}, {X: .2, Y: .2}, {X: .45, Y: .45}}
	var l longLines
	for _, place := range []dataset.Problem{{File: "b.txt", Line: 1}, {File: "a.txt", Line: 10}, {File: "a.txt", Line: 9}, {File: "c.txt", Line: 1}} {
		l.add(outline, place)
	}
	if err := l.check("data.yaml"); err == nil || !strings.HasPrefix(err.Error(), "a.txt:9: 7 columns, as in all 4 such lines") {
		t.Errorf("%v", err)
	}
}
