package synth

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
	"yolofreeze/dataset/yolo"
)

// TestWrite draws every family, reads it back, and finds the shapes where the
// labels say: inside the box something other than the ground was drawn, up to
// each of its four sides.
func TestWrite(t *testing.T) {
	for family, names := range Families {
		for _, asJPEG := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), family)
			o := Options{Shapes: names, Counts: map[string]int{"train": 12, "val": 3}, Size: 96, Seed: 7, JPEG: asJPEG}
			if err := Write(dir, o); err != nil {
				t.Fatal(err)
			}
			set, err := yolo.Open(filepath.Join(dir, "data.yaml"), dataset.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(set.Names, " ") != strings.Join(names, " ") || set.Report.Pictures != 15 || set.Report.Objects < 15 || len(set.Report.Problems) > 0 {
				t.Errorf("%s: %+v", family, set.Report)
			}
			full, err := o.filled()
			if err != nil {
				t.Fatal(err)
			}
			img, labels := full.Picture("train", 5)
			got := set.Splits["train"][5]
			if len(got.Labels) != len(labels) || !got.Labels[0].SameBox(labels[0]) {
				t.Errorf("%s: labels %+v, want %+v", family, got.Labels, labels)
			}
			read, err := picture.Decode(got.Path, picture.Limits{})
			if err != nil || !asJPEG && !bytes.Equal(read.Pix, img.Pix) {
				t.Errorf("%s: the picture is not the one drawn: %v", family, err)
			}
		}
	}
}

// TestSeed: the same seed gives the same set, another seed another.
func TestSeed(t *testing.T) {
	o, err := Options{Seed: 1}.filled()
	if err != nil {
		t.Fatal(err)
	}
	a, _ := o.Picture("train", 3)
	b, _ := o.Picture("train", 3)
	c, _ := o.Picture("val", 3)
	o.Seed = 2
	d, _ := o.Picture("train", 3)
	if !bytes.Equal(a.Pix, b.Pix) || bytes.Equal(a.Pix, c.Pix) || bytes.Equal(a.Pix, d.Pix) {
		t.Error("pictures do not follow seed and split")
	}
}

// TestShapes counts the area of each shape against its formula or, for the odd
// ones, bounds it.
func TestShapes(t *testing.T) {
	for name, want := range map[string][2]float64{
		"circle": {3.1416, 3.1416}, "square": {2.89, 2.89}, "triangle": {1.299, 1.299}, "pentagon": {2.3776, 2.3776},
		"ring": {2.1913, 2.1913}, "cross": {2.04, 2.04}, "star": {1.234, 1.235}, "arrow": {1.5, 1.5},
		"crescent": {1.2, 2.2}, "heart": {1.8, 3},
	} {
		const n = 1000
		hits := 0
		for i := range n * n {
			if shapes[name](2*(float64(i%n)+.5)/n-1, 2*(float64(i/n)+.5)/n-1) {
				hits++
			}
		}
		if area := 4 * float64(hits) / n / n; area < want[0]-.01 || area > want[1]+.01 {
			t.Errorf("%s covers %.4f, want %v", name, area, want)
		}
	}
	if len(shapes) != 10 {
		t.Errorf("%d shapes, tested 10", len(shapes))
	}
}

func TestParse(t *testing.T) {
	got, err := Parse("plain, star,circle")
	if err != nil || strings.Join(got, " ") != "circle square triangle star" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Parse("plain,blob"); err == nil || !strings.Contains(err.Error(), `shape "blob"`) {
		t.Errorf("%v", err)
	}
	for _, o := range []Options{{Size: 8}, {MaxObjects: 1000}, {Shapes: []string{"blob"}}, {Shapes: []string{"star", "star"}}, {Counts: map[string]int{"train": -1}}} {
		if err := Write(filepath.Join(t.TempDir(), "x"), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(full, Options{}); err == nil {
		t.Error("wrote into a full folder")
	}
}
