package dataset_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/djherbis/times"

	"yolofreeze/dataset"
	"yolofreeze/dataset/format"
	"yolofreeze/dataset/picture"
	"yolofreeze/dataset/yolo"
)

// smallSet writes pictures of 40 by 20 pixels with the given labels; a grey
// level keeps their contents apart.
func smallSet(t testing.TB, labels map[string]string) string {
	t.Helper()
	root := t.TempDir()
	put := func(name string, data []byte) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("data.yaml", []byte("train: images/train\nval: images/val\nnames: [cat, dog, cow]\n"))
	level := 0
	for name, text := range labels {
		m := image.NewGray(image.Rect(0, 0, 40, 20))
		for i := range m.Pix {
			m.Pix[i] = uint8(level)
		}
		level++
		put("images/"+name+".png", encoded(t, m))
		put("labels/"+name+".txt", []byte(text))
	}
	return filepath.Join(root, "data.yaml")
}

var pair = map[string]string{"train/a": "0 .5 .5 .2 .2\n1 .4 .4 .2 .2\n", "train/b": "", "val/c": "1 .5 .5 .5 .5\n"}

// TestSizesCache: what is remembered changes nothing, whatever happens to the
// data or to the cache in between.
func TestSizesCache(t *testing.T) {
	file := smallSet(t, pair)
	root, cache := filepath.Dir(file), t.TempDir()
	read := func() *dataset.Set {
		t.Helper()
		set, err := yolo.Open(file, dataset.ReadOptions{CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	cacheFile := func() string {
		t.Helper()
		found, _ := filepath.Glob(filepath.Join(cache, "*"))
		if len(found) != 1 {
			t.Fatalf("%d files in the cache: %v", len(found), found)
		}
		return found[0]
	}
	first := read()
	fresh, err := os.ReadFile(cacheFile())
	if err != nil {
		t.Fatal(err)
	}
	if second := read(); !reflect.DeepEqual(first, second) {
		t.Errorf("with the cache: %+v, want %+v", second, first)
	}
	// from another folder, by a relative path
	t.Chdir(root)
	if _, err := yolo.Open(filepath.Base(file), dataset.ReadOptions{CacheDir: cache}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(cacheFile()); err != nil || !bytes.Equal(got, fresh) {
		t.Errorf("the cache was made anew for a relative path: %v", err)
	}

	// a label edited to the same length, with its time put back
	label := filepath.Join(root, "labels", "train", "a.txt")
	st, err := os.Stat(label)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(label, []byte(strings.Replace(pair["train/a"], "0 .5", "2 .5", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(label, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := read().Splits["train"][0].Labels[0].Class; got != 2 {
		t.Errorf("an edited label went unnoticed: class %d", got)
	}
	// names trimmed
	if err := os.WriteFile(file, []byte("train: images/train\nval: images/val\nnames: [cat, dog]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := yolo.Open(file, dataset.ReadOptions{CacheDir: cache}); err == nil || !strings.Contains(err.Error(), `a.txt:1: class "2": must be a whole number from 0 to 1`) {
		t.Errorf("trimmed names went unnoticed: %v", err)
	}
	// a picture replaced by a larger one
	if err := os.WriteFile(file, []byte("train: images/train\nval: images/val\nnames: [cat, dog, cow]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pic := filepath.Join(root, "images", "train", "a.png")
	if err := os.WriteFile(pic, encoded(t, image.NewGray(image.Rect(0, 0, 60, 30))), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read().Splits["train"][0].Width; got != 60 {
		t.Errorf("a replaced picture went unnoticed: width %d", got)
	}
	// one of another size and the same length, with its time put back
	if st, err = os.Stat(pic); err != nil {
		t.Fatal(err)
	}
	other := make([]byte, st.Size())
	if n := copy(other, encoded(t, image.NewGray(image.Rect(0, 0, 50, 20)))); n == len(other) {
		t.Fatal("the smaller picture is not shorter")
	}
	if err := os.WriteFile(pic, other, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(pic, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := read().Splits["train"][0].Width; got != 50 && times.Get(st).HasChangeTime() {
		t.Errorf("a picture replaced behind its times went unnoticed: width %d", got)
	}
	// limits that came later
	if _, err := yolo.Open(file, dataset.ReadOptions{CacheDir: cache, Limits: picture.Limits{MaxPixels: 900}, BadImages: dataset.Reject}); err == nil || !strings.Contains(err.Error(), "limit of 900") {
		t.Errorf("the limit is not applied to remembered sizes: %v", err)
	}

	want := read()
	for name, damaged := range map[string][]byte{
		"empty": {}, "cut": fresh[:len(fresh)/2], "flipped": flip(fresh), "foreign": []byte("\x80\x04\x95cos\nsystem\n"), "older": fresh,
	} {
		if err := os.WriteFile(cacheFile(), damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := read(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s cache: %+v, want %+v", name, got, want)
		}
	}
	// YOLOv5's own cache is neither read nor written
	foreign := filepath.Join(root, "labels", "train.cache")
	if err := os.WriteFile(foreign, []byte("\x80\x04."), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(); !reflect.DeepEqual(got, want) {
		t.Errorf("beside labels.cache: %+v", got)
	}
	if data, _ := os.ReadFile(foreign); string(data) != "\x80\x04." {
		t.Error("labels.cache was changed")
	}
}

func flip(data []byte) []byte {
	out := bytes.Clone(data)
	out[len(out)-5] ^= 1
	return out
}

// TestReadOnly: a set on a read-only mount is read, and nothing appears in it.
func TestReadOnly(t *testing.T) {
	file := smallSet(t, pair)
	walk := func() (out []string) {
		_ = filepath.WalkDir(filepath.Dir(file), func(path string, _ os.DirEntry, _ error) error {
			info, err := os.Lstat(path)
			out = append(out, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime().UnixNano()))
			return err
		})
		return out
	}
	before := walk()
	for range 2 {
		if _, err := yolo.Open(file, dataset.ReadOptions{CacheDir: filepath.Join(t.TempDir(), "deep", "cache")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := yolo.Open(file, dataset.ReadOptions{CacheDir: "/proc/no/such/folder"}); err != nil {
		t.Errorf("a cache that cannot be written: %v", err)
	}
	if after := walk(); !reflect.DeepEqual(after, before) {
		t.Errorf("the set was touched: %v", after)
	}
}

func TestReport(t *testing.T) {
	labels := map[string]string{"train/a": pair["train/a"], "train/b": "", "val/c": pair["val/c"]}
	file := smallSet(t, labels)
	root := filepath.Dir(file)
	// one picture in both splits under another name, one by the same path
	data, err := os.ReadFile(filepath.Join(root, "images", "train", "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "images", "val", "z.png"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "images", "val", "y.jpg"), encoded(t, image.NewGray(image.Rect(0, 0, 30, 30))), 0o644); err != nil {
		t.Fatal(err)
	}
	yaml := "train: images/train\nval: [images/val, list.txt]\nnames: [cat, dog, cow]\n"
	if err := os.WriteFile(file, []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "list.txt"), []byte("images/train/b.png\nimages/val/c.png\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(root, "images", "train", "broken.png")
	if err := os.WriteFile(broken, data[:50], 0o644); err != nil { // the header is whole
		t.Fatal(err)
	}
	set, err := yolo.Open(file, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := set.Report
	if want := map[string][]string{"train": {"cow"}, "val": {"cat", "cow"}}; !reflect.DeepEqual(r.NeverSeen, want) {
		t.Errorf("never seen %v, want %v", r.NeverSeen, want)
	}
	if len(r.Shared) != 1 || !strings.HasSuffix(r.Shared[0].Paths[0], "b.png") || fmt.Sprint(r.Shared[0].Splits) != "[train val]" {
		t.Errorf("shared %v", r.Shared)
	}
	if !strings.Contains(fmt.Sprint(r.Problems), "c.png: listed twice in split val (used once: ") {
		t.Errorf("problems %v", r.Problems)
	}
	if len(r.Misnamed) != 1 || !strings.HasSuffix(r.Misnamed[0].Path, "y.jpg") || r.Misnamed[0].Format != "png" {
		t.Errorf("of other formats: %v", r.Misnamed)
	}
	if err := dataset.Check(set, dataset.CheckOptions{Decode: true}); err != nil {
		t.Fatal(err)
	}
	r = set.Report
	if len(r.Shared) != 2 || len(r.Shared[0].Paths) != 2 || !strings.HasSuffix(r.Shared[0].Paths[1], "z.png") {
		t.Errorf("shared by content %v", r.Shared)
	}
	if last := r.Problems[len(r.Problems)-1].String(); !strings.Contains(last, "broken.png: decoding png: ") || r.Corrupt != 1 {
		t.Errorf("not decoded: %s, %+v", last, r.Counts)
	}
}

func TestRejectListsAll(t *testing.T) {
	file := smallSet(t, map[string]string{"train/a": "7 .5 .5 .2 .2\n8 .5 .5 .2 .2\n", "val/c": "9 .5 .5 .5 .5\n"})
	set, err := yolo.Open(file, dataset.ReadOptions{})
	bad, ok := err.(*dataset.BadDataError)
	if !ok || len(bad.Problems) != 3 || !strings.HasSuffix(err.Error(), "and 2 more problems (dataset check lists them)") || set == nil || len(set.Report.Problems) != 3 {
		t.Errorf("%v", err)
	}
	for _, o := range []dataset.ReadOptions{{BadLabels: "skip"}, {BadImages: "drop"}, {Classes: []string{"a", "a"}}} {
		if _, err := yolo.Open(file, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestBits writes random boxes in every format and reads the same bits back.
func TestBits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for range 300 {
		w, h := math.Pow(rnd.Float64(), 2), math.Pow(rnd.Float64(), 2)
		x, y := w/2+(1-w)*rnd.Float64(), h/2+(1-h)*rnd.Float64()
		fmt.Fprintf(&text, "%d %.*f %.*f %v %v\n", rnd.IntN(3), 4+rnd.IntN(8), x, 4+rnd.IntN(8), y, w, float32(h))
	}
	set, err := yolo.Open(smallSet(t, map[string]string{"train/a": text.String(), "val/c": pair["val/c"]}), dataset.ReadOptions{BadLabels: dataset.Drop})
	if err != nil {
		t.Fatal(err)
	}
	want := set.Splits["train"][0].Labels
	for _, f := range format.Formats {
		dir := filepath.Join(t.TempDir(), f)
		if err := format.Write(f, dir, set, dataset.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		back, err := format.Open(dir, dataset.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := back.Splits["train"][0].Labels
		if len(got) != len(want) {
			t.Fatalf("%s: %d objects, want %d", f, len(got), len(want))
		}
		for i, l := range got {
			if !l.SameBox(want[i]) {
				t.Errorf("%s: object %d is %+v, want %+v", f, i, l, want[i])
			}
		}
	}
}

func TestSplitAndStats(t *testing.T) {
	labels := map[string]string{}
	for i := range 50 {
		labels[fmt.Sprintf("train/%02d", i)] = fmt.Sprintf("%d .5 .5 .5 .5\n", i%3)
	}
	labels["val/x"] = ""
	set, err := yolo.Open(smallSet(t, labels), dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := func(s *dataset.Set) (out []string) {
		for _, split := range dataset.SplitNames {
			for _, p := range s.Splits[split] {
				out = append(out, split+"/"+filepath.Base(p.Path))
			}
		}
		return out
	}
	a, err := set.Split([3]float64{.7, .2, .1}, 5)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := set.Split([3]float64{.7, .2, .1}, 5)
	c, _ := set.Split([3]float64{.7, .2, .1}, 6)
	if !reflect.DeepEqual(names(a), names(b)) || reflect.DeepEqual(names(a), names(c)) {
		t.Error("the split does not follow the seed")
	}
	if n := [3]int{len(a.Splits["train"]), len(a.Splits["val"]), len(a.Splits["test"])}; n != [3]int{36, 10, 5} || a.Report.Pictures != 51 || a.Report.Objects != 50 {
		t.Errorf("%v pictures, %+v", n, a.Report.Counts)
	}
	for _, shares := range [][3]float64{{.5, .4, 0}, {1.5, -.5, 0}, {math.NaN(), 1, 0}, {.999, .001, 0}} {
		if _, err := set.Split(shares, 1); err == nil {
			t.Errorf("shares %v were accepted", shares)
		}
	}
	st := set.Stats("")
	if st.Pictures != 51 || st.Background != 1 || st.Objects != 50 || st.Small != 50 || st.Centres[25][25] != 50 || st.Sizes[25][25] != 50 {
		t.Errorf("%+v", st)
	}
	if st.Classes[0] != (dataset.ClassStats{Name: "cat", Objects: 17, Pictures: 17}) || st.Width != (dataset.Range{Min: 40, Median: 40, Mean: 40, Max: 40}) {
		t.Errorf("%+v %+v", st.Classes, st.Width)
	}
	if empty := set.Stats("test"); empty.Pictures != 0 || empty.BoxWidth != (dataset.Range{}) {
		t.Errorf("%+v", empty)
	}
}

// encoded is a picture as a PNG file has it.
func encoded(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLabelsThatAreNoFile: labels that are no regular file are named, once, and nothing waits for them.
func TestLabelsThatAreNoFile(t *testing.T) {
	file := smallSet(t, map[string]string{"train/a": "0 .5 .5 .5 .5", "val/b": "0 .5 .5 .5 .5"})
	label := filepath.Join(filepath.Dir(file), "labels", "train", "a.txt")
	if err := errors.Join(os.Remove(label), os.Mkdir(label, 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err := yolo.Open(file, dataset.ReadOptions{})
	if err == nil || strings.Count(err.Error(), label) != 1 || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("error %v", err)
	}
}
