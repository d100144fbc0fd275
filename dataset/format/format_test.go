package format

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/synth"
	"yolofreeze/onnx/testkit/shared"
)

func open(t testing.TB, data string, o dataset.ReadOptions) *dataset.Set {
	t.Helper()
	set, err := Open(data, o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// same compares what training sees: order, names, sizes and boxes, bit by bit.
func same(t *testing.T, got, want *dataset.Set) {
	t.Helper()
	if !reflect.DeepEqual(got.Names, want.Names) {
		t.Fatalf("names %q, want %q", got.Names, want.Names)
	}
	for split, samples := range want.Splits {
		if len(got.Splits[split]) != len(samples) {
			t.Fatalf("%s: %d samples, want %d", split, len(got.Splits[split]), len(samples))
		}
		for i, w := range samples {
			g := got.Splits[split][i]
			if filepath.Base(g.Path) != filepath.Base(w.Path) || g.Width != w.Width || g.Height != w.Height || len(g.Labels) != len(w.Labels) {
				t.Fatalf("%s[%d]: %s %dx%d with %d objects, want %s %dx%d with %d", split, i,
					g.Path, g.Width, g.Height, len(g.Labels), w.Path, w.Width, w.Height, len(w.Labels))
			}
			for k, l := range w.Labels {
				if !g.Labels[k].SameBox(l) {
					t.Errorf("%s[%d] object %d: %+v, want %+v", split, i, k, g.Labels[k], l)
				}
			}
		}
	}
}

// TestRoundTrips reads real data sets, writes each in every format, and back.
func TestRoundTrips(t *testing.T) {
	for name, data := range map[string]string{
		"yolo": shared.Path(t, "data", "coco256", "data.yaml"),
		"coco": shared.Path(t, "data", "coco256", "annotations", "instances_train2017.json") + "," + shared.Path(t, "data", "coco256", "annotations", "instances_val2017.json"),
		"voc":  shared.Path(t, "data", "voc20-devkit"),
		"voc2": shared.Path(t, "data", "voc2012"),
	} {
		t.Run(name, func(t *testing.T) {
			want := open(t, data, dataset.ReadOptions{KeepDifficult: true})
			for _, f := range Formats {
				dir := filepath.Join(t.TempDir(), f)
				if err := Write(f, dir, want, dataset.WriteOptions{Link: true}); err != nil {
					t.Fatal(err)
				}
				if found, err := Find(dir); err != nil || found.Format != f {
					t.Errorf("%s taken for %+v, %v", f, found, err)
				}
				got := open(t, dir, dataset.ReadOptions{KeepDifficult: true})
				same(t, got, want)
				if name != "voc2" {
					continue // one small set is enough for the second step
				}
				for _, second := range Formats {
					dir2 := filepath.Join(t.TempDir(), second)
					if err := Write(second, dir2, got, dataset.WriteOptions{Link: true}); err != nil {
						t.Fatal(err)
					}
					same(t, open(t, dir2, dataset.ReadOptions{KeepDifficult: true}), want)
				}
			}
		})
	}
}

// TestWholePixels: what VOC counts in whole pixels comes back so.
func TestWholePixels(t *testing.T) {
	set := open(t, shared.Path(t, "data", "voc2012"), dataset.ReadOptions{})
	yolo := filepath.Join(t.TempDir(), "yolo")
	if err := Write("yolo", yolo, set, dataset.WriteOptions{Link: true}); err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(t.TempDir(), "voc")
	if err := Write("voc", back, open(t, yolo, dataset.ReadOptions{}), dataset.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{yolo, back} {
		files, _ := filepath.Glob(filepath.Join(dir, "*", "2007_000032.xml"))
		for _, f := range files {
			text, _ := os.ReadFile(f)
			for _, want := range []string{"<xmin>104</xmin>", "<ymin>78</ymin>", "<xmax>375</xmax>", "<ymax>183</ymax>"} {
				if !strings.Contains(string(text), want) {
					t.Errorf("%s: no %s in\n%s", f, want, text)
				}
			}
		}
	}
}

// TestDevkitEqualsCOCO holds the devkit's boxes, which are rounded to pixels,
// against those of the YOLO labels they were made of.
func TestDevkitEqualsCOCO(t *testing.T) {
	yolo := open(t, shared.Path(t, "data", "coco256"), dataset.ReadOptions{})
	voc := open(t, shared.Path(t, "data", "voc20-devkit"), dataset.ReadOptions{KeepDifficult: true})
	names := map[string]string{"airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "potted plant": "pottedplant", "dining table": "diningtable", "tv": "tvmonitor"}
	class := map[string]int{}
	for i, n := range voc.Names {
		class[n] = i
	}
	objects := 0
	for split, samples := range yolo.Splits {
		for i, s := range samples {
			var want []dataset.Label
			for _, l := range s.Labels {
				name := yolo.Names[l.Class]
				if v, ok := names[name]; ok {
					name = v
				}
				if c, ok := class[name]; ok {
					l.Class = c
					want = append(want, l)
				}
			}
			v := voc.Splits[split][i]
			if filepath.Base(v.Path) != filepath.Base(s.Path) || len(v.Labels) != len(want) {
				t.Fatalf("%s: %d objects, want %d as in %s", v.Path, len(v.Labels), len(want), s.Path)
			}
			for k, l := range v.Labels {
				objects++
				gl, gt, gw, gh := l.Pixels(s.Width, s.Height)
				wl, wt, ww, wh := want[k].Pixels(s.Width, s.Height)
				far := max(math.Abs(gl-wl), math.Abs(gt-wt), math.Abs(gl+gw-wl-ww), math.Abs(gt+gh-wt-wh))
				if l.Class != want[k].Class || far > 1.01 {
					t.Errorf("%s object %d: class %d, want %d; edges %.2f pixels off", v.Path, k, l.Class, want[k].Class, far)
				}
			}
		}
	}
	t.Logf("%d objects", objects)
}

// tree writes files; names ending in .png become pictures of 40 by 20.
func tree(t testing.TB, content map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range content {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".png") {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 40, 20))); err != nil {
				t.Fatal(err)
			}
			f.Close()
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const oneJSON = `{"images":[{"id":7,"file_name":"a.png","width":40,"height":20}],` +
	`"annotations":[{"id":1,"image_id":7,"category_id":3,"bbox":[4,5,10,10]}],"categories":[{"id":3,"name":"cat"}]}`

// TestFind opens every layout that a data value may name.
func TestFind(t *testing.T) {
	const xml = `<annotation><object><name>cat</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>16</ymax></bndbox></object></annotation>`
	for name, c := range map[string]struct {
		files        map[string]string
		data, format string
		classes      []string
	}{
		"yaml":       {map[string]string{"d.yaml": "train: images/train\nnames: [cat]\n", "images/train/a.png": "", "labels/train/a.txt": "0 .225 .5 .25 .5"}, "d.yaml", "yolo", nil},
		"folder":     {map[string]string{"data.yaml": "train: images/train\nnames: [cat]\n", "images/train/a.png": "", "labels/train/a.txt": "0 .225 .5 .25 .5"}, ".", "yolo", nil},
		"no yaml":    {map[string]string{"images/train/a.png": "", "labels/train/a.txt": "0 .225 .5 .25 .5"}, ".", "yolo", []string{"cat"}},
		"one year":   {map[string]string{"Annotations/a.xml": xml, "JPEGImages/a.png": "", "ImageSets/Main/train.txt": "a\n"}, ".", "voc", nil},
		"years":      {map[string]string{"VOC2007/Annotations/a.xml": xml, "VOC2007/JPEGImages/a.png": "", "VOC2007/ImageSets/Main/trainval.txt": "a  1\n"}, ".", "voc", nil},
		"no sets":    {map[string]string{"VOCdevkit/VOC2012/Annotations/a.xml": xml, "VOCdevkit/VOC2012/JPEGImages/a.png": ""}, ".", "voc", nil},
		"roboflow":   {map[string]string{"train/_annotations.coco.json": oneJSON, "train/a.png": ""}, ".", "coco", nil},
		"json":       {map[string]string{"x.json": oneJSON, "images/a.png": ""}, "x.json", "coco", nil},
		"named json": {map[string]string{"x.json": oneJSON, "y.json": oneJSON, "a.png": ""}, "train=x.json,val=y.json", "coco", nil},
		"latest":     {map[string]string{"latest.json": oneJSON, "val.json": oneJSON, "a.png": ""}, "latest.json,val.json", "coco", nil},
		"val first":  {map[string]string{"boxes.json": oneJSON, "val.json": oneJSON, "a.png": ""}, "val.json,boxes.json", "coco", nil},
		"default":    {map[string]string{"annotations/instances_default.json": oneJSON, "images/default/a.png": ""}, ".", "coco", nil},
		"tool":       {map[string]string{"classes.txt": "cat\n", "images/a.png": "", "labels/a.txt": "0 .225 .5 .25 .5", "notes.json": `{"categories":[]}`}, ".", "yolo", nil},
		"coco":       {map[string]string{"annotations/instances_train2017.json": oneJSON, "annotations/captions_train2017.json": "[]", "train2017/a.png": ""}, ".", "coco", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(tree(t, c.files))
			if got, err := Find(c.data); err != nil || got.Format != c.format {
				t.Fatalf("found %+v, %v, want %q", got, err, c.format)
			}
			set := open(t, c.data, dataset.ReadOptions{Classes: c.classes})
			want := dataset.FromPixels(0, 4, 5, 10, 10, 40, 20).Snapped()
			if len(set.Splits["train"]) != 1 {
				t.Fatalf("got %+v", set.Splits)
			}
			got := set.Splits["train"][0].Labels[0]
			want.Class = got.Class
			if set.Names[got.Class] != "cat" || !got.SameBox(want) {
				t.Errorf("got %+v, want the box %+v of a cat", got, want)
			}
		})
	}
	for data, want := range map[string]string{
		"/nowhere/data.yaml": `no such file`, "x.json,y.json": `no such file`, t.TempDir(): `the folder has no data.yaml`,
		os.Args[0]: `must be a data.yaml, an obj.data`,
	} {
		if _, err := Open(data, dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want %s", data, err, want)
		}
	}
}

// TestWriteRefuses: nothing is written over what is there, and a failure leaves
// nothing.
func TestWriteRefuses(t *testing.T) {
	t.Chdir(tree(t, map[string]string{"x.json": oneJSON, "a.png": "", "full/file": "x"}))
	set := open(t, "x.json", dataset.ReadOptions{})
	for _, f := range Formats {
		if err := Write(f, "full", set, dataset.WriteOptions{}); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%s into a full folder: %v", f, err)
		}
	}
	gone := *set
	gone.Splits = map[string][]dataset.Sample{"train": {{Path: "gone.png", Width: 40, Height: 20}}}
	for _, f := range Formats {
		if err := Write(f, "out", &gone, dataset.WriteOptions{}); err == nil {
			t.Errorf("%s wrote a picture that is not there", f)
		}
	}
	left, _ := os.ReadDir(".")
	if len(left) != 3 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWriteStops: a writer that is stopped leaves nothing, and says why it stopped.
func TestWriteStops(t *testing.T) {
	t.Chdir(tree(t, map[string]string{"x.json": oneJSON, "a.png": ""}))
	set := open(t, "x.json", dataset.ReadOptions{})
	enough := errors.New("enough")
	for _, f := range Formats {
		if err := Write(f, "out", set, dataset.WriteOptions{Stop: func() error { return enough }}); !errors.Is(err, enough) {
			t.Errorf("%s: %v", f, err)
		}
		if err := Write(f, f+"/", set, dataset.WriteOptions{Stop: func() error { return nil }}); err != nil {
			t.Errorf("%s to a name with a slash behind it: %v", f, err)
		}
	}
	left, _ := os.ReadDir(".")
	if len(left) != 2+len(Formats) {
		t.Errorf("left behind: %v", left)
	}
}

// TestWrittenConfig: YOLOv5 finds the pictures of a data.yaml by its own path, which is whole;
// moved, the folder still opens here, from beside the file.
func TestWrittenConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := synth.Write("made", synth.Options{Counts: map[string]int{"train": 2, "val": 1}, Size: 32}); err != nil {
		t.Fatal(err)
	}
	if err := Write("yolo", "out put", open(t, "made/data.yaml", dataset.ReadOptions{}), dataset.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("out put/data.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("out put")
	if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("path: %q ", root)) {
		t.Errorf("data.yaml is\n%s", text)
	}
	if err := os.Rename("out put", "moved"); err != nil {
		t.Fatal(err)
	}
	set := open(t, "moved/data.yaml", dataset.ReadOptions{})
	if len(set.Splits["train"]) != 2 || len(set.Splits["val"]) != 1 {
		t.Errorf("splits %v", set.Splits)
	}
	if err := os.RemoveAll("moved/images/val"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("moved/data.yaml", dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), root+" does not exist") {
		t.Errorf("without a split: %v", err)
	}
}
