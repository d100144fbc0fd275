package voc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/onnx/testkit/hostile"
)

// devkit writes a year; annotations are given by picture, each picture is 40 by
// 20 pixels.
func devkit(t testing.TB, dir string, notes map[string]string, sets map[string]string) string {
	t.Helper()
	for _, d := range []string{"Annotations", "JPEGImages", "ImageSets/Main"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for id, text := range notes {
		f, err := os.Create(filepath.Join(dir, "JPEGImages", id+".jpg")) // PNG inside
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 40, 20))); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if text != "" {
			write("Annotations/"+id+".xml", text)
		}
	}
	for set, ids := range sets {
		write("ImageSets/Main/"+set+".txt", ids)
	}
	return dir
}

const size = "<size><width>40</width><height>20</height></size>"

func note(objects ...string) string {
	return "<annotation>" + size + strings.Join(objects, "") + "</annotation>"
}

func obj(name, xmin, ymin, xmax, ymax, more string) string {
	return fmt.Sprintf("<object><name>%s</name>%s<bndbox><xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax></bndbox></object>",
		name, more, xmin, ymin, xmax, ymax)
}

func TestAnnotations(t *testing.T) {
	good := obj("cat", "5", "6", "15", "16", "")
	for _, c := range []struct {
		name, xml string
		policy    dataset.Policy
		objects   int
		want      string // part of the error
		problem   string // part of the first problem, where there is no error
		counts    dataset.Counts
	}{
		{name: "plain", xml: note(good), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "missing", xml: "", counts: dataset.Counts{Missing: 1}},
		{name: "no objects", xml: note(), counts: dataset.Counts{Found: 1, Empty: 1}},
		{name: "fractions", xml: note(obj("cat", "5.5", "6.25", "15", " 16.75 ", "")), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "parts", objects: 1, counts: dataset.Counts{Found: 1}, xml: note("<object><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>" +
			"<name>cat</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>15</xmax><ymax>16</ymax></bndbox></object>")},
		{name: "difficult", xml: note(good, obj("dog", "1", "1", "9", "9", "<difficult>1</difficult>")), objects: 1, counts: dataset.Counts{Found: 1, Ignored: 1}},
		{name: "unknown name", xml: note(good, obj("unicorn", "1", "1", "9", "9", "")), objects: 1, counts: dataset.Counts{Found: 1, Ignored: 1}},
		{name: "size 0", xml: "<annotation><size><width>0</width></size>" + good + "</annotation>", objects: 1, problem: `a.xml: size "0x": the picture is 40x20`, counts: dataset.Counts{Found: 1}},
		{name: "another size", xml: strings.Replace(note(good), "<width>40", "<width>400", 1), objects: 1, problem: `size "400x20"`, counts: dataset.Counts{Found: 1}},
		{name: "another name", xml: strings.Replace(note(good), "<size>", "<filename>b.jpg</filename><size>", 1), objects: 1, problem: `filename "b.jpg": the picture is a.jpg`, counts: dataset.Counts{Found: 1}},
		{name: "counted from 0", xml: note(obj("cat", "0", "0", "40", "20", "")), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "latin 1", xml: `<?xml version="1.0" encoding="ISO-8859-1"?>` + note(good) + "<!-- \xe9 -->", objects: 1, counts: dataset.Counts{Found: 1}},

		{name: "reversed", xml: note(good, obj("dog", "30", "6", "20", "16", "")), want: `a.xml: object 2: xmin "30": must be under xmax, which is 20`},
		{name: "no width", xml: note(obj("dog", "20", "6", "20", "16", "")), want: `object 1: xmin "20": must be under xmax`},
		{name: "no width dropped", xml: note(obj("dog", "20", "6", "20", "16", ""), good), policy: dataset.Drop, objects: 1, problem: "dropped", counts: dataset.Counts{Found: 1, Dropped: 1}},
		{name: "outside", xml: note(obj("dog", "1", "1", "60", "16", "")), want: `object 1: bndbox "1 1 60 16": must lie in the picture, from 1 1 to 40 20`},
		{name: "outside clipped", xml: note(obj("dog", "1", "1", "60", "16", "")), policy: dataset.Clip, objects: 1, problem: "clipped", counts: dataset.Counts{Found: 1, Clipped: 1}},
		{name: "no number", xml: note(obj("dog", "one", "1", "60", "16", "")), want: `object 1: xmin "one": must be a decimal number`},
		{name: "nan", xml: note(obj("dog", "nan", "1", "60", "16", "")), want: `xmin "nan"`},
		{name: "no box", xml: note("<object><name>cat</name></object>"), want: `object 1: object without a <bndbox>`},
		{name: "no name", xml: note(strings.Replace(good, "cat", " ", 1)), want: `object 1: object without a <name>`},
		{name: "cut off", xml: note(good)[:60], want: `a.xml: line 1: not valid XML`},
		{name: "not an annotation", xml: "<html></html>", want: `a.xml: not a VOC annotation: its element is <html>`},
		{name: "empty file", xml: " ", want: `a.xml: holds no XML element`},
		{name: "unknown encoding", xml: `<?xml version="1.0" encoding="klingon"?>` + note(good), want: `encoding "klingon": not known`},
		{name: "gb2312", xml: `<?xml version="1.0" encoding="gb2312"?>` + note(good) + "<!-- \xe8\xb2 -->", objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "UTF-16", xml: utf16(`<?xml version="1.0" encoding="utf-16"?>` + note(good)), objects: 1, counts: dataset.Counts{Found: 1}},
		{name: "entity bomb", want: `a.xml: line 1: not valid XML: invalid character entity &b;`,
			xml: `<!DOCTYPE annotation [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;">]>` + note(strings.Replace(good, "cat", "&b;", 1))},
		{name: "external entity", want: `entity`, xml: `<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + note(strings.Replace(good, "cat", "&x;", 1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := devkit(t, t.TempDir(), map[string]string{"a": c.xml, "b": note(good)}, map[string]string{"train": "a\n", "val": "b"})
			set, err := Open(dir, dataset.ReadOptions{BadLabels: c.policy, Classes: []string{"cat", "dog"}})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.counts.Pictures, c.counts.Objects = 1, c.objects
			if got := set.Report.Splits["train"]; got != c.counts {
				t.Errorf("counts %+v, want %+v", got, c.counts)
			}
			if problems := fmt.Sprint(set.Report.Problems); c.problem != "" && !strings.Contains(problems, c.problem) || c.problem == "" && len(set.Report.Problems) > 0 {
				t.Errorf("problems %v, want %q", problems, c.problem)
			}
		})
	}
}

// TestBox holds the conversion against figures worked out by hand from the rule
// centre = (min+max)/2 − 1, size = max − min.
func TestBox(t *testing.T) {
	dir := devkit(t, t.TempDir(), map[string]string{"a": note(obj("cat", "5", "6", "15", "16", "<difficult>1</difficult>"))}, map[string]string{"train": "a"})
	set, err := Open(dir, dataset.ReadOptions{KeepDifficult: true})
	if err != nil {
		t.Fatal(err)
	}
	l := set.Splits["train"][0].Labels[0]
	want := dataset.Label{X: 9.0 / 40, Y: 10.0 / 20, W: 10.0 / 40, H: 10.0 / 20, Difficult: true}.Snapped()
	if !reflect.DeepEqual(l, want) {
		t.Errorf("got %+v, want %+v", l, want)
	}
}

// TestYears joins years, chooses image sets and finds class names.
func TestYears(t *testing.T) {
	cat, robot := note(obj("cat", "5", "6", "15", "16", "")), note(obj("robot", "5", "6", "15", "16", ""))
	root := t.TempDir()
	devkit(t, filepath.Join(root, "VOC2007"), map[string]string{"a": cat, "b": cat, "c": cat}, map[string]string{"trainval": "a\nb\n", "test": "c\n", "cat_trainval": "a 1\nb -1\n"})
	devkit(t, filepath.Join(root, "VOC2012"), map[string]string{"d": cat, "e": robot}, map[string]string{"trainval": "d\r\n\r\ne\r\n"})
	for _, c := range []struct {
		name string
		o    dataset.ReadOptions
		want string
	}{
		{"as it is", dataset.ReadOptions{}, "[cat robot] train:a b d e val:c test:c"},
		{"one split", dataset.ReadOptions{Splits: []string{"val"}}, "[cat] train: val:c test:"},
		{"chosen", dataset.ReadOptions{ImageSets: map[string][]string{"train": {"VOC2007/trainval"}, "val": {"VOC2012/trainval"}}, Classes: []string{"robot", "cat"}}, "[robot cat] train:a b val:d e test:"},
		{"missing set", dataset.ReadOptions{ImageSets: map[string][]string{"train": {"nothing"}}}, `error: ROOT: split "train": no pictures in the image sets nothing`},
		{"way out", dataset.ReadOptions{ImageSets: map[string][]string{"train": {"../../x"}}}, `error: split "train": no pictures`},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := Open(root, c.o)
			if err != nil {
				want := strings.ReplaceAll(strings.TrimPrefix(c.want, "error: "), "ROOT", root)
				if !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, want %s", err, c.want)
				}
				return
			}
			got := fmt.Sprint(set.Names)
			for _, split := range dataset.SplitNames {
				var ids []string
				for _, s := range set.Splits[split] {
					ids = append(ids, strings.TrimSuffix(filepath.Base(s.Path), ".jpg"))
				}
				got += " " + split + ":" + strings.Join(ids, " ")
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(root, "classes.txt"), []byte("robot\ncat\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if set, err := Open(root, dataset.ReadOptions{}); err != nil || fmt.Sprint(set.Names) != "[robot cat]" {
		t.Errorf("classes.txt: %v, %v", set, err)
	}
}

func TestHostileNames(t *testing.T) {
	cat := note(obj("cat", "5", "6", "15", "16", ""))
	for _, id := range []string{"../../etc/passwd", "/etc/passwd", strings.Repeat("x", 300)} {
		dir := devkit(t, t.TempDir(), map[string]string{"a": cat}, map[string]string{"train": "a\n" + id + "\n"})
		if _, err := Open(dir, dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), "train.txt:2: ") {
			t.Errorf("%.20q: %v", id, err)
		}
	}
	dir := devkit(t, t.TempDir(), map[string]string{"a": cat}, map[string]string{"train": "a\ngone\n"})
	set, err := Open(dir, dataset.ReadOptions{})
	if err != nil || set.Report.Corrupt != 1 || !strings.Contains(fmt.Sprint(set.Report.Problems), "gone.jpg: no such file") {
		t.Errorf("a missing picture: %v, %+v", err, set)
	}
	if _, err := Open(dir, dataset.ReadOptions{BadImages: dataset.Reject}); err == nil || !strings.Contains(err.Error(), "gone.jpg") {
		t.Errorf("a missing picture, rejected: %v", err)
	}
}

// FuzzVOC: any bytes give an annotation, whose boxes lie in the picture, or an
// error.
func FuzzVOC(f *testing.F) {
	for _, s := range []string{
		note(obj("cat", "5", "6", "15", "16", "<difficult>1</difficult>")), note(obj("dog", "-1e3", "nan", "1e99", "16.5", "")),
		`<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>`, `<?xml version="1.0" encoding="latin1"?><annotation/>`, "<annotation><object>",
	} {
		f.Add([]byte(s))
	}
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		a, err := parseXML(data)
		if err != nil {
			return
		}
		rd := &reader{classes: map[string]int{"cat": 0, "dog": 1}, notes: []*annotation{a}, problems: []error{nil}, difficult: true}
		for _, policy := range []dataset.Policy{dataset.Clip, dataset.Drop} {
			o, _ := dataset.ReadOptions{BadLabels: policy}.Checked()
			r := dataset.NewRecorder(2, o)
			rd.read(dataset.Item{Picture: "a.jpg", Source: "a.xml"}, 40, 20, r)
			for _, l := range r.Labels() {
				if !(l.X >= 0 && l.X <= 1 && l.Y >= 0 && l.Y <= 1 && l.W > 0 && l.W <= 1 && l.H > 0 && l.H <= 1) {
					t.Errorf("let %+v through", l)
				}
			}
		}
	})
}

// TestTurned: boxes of the stored picture, as annotation tools that do not heed EXIF
// have them, go with it. The object covers the stored pixels 4 to 14 and 2 to 9 of 40 by 20;
// where each orientation shows them is its definition.
func TestTurned(t *testing.T) {
	for o, want := range map[int][4]float64{ // shares of 20 by 40: left, top, width, height
		5: {2. / 20, 4. / 40, 7. / 20, 10. / 40}, 6: {11. / 20, 4. / 40, 7. / 20, 10. / 40},
		7: {11. / 20, 26. / 40, 7. / 20, 10. / 40}, 8: {2. / 20, 26. / 40, 7. / 20, 10. / 40},
		1: {4. / 40, 2. / 20, 10. / 40, 7. / 20}, 3: {4. / 40, 2. / 20, 10. / 40, 7. / 20},
	} {
		dir := devkit(t, t.TempDir(), map[string]string{"a": note(obj("cat", "5", "3", "15", "10", ""))}, map[string]string{"train": "a\n"})
		path := filepath.Join(dir, "JPEGImages", "a.jpg")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		chunk := append([]byte("eXIfMM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), byte(o), 0, 0, 0, 0, 0, 0)
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(chunk)-4))
		frame = binary.BigEndian.AppendUint32(append(frame, chunk...), crc32.ChecksumIEEE(chunk))
		if err := os.WriteFile(path, slices.Concat(data[:33], frame, data[33:]), 0o644); err != nil {
			t.Fatal(err)
		}
		set, err := Open(dir, dataset.ReadOptions{Classes: []string{"cat"}})
		if err != nil {
			t.Fatalf("orientation %d: %v", o, err)
		}
		l := set.Splits["train"][0].Labels[0]
		for i, got := range [4]float64{l.X - l.W/2, l.Y - l.H/2, l.W, l.H} {
			if math.Abs(got-want[i]) > 1e-6 {
				t.Errorf("orientation %d: %+v, want left, top, width, height %v", o, l, want)
				break
			}
		}
		if problems := fmt.Sprint(set.Report.Problems); (o >= 5) != strings.Contains(problems, fmt.Sprintf(`size "40x20": the picture is 20x40 after its EXIF orientation %d (boxes turned with it)`, o)) {
			t.Errorf("orientation %d: problems %s", o, problems)
		}
	}
}

func utf16(text string) string {
	out := "\xff\xfe"
	for _, b := range []byte(text) {
		out += string([]byte{b, 0})
	}
	return out
}

// TestStrays: what systems leave behind is neither picture nor annotation, names in image sets
// are whole lines, and upper-case endings are endings.
func TestStrays(t *testing.T) {
	cat := note(obj("cat", "5", "6", "15", "16", ""))
	dir := devkit(t, t.TempDir(), map[string]string{"a b": cat, "a": cat, "c": cat, "d": cat},
		map[string]string{"train": "a b\ra.jpg -1\r\"c\"\n._a\n", "val": "JPEGImages/d.jpg\n"})
	for _, name := range []string{"JPEGImages/.DS_Store", "JPEGImages/Thumbs.db", "JPEGImages/._a.jpg", "Annotations/._a.xml", "JPEGImages/desktop.ini"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "Annotations", "c.xml"), filepath.Join(dir, "Annotations", "c.XML")); err != nil {
		t.Fatal(err)
	}
	set, err := Open(dir, dataset.ReadOptions{Splits: []string{"train", "val"}})
	if err != nil || set.Report.Found != 4 || set.Report.Objects != 4 || len(set.Report.Problems) > 0 || fmt.Sprint(set.Names) != "[cat]" {
		t.Fatalf("%v, %+v", err, set)
	}
	if err := os.RemoveAll(filepath.Join(dir, "ImageSets")); err != nil {
		t.Fatal(err)
	}
	if set, err = Open(dir, dataset.ReadOptions{}); err != nil || set.Report.Found != 4 || len(set.Report.Problems) > 0 {
		t.Errorf("without image sets: %v, %+v", err, set)
	}
}

// TestClassesOfVOC: the 20 classes are those of annotations that name VOC's database.
func TestClassesOfVOC(t *testing.T) {
	cat := note(obj("cat", "5", "6", "15", "16", ""))
	voc := strings.Replace(cat, "<size>", "<source><database>The VOC2007 Database</database></source><size>", 1)
	for text, want := range map[string]int{cat: 1, voc: 20} {
		set, err := Open(devkit(t, t.TempDir(), map[string]string{"a": text}, map[string]string{"train": "a"}), dataset.ReadOptions{})
		if err != nil || len(set.Names) != want {
			t.Errorf("%v, %+v, want %d classes", err, set, want)
		}
	}
}

// TestFlat: annotations beside their pictures, in one folder or in one for each split.
func TestFlat(t *testing.T) {
	cat := note(obj("cat", "5", "6", "15", "16", ""))
	kit := devkit(t, t.TempDir(), map[string]string{"a": cat, "b": cat}, nil)
	move := func(id, dir string) {
		err := os.MkdirAll(dir, 0o755)
		for _, name := range []string{"Annotations/" + id + ".xml", "JPEGImages/" + id + ".jpg"} {
			if err == nil {
				err = os.Link(filepath.Join(kit, name), filepath.Join(dir, filepath.Base(name)))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := t.TempDir(), t.TempDir()
	move("a", one)
	move("b", one)
	move("a", filepath.Join(two, "train"))
	move("b", filepath.Join(two, "valid"))
	for dir, want := range map[string][2]int{one: {2, 0}, two: {1, 1}} {
		set, err := Open(dir, dataset.ReadOptions{})
		if err != nil || len(set.Splits["train"]) != want[0] || len(set.Splits["val"]) != want[1] || set.Report.Objects != 2 {
			t.Errorf("%v, %+v, want %v", err, set, want)
		}
	}
}

// TestNoAnnotationReadable: where classes are sought in annotations, the first that cannot be
// read is named, and not their lack of objects.
func TestNoAnnotationReadable(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "Annotations", "a.xml")
	if err := errors.Join(os.MkdirAll(note, 0o755), os.Mkdir(filepath.Join(dir, "JPEGImages"), 0o755),
		os.WriteFile(filepath.Join(dir, "JPEGImages", "a.jpg"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, dataset.ReadOptions{}); err == nil || !strings.Contains(err.Error(), note+": not a regular file but a folder") {
		t.Errorf("error %v", err)
	}
}
