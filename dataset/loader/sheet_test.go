package loader

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSheet(t *testing.T) {
	b := epochOf(t, augmenting(paintedSamples(t, 5)), 0)[0]
	path := filepath.Join(t.TempDir(), "train_batch0.jpg")
	marks := append(b.Marks(),
		Mark{Image: 4, Class: 1, X1: -1e30, Y1: 10, X2: 1e30, Y2: 40, Conf: .5}, // far outside
		Mark{Image: 9, Class: -1})
	if err := b.WriteSheet(path, marks, []string{"one"}, []string{"first picture"}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := jpeg.DecodeConfig(f)
	if err != nil || c.Width != 3*64 || c.Height != 3*64 {
		t.Errorf("%dx%d pixels, %v", c.Width, c.Height, err)
	}
	// A picture shows unchanged where nothing is drawn on it.
	sheet := (&Batch{Size: 1, Width: 64, Height: 64, Images: b.Images[:3*64*64]}).Sheet(nil, nil, nil)
	for c := range 3 {
		if got, want := sheet.Pix[sheet.PixOffset(30, 20)+c], b.Images[64*64*c+64*20+30]; got != want {
			t.Errorf("channel %d is %d, want %d", c, got, want)
		}
	}
	if err := b.WriteSheet(filepath.Join(path, "x"), nil, nil, nil); err == nil {
		t.Error("no error for a path that cannot be")
	}
}

// TestCaptions: labels of boxes that lie close, or at the tile's edge, and a long name are whole, inside, and not one over another.
func TestCaptions(t *testing.T) {
	tile := image.NewRGBA(image.Rect(100, 50, 420, 290))
	c := newCaptions(tile)
	c.title(strings.Repeat("a long name ", 20) + ".jpg")
	for i, box := range []image.Rectangle{
		image.Rect(100, 50, 300, 200), image.Rect(102, 52, 300, 200), image.Rect(104, 54, 300, 200), image.Rect(400, 60, 420, 200),
		image.Rect(405, 280, 430, 300), image.Rect(-1000, -1000, 2000, 2000), image.Rect(100, 50, 300, 200),
	} {
		c.mark(box, fmt.Sprintf("refrigerator 0.%d", i), color.Black)
	}
	if !strings.HasSuffix(c.list[0].text, "…") {
		t.Errorf("the name is %q", c.list[0].text)
	}
	for i, a := range c.list {
		if !a.at.In(tile.Rect) || a.at.Dx() < c.size(a.text).X {
			t.Errorf("%q at %v", a.text, a.at)
		}
		for _, b := range c.list[:i] {
			if a.at.Overlaps(b.at) {
				t.Errorf("%q at %v over %q at %v", a.text, a.at, b.text, b.at)
			}
		}
	}
	full := newCaptions(image.NewRGBA(image.Rect(0, 0, 40, 20))) // no room for two
	for range 3 {
		full.mark(image.Rect(0, 0, 10, 10), "thing", color.Black)
	}
	if full.write(); len(full.list) != 3 {
		t.Errorf("%d labels", len(full.list))
	}
}
