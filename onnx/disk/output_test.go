package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/onnx/disk"
)

func TestCheckOutput(t *testing.T) {
	root := t.TempDir()
	in := func(path string) string { return filepath.Join(root, path) }
	for _, path := range []string{"ds/images/train/a.jpg", "ds/labels/train/a.txt", "pics/x.jpg", "voc/JPEGImages/b.jpg", "voc/Annotations/b.xml", "run/weights/best.pt", "images/alone.png"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(in(path)), 0o777), os.WriteFile(in(path), []byte(path), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(in("ds/labels"), in("link")), os.Symlink(in("pics/x.jpg"), in("soft.jpg")), os.Link(in("pics/x.jpg"), in("hard.jpg")),
		os.Symlink(in("ds/images/new"), in("dangling")), os.Symlink(in("loop"), in("loop"))); err != nil {
		t.Skip(err)
	}
	t.Chdir(in("pics"))
	given := disk.Inputs{Files: []string{"x.jpg", in("run/weights/best.pt")}, Folders: []string{in("ds/images/train")}}
	for path, want := range map[string]string{
		"x.jpg":                     "it is x.jpg, which is read",
		in("pics/../pics/./x.jpg"):  "it is x.jpg",
		in("soft.jpg"):              "it is x.jpg",
		in("hard.jpg"):              "it is x.jpg",
		".":                         "x.jpg, which is read, lies in it",
		in("pics"):                  "x.jpg, which is read, lies in it",
		in("run"):                   "best.pt, which is read, lies in it",
		in("ds/images/train/exp"):   "it lies in " + in("ds/images/train") + ", which is read",
		in("ds/images/new/exp"):     "pictures and labels of a data set",
		in("ds/labels"):             "pictures and labels of a data set",
		in("link/exp"):              "pictures and labels of a data set",
		in("dangling"):              "pictures and labels of a data set",
		in("voc/JPEGImages/exp"):    "pictures and labels of a data set",
		in("voc/Annotations/b.xml"): "pictures and labels of a data set",
		in("loop/x"):                "too many links",
		"new":                       "",
		in("y.jpg"):                 "",
		in("ds/runs/exp"):           "",
		in("images/exp"):            "", // no labels beside it
		in("run/weights/best.onnx"): "",
		in("nowhere/at/all"):        "",
	} {
		err := disk.CheckOutput(path, given)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
	// a file system that does not tell cases of names apart
	if disk.IsFile(in("pics/X.JPG")) {
		if err := disk.CheckOutput("X.JPG", given); err == nil {
			t.Error("another case of the name is not known")
		}
	}
}

func TestClaim(t *testing.T) {
	root := t.TempDir()
	foreign := filepath.Join(root, "foreign")
	if err := errors.Join(os.Mkdir(foreign, 0o777), os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	var refused *disk.OutputError
	if err := disk.Claim(foreign, disk.Inputs{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "letter.txt") {
		t.Errorf("somebody's folder: %v", err)
	}
	own := filepath.Join(root, "runs", "exp")
	if err := disk.Claim(own, disk.Inputs{}); err != nil || !disk.Claimed(own) || !disk.Untouched(own) {
		t.Errorf("a new folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(own, "results.csv"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := disk.Claim(own, disk.Inputs{}); err != nil || disk.Untouched(own) || !disk.Untouched(own, "results.csv") {
		t.Errorf("again: %v", err)
	}
	killed := filepath.Join(root, "killed") // while it was claimed
	half := filepath.Join(killed, "..yolofreeze1253940808404908465")
	if err := errors.Join(os.Mkdir(killed, 0o777), os.WriteFile(half, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Claim(killed, disk.Inputs{}); err != nil || !disk.Claimed(killed) || !disk.Untouched(killed) {
		t.Errorf("a folder whose mark was half written: %v", err)
	}
	if err := disk.Claim(filepath.Join(foreign, "letter.txt"), disk.Inputs{}); err == nil {
		t.Error("a file was taken for a folder")
	}
}
