package coco

import (
	"fmt"
	stdimage "image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/lenient"
	"yolofreeze/onnx/testkit/hostile"
)

// folder writes train.json and pictures of 40 by 20 pixels.
func folder(t testing.TB, json string, pictures ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "train.json")
	if err := os.WriteFile(file, []byte(json), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range pictures {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, stdimage.NewGray(stdimage.Rect(0, 0, 40, 20))); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return map[string]string{"train": file}
}

func document1(images, annotations, categories string) string {
	return fmt.Sprintf(`{"info":{"a":[[{}]]},"annotations":[%s],"images":[%s],"categories":[%s]}`, annotations, images, categories)
}

const (
	imageA = `{"id":7,"file_name":"a.png","width":40,"height":20}`
	cats   = `{"id":90,"name":"dog"},{"id":3,"name":"cat"}`
	noteA  = `{"id":1,"image_id":7,"category_id":90,"bbox":[4,5,10,10]}`
)

func ann(id int, rest string) string {
	return fmt.Sprintf(`,{"id":%d,"image_id":7,"category_id":3,%s}`, id, rest)
}

func TestDocuments(t *testing.T) {
	for _, c := range []struct {
		name, json string
		policy     dataset.Policy
		objects    int
		want       string
		problem    string
		counts     dataset.Counts
	}{
		{name: "plain", json: document1(imageA, noteA, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "crowd and mask", json: document1(imageA, noteA+ann(2, `"bbox":[1,1,5,5],"iscrowd":1,"segmentation":{"counts":[1,2],"size":[20,40]}`), cats), objects: 1, counts: dataset.Counts{Found: 1, Ignored: 1}},
		{name: "mask of one", json: document1(imageA, noteA+ann(2, `"bbox":[1,1,5,5],"iscrowd":0,"segmentation":{"counts":"abc","size":[20,40]}`), cats), objects: 2, counts: dataset.Counts{Found: 1}},
		{name: "repeated", json: document1(imageA, noteA+`,{"id":2,"image_id":7,"category_id":90,"bbox":[4,5,10,10]}`, cats), objects: 1, counts: dataset.Counts{Found: 1, Duplicates: 1}},
		{name: "a shade outside", json: document1(imageA, noteA+ann(2, `"bbox":[-0.4,0,40.9,20.3]`), cats), objects: 1, policy: dataset.Drop, problem: `w "1.0225"`, counts: dataset.Counts{Found: 1, Dropped: 1}},
		{name: "another size", json: document1(`{"id":7,"file_name":"a.png","width":41,"height":20}`, noteA, cats), objects: 1, problem: `train.json: image 7: size "41x20": the picture is 40x20`, counts: dataset.Counts{Found: 1}},

		{name: "annotation id twice", json: document1(imageA, noteA+`,{"id":1,"image_id":7,"category_id":90,"bbox":[1,1,2,2]}`, cats), objects: 2, counts: dataset.Counts{Found: 1}},
		{name: "place of an id twice", json: document1(imageA, noteA+`,{"id":1,"image_id":7,"category_id":90,"bbox":[1,1,2]}`, cats), want: `train.json: annotations[1]: bbox 3 numbers`},
		{name: "no annotation ids", json: document1(imageA, `{"image_id":7,"category_id":90,"bbox":[1,1,2,2]},{"image_id":7,"category_id":3,"bbox":[1,1,2,2]}`, cats), objects: 2, counts: dataset.Counts{Found: 1}},
		{name: "ids as texts", json: document1(`{"id":"img-7","file_name":"a.png","width":"40","height":20}`, `{"id":"x","image_id":"img-7","category_id":"90","bbox":["4",5,10,10]}`, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "ids as floats and texts", json: document1(`{"id":7.0,"file_name":"a.png","width":40.0,"height":2e1}`, `{"id":1.0,"image_id":"7","category_id":9e1,"bbox":[4,5,10,10],"iscrowd":0.0}`, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "ids beyond floats", json: document1(imageA+`,{"id":9007199254740993,"file_name":"b.png","width":40,"height":20},{"id":9007199254740992,"file_name":"c.png","width":40,"height":20}`, noteA, cats), objects: 1, problem: "c.png", counts: dataset.Counts{Found: 1, Empty: 1, Corrupt: 1}},
		{name: "id of a kind", json: document1(`{"id":[7],"file_name":"a.png"}`, noteA, cats), want: `images[0]: byte`},
		{name: "half an id", json: document1(`{"id":7.5,"file_name":"a.png"}`, noteA, cats), want: `id 7.5: must be a whole number or a text`},
		{name: "not a number unused", json: document1(imageA, `{"id":1,"image_id":7,"category_id":90,"bbox":[4,5,10,10],"area":NaN,"x":{"y":-Infinity,"z":"NaN"}}`, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "not a number used", json: document1(imageA, noteA+ann(2, `"bbox":[1,NaN,5,5]`), cats), want: `annotation 2: bbox "1 NaN 5 5": must be four numbers`},
		{name: "outline of none", json: document1(imageA, noteA+ann(2, `"bbox":[1,1,5,5],"segmentation":[[NaN,1,2,2,3,3]]`), cats), objects: 2, problem: "segmentation must be lists of numbers (the box is used alone)", counts: dataset.Counts{Found: 1}},
		{name: "mark", json: "\xef\xbb\xbf" + document1(imageA, noteA, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "image twice under two ids", json: document1(imageA+`,{"id":8,"file_name":"a.png","width":40,"height":20}`, noteA+`,{"id":2,"image_id":8,"category_id":90,"bbox":[1,1,2,2]}`, cats), objects: 2, counts: dataset.Counts{Found: 1}},
		{name: "strays", json: document1(imageA+`,{"id":8,"file_name":"._a.png","width":40,"height":20}`, noteA, cats), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "name not in UTF-8", json: document1(imageA+",{\"id\":8,\"file_name\":\"\xe9.png\"}", noteA, cats), want: `images[1]: byte`},
		{name: "category id twice", json: document1(imageA, noteA, cats+`,{"id":3,"name":"x"}`), want: `category 3: the id belongs to "cat" already, and to "x"`},
		{name: "image id twice", json: document1(imageA+`,{"id":7,"file_name":"b.png","width":40,"height":20}`, noteA, cats), want: `image 7: the id belongs to "a.png" already, and to "b.png"`},
		{name: "unknown image", json: document1(imageA, noteA+`,{"id":2,"image_id":8,"category_id":90,"bbox":[1,1,2,2]}`, cats), want: `annotation 2: image_id "8": no image has this id`},
		{name: "unknown image dropped", json: document1(imageA, noteA+`,{"id":2,"image_id":8,"category_id":90,"bbox":[1,1,2,2]}`, cats), policy: dataset.Drop, objects: 1, problem: "dropped", counts: dataset.Counts{Found: 1, Dropped: 1}},
		{name: "unknown category", json: document1(imageA, noteA+`,{"id":2,"image_id":7,"category_id":5,"bbox":[1,1,2,2]}`, cats), want: `annotation 2: category_id "5": no category has this id`},
		{name: "negative width", json: document1(imageA, noteA+ann(2, `"bbox":[10,5,-5,5]`), cats), want: `annotation 2: bbox "10 5 -5 5": width and height must be over 0`},
		{name: "negative corner", json: document1(imageA, noteA+ann(2, `"bbox":[-10,5,25,5]`), cats), want: `annotation 2: bbox "-10 5 25 5": must lie in the picture of 40x20`},
		{name: "negative corner clipped", json: document1(imageA, noteA+ann(2, `"bbox":[-10,5,25,5]`), cats), policy: dataset.Clip, objects: 2, problem: "clipped", counts: dataset.Counts{Found: 1, Clipped: 1}},
		{name: "three numbers", json: document1(imageA, noteA+ann(2, `"bbox":[1,2,3]`), cats), want: `annotation 2: bbox 3 numbers: must be x, y, width and height`},
		{name: "no box", json: document1(imageA, noteA+ann(2, `"iscrowd":0`), cats), want: `annotation 2: bbox 0 numbers`},
		{name: "way out", json: document1(imageA+`,{"id":8,"file_name":"../../etc/passwd","width":40,"height":20}`, noteA, cats), objects: 1, problem: `image 8: file_name "../../etc/passwd": must be a name within the folder`, counts: dataset.Counts{Found: 1, Corrupt: 1}},
		{name: "absolute", json: document1(imageA+`,{"id":8,"file_name":"/etc/passwd","width":40,"height":20}`, noteA, cats), objects: 1, problem: `image 8: file_name`, counts: dataset.Counts{Found: 1, Corrupt: 1}},
		{name: "missing picture", json: document1(imageA+`,{"id":8,"file_name":"gone.png","width":40,"height":20}`, noteA, cats), objects: 1, problem: `gone.png: no such file`, counts: dataset.Counts{Found: 1, Corrupt: 1}},

		{name: "cut off", json: document1(imageA, noteA, cats)[:60], want: `train.json: annotations[0]: byte`},
		{name: "no categories", json: `{"images":[],"annotations":[]}`, want: `key "categories" is missing`},
		{name: "key twice", json: `{"images":[],"images":[]}`, want: `key "images" is there twice`},
		{name: "results", json: `[{"image_id":1}]`, want: `not a COCO file: byte 1: [ where { must be`},
		{name: "list as name", json: document1(`{"id":7,"file_name":[7]}`, noteA, cats), want: `[7]: must be a text`},
		{name: "endless name", json: document1(imageA, noteA, `{"id":90,"name":"`+strings.Repeat("n", 2000)+`"}`), want: `class 0: "nnn`},
		{name: "category twice", json: document1(imageA, noteA, `{"id":90,"name":"dog"},{"id":91,"name":" "}`), want: `" " is not a name`},
		{name: "nested", json: `{"x":` + strings.Repeat("[", 100000) + `}`, want: `nested deeper than 1000`},
		{name: "nested outline", json: document1(imageA, noteA+ann(2, `"bbox":[1,2,3,3],"segmentation":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), cats), want: `depth`},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := Open(folder(t, c.json, "a.png", "b.png"), dataset.ReadOptions{BadLabels: c.policy})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %.300v, want one line with %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(set.Names) != "[cat dog]" {
				t.Errorf("names %v: must be in the order of their ids", set.Names)
			}
			c.counts.Pictures, c.counts.Objects = 1+c.counts.Empty, c.objects
			c.counts.Found += c.counts.Empty
			if got := set.Report.Splits["train"]; got != c.counts {
				t.Errorf("counts %+v, want %+v", got, c.counts)
			}
			if problems := fmt.Sprint(set.Report.Problems); c.problem != "" && !strings.Contains(problems, c.problem) || c.problem == "" && len(set.Report.Problems) > 0 {
				t.Errorf("problems %v, want %q", problems, c.problem)
			}
		})
	}
}

// TestOutlines joins the parts of an object and keeps the file's box.
func TestOutlines(t *testing.T) {
	json := document1(imageA, ann(2, `"bbox":[0,0,40,20],"segmentation":[[0,0,10,0,10,10,0,10],[30,10,40,10,40,20,30,20],[1,2]]`)[1:], cats)
	set, err := Open(folder(t, json, "a.png"), dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := set.Splits["train"][0].Labels[0]
	if l.X != .5 || l.Y != .5 || l.W != 1 || l.H != 1 {
		t.Errorf("box %+v", l)
	}
	if got := area(l.Polygon) * 40 * 20; got != 200 {
		t.Errorf("the joined outline encloses %g pixels, want 200: %v", got, l.Polygon)
	}
	if set, err = Open(folder(t, json, "a.png"), dataset.ReadOptions{BoxesOnly: true}); err != nil || set.Splits["train"][0].Labels[0].Polygon != nil {
		t.Errorf("outline kept: %v", err)
	}
}

// TestRoboflowGroup: category 0 that only groups the others is no class.
func TestRoboflowGroup(t *testing.T) {
	for categories, want := range map[string]string{
		`{"id":0,"name":"things","supercategory":"none"},{"id":90,"name":"dog","supercategory":"things"}`:                                     "[dog]",
		`{"id":0,"name":"cat","supercategory":"animal"},{"id":90,"name":"dog","supercategory":"animal"}`:                                      "[cat dog]",
		`{"id":0,"name":"dog","supercategory":"none"},{"id":90,"name":"cow","supercategory":"none"}`:                                          "[dog cow]",
		`{"id":0,"name":"dog","supercategory":"none"},{"id":1,"name":"dog","supercategory":"dog"},{"id":90,"name":"x","supercategory":"dog"}`: "[dog x]",
	} {
		set, err := Open(folder(t, document1(imageA, noteA, categories), "a.png"), dataset.ReadOptions{})
		if err != nil || fmt.Sprint(set.Names) != want {
			t.Errorf("%s: names %v, %v, want %s", categories, set, err, want)
		}
	}
}

// TestChosenClasses keeps the order asked for and leaves out the rest.
func TestChosenClasses(t *testing.T) {
	json := document1(imageA, noteA+ann(2, `"bbox":[1,2,3,3]`), cats)
	set, err := Open(folder(t, json, "a.png"), dataset.ReadOptions{Classes: []string{"dog", "horse"}})
	if err != nil || set.Splits["train"][0].Labels[0].Class != 0 || set.Report.Unknown["cat"] != 1 || set.Report.Ignored != 1 {
		t.Errorf("%+v, %v", set, err)
	}
}

// FuzzCOCO: any bytes give a document, whose boxes lie in the picture, or an
// error.
func FuzzCOCO(f *testing.F) {
	for _, s := range []string{
		document1(imageA, noteA, cats), document1(imageA, noteA+ann(2, `"bbox":[-10,5,25,5],"iscrowd":true,"segmentation":[[1,2,3,4,5,6],[]]`), cats),
		`{"images":[{}],"annotations":[{"bbox":[1e300,0,-1,1]}],"categories":[{}]}`, `[`, `{"a":{"b":[`,
	} {
		f.Add([]byte(s))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		doc, err := parseJSON(lenient.NewDecoder(strings.NewReader(string(data))), true)
		if err != nil {
			return
		}
		doc.file = filepath.Join("none", "train.json")
		rd := &reader{}
		items, err := rd.add(doc, "train", nil)
		if err != nil {
			return
		}
		rd.numberClasses(rd.classNames())
		o, _ := dataset.ReadOptions{BadLabels: dataset.Clip}.Checked()
		for _, it := range items {
			r := dataset.NewRecorder(len(rd.classNames()), o)
			rd.read(it, 40, 20, r)
			for _, l := range r.Labels() {
				if !(l.X >= 0 && l.X <= 1 && l.Y >= 0 && l.Y <= 1 && l.W > 0 && l.W <= 1 && l.H > 0 && l.H <= 1) {
					t.Errorf("let %+v through", l)
				}
			}
		}
	})
}

func TestSplitOf(t *testing.T) {
	for file, want := range map[string]string{
		"instances_train2017.json": "train", "instances_Val.json": "val", "valid": "val", "a/train/test.json": "test", "pascal_trainval2007.json": "train",
		"latest.json": "", "contest.json": "", "evaluation.json": "", "interval.json": "", "validity.json": "", "constrain.json": "", "instances_default.json": "",
	} {
		if got := dataset.SplitOf(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

// TestManyCategories: as many categories as pictures, read in a time that grows with them only.
func TestManyCategories(t *testing.T) {
	var many strings.Builder
	many.WriteString(cats)
	for i := range 100_000 {
		fmt.Fprintf(&many, `,{"id":%d,"name":"thing %d"}`, 1000+i, i)
	}
	set, err := Open(folder(t, document1(imageA, noteA, many.String()), "a.png"), dataset.ReadOptions{})
	if err != nil || len(set.Names) != 100_002 {
		t.Errorf("%v", err)
	}
}

// TestFind: one JSON file is train whatever its name; JSON of other kinds is none.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "annotations"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"notes.json": `{"categories":[],"info":{}}`, "annotations/instances_default.json": document1(imageA, noteA, cats), "annotations/._instances_default.json": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"train": filepath.Join(dir, "annotations", "instances_default.json")}
	if got := Find(dir); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
