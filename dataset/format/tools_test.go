package format

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/onnx/disk"
)

// Every export below holds the same: of two classes, picture a (40 by 20 pixels) has a cat at
// 4 5 10 10 and a dog at 20 2 8 4; b, where there is one, is background.
const (
	yoloText = "0 .225 .5 .25 .5\n1 .6 .2 .2 .2\n"
	vocText  = `<?xml version="1.0" encoding="%s"?><annotation><folder>x</folder><filename>a.png</filename><path>C:\x\a.png</path>` +
		`<size><width>40</width><height>20</height><depth>3</depth></size>` +
		`<object><name>cat</name><bndbox><xmin>5.0</xmin><ymin>6.00</ymin><xmax>15.0</xmax><ymax>16.0</ymax></bndbox></object>` +
		`<object><name>dog</name><bndbox><xmin>21</xmin><ymin>3</ymin><xmax>29</xmax><ymax>7</ymax></bndbox></object></annotation>`
	cocoText = `{"licenses":[],"info":{},"categories":[{"id":1,"name":"cat","supercategory":""},{"id":2,"name":"dog","supercategory":""}],` +
		`"images":[{"id":1,"width":40,"height":20,"file_name":%q}],` +
		`"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[4.0,5.0,10.0,10.0],"iscrowd":0},{"id":2,"image_id":1,"category_id":2,"bbox":[20,2,8,4],"iscrowd":0}]}`
	superText = `{"description":"","tags":[],"size":{"height":20,"width":40},"objects":[` +
		`{"id":1,"classTitle":"cat","geometryType":"rectangle","points":{"exterior":[[14,15],[4,5]],"interior":[]}},` +
		`{"id":2,"classTitle":"dog","geometryType":"polygon","points":{"exterior":[[20,2],[28,2],[28,6],[20,6]],"interior":[]}},` +
		`{"id":3,"classTitle":"dog","geometryType":"point","points":{"exterior":[[3,3]],"interior":[]}}]}`
	superMeta = `{"classes":[{"title":"cat","shape":"any","color":"#0F0"},{"title":"dog","shape":"any","color":"#F00"}],"tags":[],"projectType":"images"}`
	datumText = `{"dm_format_version":"1.0","media_type":2,"infos":{},"categories":{"label":{"labels":[{"name":"cat","parent":"","attributes":[]},{"name":"dog","parent":"","attributes":[]}],"attributes":[]}},` +
		`"items":[{"id":"a","annotations":[{"id":0,"type":"bbox","attributes":{},"group":0,"label_id":0,"z_order":0,"bbox":[4.0,5.0,10.0,10.0]},` +
		`{"id":1,"type":"polygon","attributes":{},"group":7,"label_id":1,"z_order":0,"points":[20,2,24,2,24,6]},{"id":2,"type":"polygon","attributes":{},"group":7,"label_id":1,"z_order":0,"points":[28,2,28,6,24,6]},` +
		`{"id":3,"type":"label","label_id":0,"group":0,"attributes":{}}],"attr":{},"image":{"path":"a.png","size":[20,40]}},{"id":"b","annotations":[],"attr":{},"image":{"path":"b.png","size":[20,40]}}]}`
	mlText = `[{"image":"a.png","verified":true,"annotations":[{"label":"cat","coordinates":{"x":9,"y":10,"width":10,"height":10}},{"label":"dog","coordinates":{"x":24.0,"y":4.0,"width":8.0,"height":4.0}}]}]`
)

// studio is an export of Label Studio whose picture has this address.
func studio(address string) string {
	rect := func(kind, name string, x, y, w, h, turn float64) string {
		return fmt.Sprintf(`{"id":"q","type":%q,"from_name":"l","to_name":"i","image_rotation":0,"original_width":40,"original_height":20,"value":{"x":%v,"y":%v,"width":%v,"height":%v,"rotation":%v,%q:[%q]}}`,
			kind, x, y, w, h, turn, kind, name)
	}
	// The dog is 4 by 8 pixels, turned by a quarter about its corner at 28 2.
	return `[{"id":3,"annotations":[{"id":1,"was_cancelled":false,"created_at":"2024-01-01","result":[]},{"id":2,"was_cancelled":false,"created_at":"2024-02-01","result":[` +
		rect("rectanglelabels", "cat", 10, 25, 25, 50, 0) + "," + rect("labels", "dog", 70, 10, 10, 40, 90) +
		`,{"type":"choices","value":{"choices":["day"]}}]},{"id":9,"was_cancelled":true,"created_at":"2024-03-01","result":[]}],` +
		`"predictions":[],"data":{"image":` + fmt.Sprintf("%q", address) + `}}]`
}

// shortStudio is the same as JSON-MIN.
const shortStudio = `[{"image":"/data/upload/1/a.png","id":3,"box":[{"x":10,"y":25,"width":25,"height":50,"rotation":0,"rectanglelabels":["cat"],"original_width":40,"original_height":20},` +
	`{"x":50,"y":10,"width":20,"height":20,"rotation":0,"rectanglelabels":["dog"],"original_width":40,"original_height":20}],"annotator":1,"updated_at":"2024"}]`

// crlf is text as Windows writes it.
func crlf(text string) string { return "\xef\xbb\xbf" + strings.ReplaceAll(text, "\n", "\r\n") }

func utf16(text string) string {
	out := "\xff\xfe"
	for _, b := range []byte(text) {
		out += string([]byte{b, 0})
	}
	return out
}

type export struct {
	format string
	files  map[string]string
}

var exports = map[string]export{
	"CVAT YOLO 1.1": {"yolo", map[string]string{"obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n", "obj.names": "cat\ndog\n",
		"train.txt": "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n", "obj_train_data/a.png": "", "obj_train_data/a.txt": yoloText, "obj_train_data/b.png": "", "obj_train_data/b.txt": ""}},
	"CVAT YOLO 1.1, subset": {"yolo", map[string]string{"obj.data": crlf("classes = 2\nTrain = data/Train.txt\nnames = data/obj.names\n"), "obj.names": crlf("cat\ndog\n"),
		"Train.txt": crlf("data\\obj_Train_data\\frames\\a.png\n"), "obj_Train_data/frames/a.png": "", "obj_Train_data/frames/a.txt": yoloText}},
	"Datumaro YOLO": {"yolo", map[string]string{"obj.data": "train = data/train.txt\nval = data/val.txt\nnames = data/obj.names\n", "obj.names": "cat\ndog\n", "train.txt": "data/obj_train_data/a.png\n",
		"val.txt": "data/obj_val_data/b.png\n", "obj_train_data/a.png": "", "obj_train_data/a.txt": yoloText, "obj_val_data/b.png": ""}},
	"CVAT Ultralytics": {"yolo", map[string]string{"data.yaml": "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\n", "train.txt": "data/images/train/a.png\n", "images/train/a.png": "", "labels/train/a.txt": yoloText}},
	"CVAT VOC": {"voc", map[string]string{"labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:1,2,3::\ndog:3,2,1::\n", "ImageSets/Main/default.txt": "task/a\n",
		"Annotations/task/a.xml": fmt.Sprintf(vocText, "utf-8"), "JPEGImages/task/a.png": ""}},
	"CVAT COCO":             {"coco", map[string]string{"annotations/instances_default.json": fmt.Sprintf(cocoText, "a.png"), "images/default/a.png": ""}},
	"CVAT Datumaro":         {"datumaro", map[string]string{"annotations/default.json": datumText, "images/default/a.png": "", "images/default/b.png": ""}},
	"Datumaro":              {"datumaro", map[string]string{"annotations/train.json": crlf(datumText), "images/train/a.png": "", "images/train/b.png": ""}},
	"Label Studio YOLO":     {"yolo", map[string]string{"classes.txt": "cat\ndog\n", "notes.json": `{"categories":[{"id":0,"name":"cat"}],"info":{}}`, "images/0f1e2d3c-a.png": "", "labels/0f1e2d3c-a.txt": yoloText}},
	"Label Studio COCO":     {"coco", map[string]string{"result.json": fmt.Sprintf(cocoText, `images\a.png`), "images/a.png": ""}},
	"Label Studio COCO 2":   {"coco", map[string]string{"result.json": fmt.Sprintf(cocoText, `/label-studio/data/media/upload/1/a.png`), "images/a.png": ""}},
	"Label Studio VOC":      {"voc", map[string]string{"Annotations/a.xml": fmt.Sprintf(vocText, "utf-8"), "images/a.png": ""}},
	"Label Studio JSON":     {"labelstudio", map[string]string{"project-1.json": studio("/data/upload/1/0f1e2d3c-a.png"), "images/a.png": ""}},
	"Label Studio local":    {"labelstudio", map[string]string{"tasks.json": crlf(studio("/data/local-files/?d=set%2Fa.png")), "set/a.png": ""}},
	"Label Studio web":      {"labelstudio", map[string]string{"tasks.json": studio("https://host/bucket/a.png?sig=1"), "a.png": ""}},
	"Label Studio JSON-MIN": {"labelstudio", map[string]string{"min.json": shortStudio, "images/a.png": ""}},
	"Roboflow YOLOv5":       {"yolo", map[string]string{"data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\nroboflow:\n  workspace: w\n", "README.roboflow.txt": "x", "train/images/a.png": "", "train/labels/a.txt": yoloText, "valid/images/b.png": "", "valid/labels/b.txt": ""}},
	"Roboflow VOC":          {"voc", map[string]string{"README.dataset.txt": "x", "train/a.png": "", "train/a.xml": fmt.Sprintf(vocText, "utf-8"), "valid/b.png": "", "valid/b.xml": "<annotation/>"}},
	"Roboflow VOC, undealt": {"voc", map[string]string{"README.dataset.txt": "x", "export/a.png": "", "export/a.xml": fmt.Sprintf(vocText, "utf-8")}},
	"Roboflow COCO":         {"coco", map[string]string{"train/_annotations.coco.json": fmt.Sprintf(cocoText, "a.png"), "train/a.png": ""}},
	"Roboflow darknet":      {"yolo", map[string]string{"train/_darknet.labels": "cat\ndog\n", "train/a.png": "", "train/a.txt": yoloText, "valid/_darknet.labels": "cat\ndog\n", "valid/b.png": "", "valid/b.txt": ""}},
	"Roboflow Create ML":    {"createml", map[string]string{"train/_annotations.createml.json": mlText, "train/a.png": ""}},
	"labelImg VOC":          {"voc", map[string]string{"a.png": "", "a.xml": fmt.Sprintf(vocText, "windows-1252")}},
	"labelImg VOC, apart":   {"voc", map[string]string{"images/a.png": "", "annotations/a.XML": crlf(fmt.Sprintf(vocText, "utf-8"))}},
	"labelImg YOLO":         {"yolo", map[string]string{"a.png": "", "a.txt": crlf(yoloText), "classes.txt": crlf("cat\ndog\n"), "b.PNG.png": ""}},
	"labelImg YOLO, UTF-16": {"yolo", map[string]string{"images/a.png": "", "labels/a.TXT": utf16(yoloText), "labels/classes.txt": utf16("cat\r\ndog\r\n")}},
	"labelImg YOLO, images": {"yolo", map[string]string{"images/a.png": "", "images/a.txt": yoloText, "images/classes.txt": "cat\ndog\n"}},
	"labelImg Create ML":    {"createml", map[string]string{"a.json": mlText, "a.png": ""}},
	"Supervisely":           {"supervisely", map[string]string{"meta.json": superMeta, "train/ann/a.png.json": superText, "train/img/a.png": "", "val/ann/b.png.json": `{"size":{"height":20,"width":40},"objects":[]}`, "val/img/b.png": ""}},
	"Supervisely, tags":     {"supervisely", map[string]string{"meta.json": superMeta, "ds0/ann/a.png.json": strings.Replace(superText, `"tags":[]`, `"tags":[{"name":"train"}]`, 1), "ds0/img/a.png": "", "ds0/img/b.png": ""}},
	"supervision YOLO":      {"yolo", map[string]string{"data.yaml": "nc: 2\nnames: [cat, dog]\n", "train/images/a.png": "", "train/labels/a.txt": yoloText, "val/images/b.png": ""}},
	"supervision VOC":       {"voc", map[string]string{"train/images/a.png": "", "train/annotations/a.xml": fmt.Sprintf(vocText, "utf-8"), "val/images/b.png": "", "val/annotations/b.xml": "<annotation/>"}},
	"from another machine":  {"yolo", map[string]string{"data.yaml": "train: C:\\data\\set\\train\\images\nval: /content/set/valid/images\nnames: [cat, dog]\n", "train/images/a.png": "", "train/labels/a.txt": yoloText, "valid/images/b.png": ""}},
}

// pack zips a folder; names are changed by rename.
func pack(t testing.TB, root, file string, rename func(string) string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	err = fs.WalkDir(os.DirFS(root), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		w, err := z.Create(rename(name))
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	})
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestExports reads what label tools export, as a folder, with a folder around it, and zipped.
func TestExports(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, name := range slices.Sorted(maps.Keys(exports)) {
		e := exports[name]
		root := tree(t, e.files)
		around := filepath.Join(t.TempDir(), "around")
		zipped, backslashes := filepath.Join(t.TempDir(), "set.ZIP"), filepath.Join(t.TempDir(), "set.zip")
		pack(t, root, zipped, func(name string) string { return name })
		pack(t, root, backslashes, func(name string) string { return `my set\` + strings.ReplaceAll(name, "/", `\`) })
		if err := errors.Join(os.Mkdir(around, 0o777), os.Symlink(root, filepath.Join(around, "inner"))); err != nil {
			t.Skip(err)
		}
		for _, data := range []string{root, around, zipped, backslashes} {
			f, err := Find(data)
			if err != nil || f.Format != e.format || f.Why == "" {
				t.Errorf("%s: %s taken for %+v, %v, want %s", name, data, f, err, e.format)
				continue
			}
			set, err := f.Open(dataset.ReadOptions{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			checkExport(t, name, set)
		}
	}
}

func checkExport(t *testing.T, name string, set *dataset.Set) {
	t.Helper()
	want := map[string][4]float64{"cat": {4, 5, 10, 10}, "dog": {20, 2, 8, 4}}
	if fmt.Sprint(set.Names) != "[cat dog]" || len(set.Splits["train"]) == 0 || set.Report.Objects != 2 || set.Report.Corrupt > 0 {
		t.Errorf("%s: %q, %+v", name, set.Names, set.Report)
		return
	}
	for _, l := range set.Splits["train"][0].Labels {
		var far float64
		left, top, w, h := l.Pixels(40, 20)
		for i, v := range [4]float64{left, top, w, h} {
			far = max(far, math.Abs(v-want[set.Names[l.Class]][i]))
		}
		if far > 1e-6 {
			t.Errorf("%s: a %s at %v %v %v %v", name, set.Names[l.Class], left, top, w, h)
		}
	}
}

// TestSpoiledExports: what is wrong is told in one line by file and place, and nothing is left in the cache.
func TestSpoiledExports(t *testing.T) {
	for _, c := range []struct{ of, file, old, new, want string }{
		{"Datumaro", "annotations/train.json", `"label_id":0,"z_order"`, `"label_id":5,"z_order"`, `train.json: items[0].annotations[0]: label_id "5": must be from 0 to 1`},
		{"Datumaro", "annotations/train.json", `"bbox":[4.0,5.0,10.0,10.0]`, `"bbox":[4.0,5.0]`, `train.json: items[0].annotations[0]: bbox: 2 numbers`},
		{"Datumaro", "annotations/train.json", `"bbox":[4.0`, `"bbox":["x"`, `items[0].annotations[0]: box`},
		{"Datumaro", "annotations/train.json", `10.0]}`, `10.0`, `train.json: items: byte`},
		{"Datumaro", "annotations/train.json", `"path":"a.png"`, `"path":"../../.."`, `items[0]: image.path "../../..": must be a name within`},
		{"Label Studio JSON", "project-1.json", `"width":25`, `"width":0`, `project-1.json: task 3: result[0]: width 0, height 50: must be over 0`},
		{"Label Studio JSON", "project-1.json", `"x":10`, `"x":90`, `task 3: result[0]: box "36 5 10 10": must lie in the picture of 40x20`},
		{"Label Studio JSON", "project-1.json", `"result":[{`, `"result":["x",{`, `project-1.json: task 3: annotations: `},
		{"Supervisely", "train/ann/a.png.json", `[[14,15],[4,5]]`, `[[14,15]]`, `a.png.json: objects[0]: a rectangle of 1 points`},
		{"Supervisely", "train/ann/a.png.json", `[[14,15],[4,5]]`, `[[14,15],[4,"x"]]`, `a.png.json: objects[0]: box`},
		{"Supervisely", "meta.json", `"title":"dog"`, `"title":"cat"`, `meta.json: "cat" is both class 0 and 1`},
		{"labelImg Create ML", "a.json", `"width":10`, `"width":-1`, `a.json: [0].annotations[0]: coordinates: width -1`},
		{"CVAT YOLO 1.1", "obj_train_data/a.txt", `0 .225`, `7 .225`, `a.txt:1: class "7": must be a whole number from 0 to 1`},
		{"labelImg VOC", "a.xml", `<xmin>5.0</xmin>`, `<xmin>5,0</xmin>`, `a.xml: object 1: xmin "5,0": must be a decimal number`},
	} {
		cache := t.TempDir()
		t.Setenv("XDG_CACHE_HOME", cache)
		files := maps.Clone(exports[c.of].files)
		if !strings.Contains(files[c.file], c.old) {
			t.Fatalf("%s: no %s in %s", c.of, c.old, c.file)
		}
		files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
		root := tree(t, files)
		file := filepath.Join(t.TempDir(), "set.zip")
		pack(t, root, file, func(name string) string { return name })
		for _, data := range []string{root, file} {
			_, err := Open(data, dataset.ReadOptions{BadImages: dataset.Reject})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), data) {
				t.Errorf("%s: error %v, want one line with %s", c.of, err, c.want)
			}
		}
	}
}

// TestBadZips: what would lead elsewhere or fill the disk is refused before it is unpacked.
func TestBadZips(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	zeros := make([]byte, 1<<20)
	packed := func(fill func(z *zip.Writer)) string {
		file := filepath.Join(t.TempDir(), "set.zip")
		out, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		z := zip.NewWriter(out)
		fill(z)
		if err := errors.Join(z.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
		return file
	}
	with := func(name string) func(z *zip.Writer) {
		return func(z *zip.Writer) {
			z.Create("data.yaml")
			z.Create(name)
		}
	}
	cut := packed(with("a.png"))
	whole, _ := os.ReadFile(cut)
	if err := os.WriteFile(cut, whole[:len(whole)-30], 0o666); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		packed(with("../a.png")):        `zip record ../a.png: unsafe name`,
		packed(with(`..\..\a.png`)):     `zip record ../../a.png: unsafe name`,
		packed(with("/etc/a.png")):      `zip record /etc/a.png: unsafe name`,
		packed(with("data.yaml")):       `zip record data.yaml: twice in the archive`,
		packed(with("a\x00.png")):       `unsafe name`,
		packed(with("data.yaml/a.png")): `data.yaml`,
		packed(func(z *zip.Writer) {
			h := &zip.FileHeader{Name: "images"}
			h.SetMode(fs.ModeSymlink | 0o777)
			w, _ := z.CreateHeader(h)
			w.Write([]byte("/etc"))
		}): `zip record images: not a regular file, and links are not followed`,
		packed(func(z *zip.Writer) {
			w, _ := z.Create("a.png")
			for range 80 {
				w.Write(zeros)
			}
		}): `the archive grows beyond`,
		cut:                            `not a zip file, damaged or incomplete`,
		packed(func(z *zip.Writer) {}): `the folder has no data.yaml`,
		packed(with("readme.txt")):     `data.yaml: the file is empty`,
		packed(func(z *zip.Writer) { z.Create("x/y.txt") }): `the folder has no data.yaml`,
	} {
		_, err := Open(file, dataset.ReadOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), file) {
			t.Errorf("error %v, want one line with %s", err, want)
		}
	}
	if left := disk.Glob(filepath.Join(cache, "yolofreeze", "datasets"), ".*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestUnpackedOnce: a zip is unpacked once as long as it stays the same, and anew when it has changed.
func TestUnpackedOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	root := tree(t, exports["Roboflow COCO"].files)
	file := filepath.Join(t.TempDir(), "set.zip")
	same := func(name string) string { return name }
	pack(t, root, file, same)
	first := open(t, file, dataset.ReadOptions{}).Splits["train"][0].Path
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, file, dataset.ReadOptions{}).Splits["train"][0].Path
	if after, err := os.Stat(again); err != nil || again != first || !os.SameFile(before, after) {
		t.Errorf("unpacked again: %v, %v", again, err)
	}
	var doc map[string]any
	note := filepath.Join(root, "train", "_annotations.coco.json")
	text, _ := os.ReadFile(note)
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	doc["annotations"] = doc["annotations"].([]any)[:1]
	text, _ = json.Marshal(doc)
	if err := os.WriteFile(note, text, 0o666); err != nil {
		t.Fatal(err)
	}
	pack(t, root, file, same)
	if set := open(t, file, dataset.ReadOptions{}); set.Report.Objects != 1 || set.Path != file {
		t.Errorf("changed: %+v", set.Report)
	}
}
