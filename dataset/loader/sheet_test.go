package loader

import (
	"image/jpeg"
	"os"
	"path/filepath"
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
