package format

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset"
)

// odd is a data set in the making: what is written, and what must be read of it.
type odd struct {
	*rand.Rand
	files map[string]string
	want  map[string][]string // per picture's base name, its objects
}

func (o *odd) one(of ...string) string { return of[o.IntN(len(of))] }

// objects draws boxes that all formats hold exactly: whole pixels of 40 by 20.
func (o *odd) objects(picture string) (boxes [][5]int) {
	for range o.IntN(4) {
		b := [5]int{o.IntN(2), o.IntN(20), o.IntN(10), 1 + o.IntN(19), 1 + o.IntN(9)}
		text := fmt.Sprint(b)
		if !strings.Contains(strings.Join(o.want[picture], ""), text) {
			boxes = append(boxes, b)
			o.want[picture] = append(o.want[picture], text)
		}
	}
	return boxes
}

var oddNames = []string{"a", "b c", "d.jpg", "é", "E", "f'g", "h,i", "007", "train", "x 1"}

// bytes is a text as a program may write it.
func (o *odd) bytes(text string, marks bool) string {
	text = strings.ReplaceAll(text, "\n", o.one("\n", "\r\n", "\r"))
	if !marks {
		return text
	}
	switch o.IntN(3) {
	case 0:
		return "\xef\xbb\xbf" + text
	case 1:
		out := "\xff\xfe"
		for _, r := range text {
			out += string([]byte{byte(r), byte(r >> 8)})
		}
		return out
	}
	return text
}

func (o *odd) strays(folder string) {
	for _, name := range []string{"._a.png", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "~$a.png"} {
		if o.IntN(2) == 0 {
			o.files[folder+"/"+name+".stray"] = "x"
		}
	}
}

func (o *odd) yolo() string {
	o.files["data.yaml"] = o.bytes("train: train.txt\nval: images/val\nnames: [cat, dog]\n", true)
	list := ""
	for i, name := range oddNames {
		split := []string{"train", "val"}[i%2]
		o.files["images/"+split+"/"+name+".png"] = ""
		text := ""
		for _, b := range o.objects(name + ".png") {
			sep := o.one(" ", "\t", "  ")
			x, y := (float64(b[1])+float64(b[3])/2)/40, (float64(b[2])+float64(b[4])/2)/20
			text += strings.Join([]string{fmt.Sprint(b[0]) + o.one("", ".0"), fmt.Sprint(x), fmt.Sprint(y), fmt.Sprint(float64(b[3]) / 40), fmt.Sprint(float64(b[4]) / 20)}, sep) + o.one("\n", "\n\n", " \n")
		}
		o.files["labels/"+split+"/"+name+o.one(".txt", ".TXT")] = o.bytes(text, false)
		if split == "train" {
			line := o.one("", "./", "data/") + "images/train/" + name + ".png"
			list += line + "\n" + o.one("", line+"\n", "images/train/._a.png\n")
		}
	}
	o.files["train.txt"] = o.bytes(list, true)
	o.strays("images/train")
	o.strays("images/val")
	return "data.yaml"
}

func (o *odd) voc() string {
	lists := map[string]string{}
	for i, name := range oddNames {
		split := []string{"train", "val"}[i%2]
		o.files["JPEGImages/"+name+".png"] = ""
		text := `<?xml version="1.0" encoding="` + o.one("utf-8", "UTF-8") + `"?>` + "\n<annotation><size><width>40</width><height>20</height></size>\n"
		for _, b := range o.objects(name + ".png") {
			zero := o.one("", ".0")
			text += fmt.Sprintf("<object><name>%s</name><bndbox><xmin>%d%s</xmin><ymin>%d</ymin><xmax>%d</xmax><ymax>%d%s</ymax></bndbox></object>\n",
				o.one("%s", " %s "), b[1]+1, zero, b[2]+1, b[1]+b[3]+1, b[2]+b[4]+1, zero)
			text = strings.Replace(text, "%s", []string{"cat", "dog"}[b[0]], 1)
		}
		o.files["Annotations/"+name+o.one(".xml", ".XML")] = o.bytes(text+"</annotation>\n", false)
		line := o.one(name, name+".png", `"`+name+`"`, name+"  1", name+" -1", "JPEGImages/"+name+".png") + "\n"
		lists[split] += line + o.one("", line, "._a\n", "\n")
	}
	for split, list := range lists {
		o.files["ImageSets/Main/"+split+".txt"] = o.bytes(list, true)
	}
	o.files["classes.txt"] = o.bytes("cat\ndog\n", true)
	o.strays("JPEGImages")
	o.strays("Annotations")
	return "."
}

func (o *odd) coco() string {
	for k, split := range []string{"train", "val"} {
		var images, notes []string
		id := func(n int) string { return fmt.Sprintf(o.one("%d", "%d.0", `"%d"`), n) }
		for i, name := range oddNames {
			if i%2 != k {
				continue
			}
			o.files[split+"/"+name+".png"] = ""
			entry := func(n int) {
				images = append(images, fmt.Sprintf(`{"id":%s,"file_name":"%s.png","width":%s,"height":20,"score":%s}`, id(n), o.one("", "./")+name, o.one("40", "40.0", `"40"`), o.one("NaN", "1", "-Infinity")))
			}
			entry(i)
			again := o.IntN(2) * 100
			if again > 0 {
				entry(i + again)
			}
			for n, b := range o.objects(name + ".png") {
				own := o.one("", fmt.Sprintf(`"id":%s,`, id(n)), `"id":null,`)
				notes = append(notes, fmt.Sprintf(`{%s"image_id":%s,"category_id":%s,"iscrowd":%s,"area":%s,"bbox":[%d,%d,%s,%d]}`, own, id(i+again*(n%2)), id(b[0]*80+1),
					o.one("0", "0.0", "false", `"0"`), o.one("NaN", "null", "5"), b[1], b[2], fmt.Sprintf(o.one("%d", "%d.0", "%de0"), b[3]), b[4]))
			}
		}
		text := fmt.Sprintf("{\"images\":[%s],\n\"annotations\":[%s],\n\"categories\":[{\"id\":1,\"name\":\"cat\"},{\"id\":%s,\"name\":\"dog\"}]}\n", strings.Join(images, ",\n"), strings.Join(notes, ","), id(81))
		o.files["annotations/instances_"+split+".json"] = o.bytes(text, true)
		o.files["annotations/._instances_"+split+".json"] = "x"
	}
	return "."
}

// draw makes a data set of the format at random, and tells what of it to open.
func draw(t *testing.T, format string, seed uint64) (o *odd, root, data string) {
	o = &odd{rand.New(rand.NewPCG(seed, 7)), map[string]string{}, map[string][]string{}}
	data = map[string]func() string{"yolo": o.yolo, "voc": o.voc, "coco": o.coco}[format]()
	strays := map[string]string{}
	for name, text := range o.files {
		if real, ok := strings.CutSuffix(name, ".stray"); ok {
			delete(o.files, name)
			strays[real] = text
		}
	}
	root = tree(t, o.files)
	for name, text := range strays {
		write(t, root, name, text)
	}
	return o, root, filepath.Join(root, data)
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestOddities combines at random what programs and people do to data sets: what is read is
// what was written, object by object.
func TestOddities(t *testing.T) {
	for seed := range uint64(15) {
		for _, format := range Formats[:3] {
			o, _, data := draw(t, format, seed)
			set, err := Open(data, dataset.ReadOptions{})
			if err != nil {
				t.Fatalf("%s %d: %v", format, seed, err)
			}
			pictures := 0
			for split, samples := range set.Splits {
				for _, s := range samples {
					pictures++
					var got []string
					for _, l := range s.Labels {
						left, top, w, h := l.Pixels(40, 20)
						got = append(got, fmt.Sprint([5]int{l.Class, int(math.Round(left)), int(math.Round(top)), int(math.Round(w)), int(math.Round(h))}))
					}
					if want := o.want[filepath.Base(s.Path)]; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s %d: %s in %s: %v, want %v", format, seed, s.Path, split, got, want)
					}
				}
			}
			if pictures != len(oddNames) || set.Report.Corrupt > 0 {
				t.Errorf("%s %d: %d pictures, %+v", format, seed, pictures, set.Report)
			}
		}
	}
}

// TestSpoiledOddities: one fault in such a data set is an error that names its file, and
// its line where the format has lines.
func TestSpoiledOddities(t *testing.T) {
	faults := map[string][]string{
		"yolo": {"2 .5 .5 .2 .2", "0 .5 .5 .2", "0 .5 x .2 .2", "0 .5 .5 1.2 .2", "0 .5 .5 .2 0", "-1 .5 .5 .2 .2", "0 .5 .5 .2 .2 .9", "0 NaN .5 .2 .2", "cat .5 .5 .2 .2", "0,.5,.5,.2,.2"},
		"voc":  {"<xmin>x</xmin>", "<xmin></xmin>", "<xmin>NaN</xmin>", "<xmin>99</xmin>", "<xmax>", "</bndbox>"},
		"coco": {`"category_id":5`, `"category_id":"x"`, `"image_id":99999`, `"bbox":[1,2,3]`, `"bbox":[1,2,-3,4]`, `"bbox":[1,2,"x",4]`, `"bbox":[1,2,NaN,4]`, `"bbox":null`},
	}
	for _, format := range Formats[:3] {
		for i, fault := range faults[format] {
			o, root, data := draw(t, format, uint64(100+i))
			file, place := o.spoil(format, fault)
			write(t, root, file, o.files[file])
			_, err := Open(data, dataset.ReadOptions{})
			if err == nil || !strings.Contains(err.Error(), filepath.Base(file)+place) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, %s: error %v, want one of %s%s", format, fault, err, file, place)
			}
		}
	}
}

// spoil puts a fault into one of the files, and tells which and how the place in it is written.
func (o *odd) spoil(format, fault string) (file, place string) {
	switch format {
	case "yolo":
		files := o.under("labels/")
		file = files[o.IntN(len(files))]
		text := strings.TrimRight(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(o.files[file]), "\n")
		o.files[file] = text + "\n" + fault + "\n"
		return file, fmt.Sprintf(":%d: ", strings.Count(text, "\n")+2)
	case "voc":
		files := o.under("Annotations/")
		file = files[o.IntN(len(files))]
		box := "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
		if strings.HasPrefix(fault, "<xmin>") {
			box = fault + box[len("<xmin>2</xmin>"):]
		} else {
			box = box + fault // and so no XML any more
		}
		o.files[file] = "<annotation><size><width>40</width><height>20</height></size>\n<object><name>cat</name>\n<bndbox>" + box + "</bndbox></object></annotation>\n"
		return file, ":"
	}
	file = "annotations/instances_" + o.one("train", "val") + ".json"
	picture := map[string]int{"annotations/instances_train.json": 0, "annotations/instances_val.json": 1}[file]
	note := fmt.Sprintf(`"image_id":%d,"category_id":1,"bbox":[1,2,3,4]`, picture)
	key, _, _ := strings.Cut(fault, ":")
	at := strings.Index(note, key)
	end := at + strings.IndexByte(note[at:]+",\"", ',')
	if key == `"bbox"` {
		end = len(note)
	}
	o.files[file] = fmt.Sprintf(`{"images":[{"id":%d,"file_name":"%s.png","width":40,"height":20}],"annotations":[{"id":7,%s}],"categories":[{"id":1,"name":"cat"},{"id":81,"name":"dog"}]}`,
		picture, oddNames[picture], note[:at]+fault+note[end:])
	return file, ""
}

func (o *odd) under(folder string) (names []string) {
	for name := range o.files {
		if strings.HasPrefix(name, folder) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
