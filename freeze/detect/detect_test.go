package detect

import (
	"errors"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"yolofreeze/dataset/picture"
)

// TestDraw: the frame is centred on the box's edges, in the class's colour,
// and the label stays inside the picture.
func TestDraw(t *testing.T) {
	img := picture.NewImage(200, 100)
	for _, box := range [][4]float64{{50, 40, 150, 90}, {0, 0, 200, 100}, {190, 5, 200, 20}, {20, 30, 21, 31}} {
		canvas := canvasOf(img)
		o := Object{Class: 3, Name: "a long name\n", Conf: .5, XYXY: box}
		Pen{Thickness: 4, Labels: true, Conf: true}.draw(canvas, o)
		ink := classColour(3)
		if box[2]-box[0] > 50 { // elsewhere the label hides it
			x, y := int(box[0]+box[2])/2, min(int(box[3]), 99)
			if got := canvas.RGBAAt(x, y); got != ink {
				t.Errorf("%v: the lower edge is %v, want %v", box, got, ink)
			}
			if got := canvas.RGBAAt(x, y-10); got != (color.RGBA{0, 0, 0, 255}) {
				t.Errorf("%v: inside is %v", box, got)
			}
		}
		written := 0
		for i := 0; i < len(canvas.Pix); i += 4 {
			if canvas.Pix[i] == 255 && canvas.Pix[i+1] == 255 && canvas.Pix[i+2] == 255 {
				written++
			}
		}
		if contrast(ink) != color.White || written < 50 {
			t.Errorf("%v: %d pixels of white text on %v", box, written, ink)
		}
	}
	if img.Pix[0] != 0 {
		t.Error("the picture itself was drawn on")
	}
}

func TestClassColours(t *testing.T) {
	seen := map[color.RGBA]int{}
	for class := range 100 {
		c := classColour(class)
		if other, twice := seen[c]; twice {
			t.Errorf("classes %d and %d share %v", other, class, c)
		}
		seen[c] = class
	}
}

func TestFrameIsCentred(t *testing.T) {
	canvas := image.NewRGBA(image.Rect(0, 0, 40, 40))
	frame(canvas, image.Rect(10, 10, 30, 30), 4, color.White)
	for x, want := range map[int]bool{7: false, 8: true, 11: true, 12: false, 27: false, 28: true, 31: true, 32: false} {
		if got := canvas.RGBAAt(x, 20).R == 255; got != want {
			t.Errorf("column %d: inked %t, want %t", x, got, want)
		}
	}
}

// TestSources: what is there is one path, whatever is in its name; what is not is a list.
func TestSources(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"site 3, north/1.jpg", "site 3, north/2.jpg", "a.jpg", "b,c.jpg", "[5] x/d.jpg", "[5] x/*.jpg", "what?/e.jpg", "f/site, g.jpg"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for value, want := range map[string][]string{
		"site 3, north/1.jpg":               {"site 3, north/1.jpg"},
		"site 3, north":                     {"site 3, north/1.jpg", "site 3, north/2.jpg"},
		"site 3, north/*.jpg":               {"site 3, north/1.jpg", "site 3, north/2.jpg"},
		"a.jpg,b,c.jpg, site 3, north/[2]*": {"a.jpg", "b,c.jpg", "site 3, north/2.jpg"},
		"a.jpg, a.jpg":                      {"a.jpg", "a.jpg"},
		"[5] x/d.jpg":                       {"[5] x/d.jpg"},
		"[5] x/[a-d].jpg":                   {"[5] x/d.jpg"},
		"[5] x/*.jpg":                       {"[5] x/*.jpg"},
		"what?/*,a.jpg":                     {"what?/e.jpg", "a.jpg"},
		"f/site, g.jpg,f/*":                 {"f/site, g.jpg", "f/site, g.jpg"},
	} {
		got, _, err := Sources(SplitSources(value), nil)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", value, got, err, want)
		}
	}
}

func TestSavedNames(t *testing.T) {
	s := Saver{taken: map[string]bool{}}
	var got []string
	for _, name := range []string{"a.jpg", "a.png", "a.jpg", "b.webp", "c.TIF", "d.JPEG", "b.bmp"} {
		got = append(got, s.unique(name))
	}
	if want := []string{"a.jpg", "a_2.png", "a_3.jpg", "b.jpg", "c.jpg", "d.JPEG", "b_2.jpg"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for name, want := range map[string]string{"cat": "cat", "../../etc": ".._.._etc", "..": "_", "": "_", "a\x00b": "a_b", "traffic light": "traffic light"} {
		if got := folderName(name); got != want || strings.ContainsRune(got, filepath.Separator) {
			t.Errorf("folder of %q is %q, want %q", name, got, want)
		}
	}
}
