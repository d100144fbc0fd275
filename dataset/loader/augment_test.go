package loader

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yolofreeze/dataset"
	"yolofreeze/dataset/picture"
)

func TestHSVRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	img := picture.NewImage(64, 64)
	for i := range img.Pix {
		img.Pix[i] = uint8(r.IntN(256))
	}
	same := &picture.Image{Width: 64, Height: 64, Pix: append([]uint8(nil), img.Pix...)}
	picture.HSVGains{H: 1, S: 1, V: 1}.Apply(same)
	if string(same.Pix) != string(img.Pix) {
		t.Error("gains of 1 changed the picture")
	}
	grey := &picture.Image{Width: 64, Height: 64, Pix: append([]uint8(nil), img.Pix...)}
	picture.HSVGains{H: 1, S: 0, V: 1}.Apply(grey)
	for i := 0; i < len(img.Pix); i += 3 {
		if m := max(img.Pix[i], img.Pix[i+1], img.Pix[i+2]); grey.Pix[i] != m || grey.Pix[i+1] != m || grey.Pix[i+2] != m {
			t.Fatalf("without saturation %v became %v", img.Pix[i:i+3], grey.Pix[i:i+3])
		}
	}
	for _, c := range []struct{ in, out [3]uint8 }{ // a third of a turn is 60 half degrees
		{[3]uint8{0, 200, 0}, [3]uint8{0, 0, 200}}, // green's hue of 60 doubles to blue's
		{[3]uint8{0, 0, 0}, [3]uint8{0, 0, 0}},
		{[3]uint8{255, 0, 0}, [3]uint8{255, 0, 0}},
	} {
		img := &picture.Image{Width: 1, Height: 1, Pix: append([]uint8(nil), c.in[:]...)}
		picture.HSVGains{H: 2, S: 1, V: 1}.Apply(img)
		if [3]uint8(img.Pix) != c.out {
			t.Errorf("%v turned to %v, want %v", c.in, img.Pix, c.out)
		}
	}
}

func TestWarpExtremes(t *testing.T) {
	src := testPicture(40, 30, 7)
	for _, c := range []struct {
		name string
		m    Matrix
		want uint8 // of the corner; 1: any
	}{
		{"singular", Matrix{}, picture.PadColour},
		{"shrunk to nothing", Matrix{1e-12, 0, 20, 0, 1e-12, 20, 0, 0, 1}, picture.PadColour},
		{"far away", Matrix{1, 0, 1e9, 0, 1, 0, 0, 0, 1}, picture.PadColour},
		{"enlarged", Matrix{1e9, 0, 0, 0, 1e9, 0, 0, 0, 1}, src.Pix[0]},
		{"no numbers", Matrix{math.NaN(), 0, 0, 0, 1, 0, 0, 0, 1}, picture.PadColour},
		{"horizon", Matrix{1, 0, 0, 0, 1, 0, -1. / 20, 0, 1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := picture.NewImage(33, 21)
			c.m.Warp(dst, src)
			if c.want != 1 && dst.Pix[0] != c.want {
				t.Errorf("corner is %d, want %d", dst.Pix[0], c.want)
			}
		})
	}
	same := picture.NewImage(40, 30)
	identity.Warp(same, src)
	for y := range 29 {
		for x := range 39 * 3 {
			if same.Pix[120*y+x] != src.Pix[120*y+x] {
				t.Fatalf("identity changed row %d", y)
			}
		}
	}
}

func testPicture(w, h int, seed uint64) *picture.Image {
	r := rand.New(rand.NewPCG(seed, 0))
	img := picture.NewImage(w, h)
	for i := range img.Pix {
		img.Pix[i] = uint8(r.IntN(256))
	}
	return img
}

// TestObjectsFollowPixels augments pictures that show one bright rectangle and
// looks where it went: the box must hold it tightly.
func TestObjectsFollowPixels(t *testing.T) {
	const size = 128
	for _, high := range []int{size, 64, 256} { // 256: twice as high as wide, so that nothing is shrunk
		objectsFollowPixels(t, high)
	}
}

func objectsFollowPixels(t *testing.T, high int) {
	const size = 128
	shown := picture.NewImage(size, 96)
	fill(shown.Pix, picture.PadColour)
	for y := 30; y < 60; y++ {
		fill(shown.Pix[3*(size*y+40):][:3*50], 255)
	}
	label := dataset.Label{X: 65. / size, Y: 45. / 96, W: 50. / size, H: 30. / 96}
	outlined := label
	outlined.Polygon = []dataset.Point{{X: 40. / size, Y: 30. / 96}, {X: 90. / size, Y: 30. / 96}, {X: 90. / size, Y: 60. / 96}, {X: 40. / size, Y: 60. / 96}}
	hyp := dataset.Hyp{AugmentHyp: dataset.AugmentHyp{Degrees: 10, Translate: .1, Scale: .3, Shear: 3, Perspective: .0005, FlipUD: .5, FlipLR: .5}}
	objects := 0
	for n := range 200 {
		l := []dataset.Label{label, outlined}[n%2]
		st := &studio{hyp: &hyp, open: func(i int) (*picture.Image, []dataset.Label, error) {
			if i == 0 {
				return shown, []dataset.Label{l}, nil
			}
			return &picture.Image{Width: size, Height: 96, Pix: padding(size, 96)}, nil, nil
		}}
		h := hyp
		h.Mosaic = float64(n / 2 % 2)
		d := &drawer{r: generator(1, uint64(n)), h: &h, nine: float64(n / 4 % 2), size: dataset.Size{Height: high, Width: size}, pool: []int{1}}
		img, objs, err := st.augmented(0, d.picture(0, true), size, high)
		if err != nil {
			t.Fatal(err)
		}
		var seen object
		seen.bound(nil)
		for y := range high {
			for x := range size {
				if img.Pix[3*(size*y+x)] > 180 {
					seen.x1, seen.x2 = min(seen.x1, float64(x)), max(seen.x2, float64(x+1))
					seen.y1, seen.y2 = min(seen.y1, float64(y)), max(seen.y2, float64(y+1))
				}
			}
		}
		if len(objs) > 1 {
			t.Fatalf("%d high, draw %d: %d objects", high, n, len(objs))
		}
		if len(objs) == 0 {
			if seen.x2 > seen.x1 && (seen.x2-seen.x1)*(seen.y2-seen.y1) > 400 {
				t.Errorf("%d high, draw %d: lost the object at %+v", high, n, seen)
			}
			continue
		}
		objects++
		o := objs[0]
		if high != size && min(o.x2-o.x1, o.y2-o.y1) < 4 {
			continue // of what is cut so thin, shrunk pixels show little
		}
		// A pixel either way for sampling; a cut, turned box without outline is wider than what shows.
		loose := 1.6
		whole := o.x1 > .01 && o.y1 > .01 && o.x2 < size-.01 && o.y2 < float64(high)-.01
		if l.Polygon != nil || whole {
			if max(abs(o.x1-seen.x1), abs(o.y1-seen.y1), abs(o.x2-seen.x2), abs(o.y2-seen.y2)) > loose {
				t.Errorf("%d high, draw %d: box %+v, seen %+v", high, n, o, seen)
			}
		} else if o.x1 > seen.x1+loose || o.y1 > seen.y1+loose || o.x2 < seen.x2-loose || o.y2 < seen.y2-loose {
			t.Errorf("%d high, draw %d: box %+v does not hold %+v", high, n, o, seen)
		}
	}
	if objects < 100 {
		t.Errorf("%d high: only %d of 200 pictures kept their object", high, objects)
	}
}

func padding(w, h int) []uint8 {
	pix := make([]uint8, 3*w*h)
	fill(pix, picture.PadColour)
	return pix
}

func TestMosaicPlaces(t *testing.T) {
	sizes := [][2]int{{100, 80}, {90, 100}, {100, 50}, {60, 100}, {100, 70}, {100, 75}, {66, 100}, {100, 99}, {50, 100}}
	four := mosaicFour(110, 70, sizes[:4])
	for i, want := range []part{{10, -10, 100, 80}, {110, -30, 90, 100}, {10, 70, 100, 50}, {110, 70, 60, 100}} {
		if four[i] != want {
			t.Errorf("four, part %d: %+v, want %+v", i, four[i], want)
		}
	}
	nine := mosaicNine(100, 100, 5, 7, sizes)
	for i, want := range []part{
		{100, 100, 100, 80}, {100, 0, 90, 100}, {190, 50, 100, 50}, {200, 100, 60, 100}, {200, 200, 100, 70},
		{100, 180, 100, 75}, {34, 180, 66, 100}, {0, 81, 100, 99}, {50, -19, 50, 100},
	} {
		want.left -= 5
		want.top -= 7
		if nine[i] != want {
			t.Errorf("nine, part %d: %+v, want %+v", i, nine[i], want)
		}
	}
}

func TestCopyPaste(t *testing.T) {
	for _, outlined := range []bool{false, true} {
		img := &picture.Image{Width: 100, Height: 60, Pix: padding(100, 60)}
		for y := 20; y < 40; y++ {
			fill(img.Pix[3*(100*y+10):][:3*20], 200)
		}
		o := object{class: 3, x1: 10, y1: 20, x2: 30, y2: 40}
		if outlined {
			o.polygon = []dataset.Point{{X: 10, Y: 20}, {X: 30, Y: 20}, {X: 30, Y: 40}} // its upper right half
		}
		objs := copyPaste(img, []object{o}, 1, rand.New(rand.NewPCG(1, 1)))
		if len(objs) != 2 || objs[1].x1 != 70 || objs[1].x2 != 90 || objs[1].class != 3 {
			t.Fatalf("outlined %v: %+v", outlined, objs)
		}
		var area int
		for y := range 60 {
			for x := 50; x < 100; x++ {
				if img.Pix[3*(100*y+x)] == 200 {
					area++
				}
			}
		}
		if want := map[bool]int{false: 400, true: 200}[outlined]; abs(float64(area-want)) > 20 {
			t.Errorf("outlined %v: %d pixels pasted, want %d", outlined, area, want)
		}
	}
	covering := []object{{x1: 40, y1: 0, x2: 60, y2: 20}} // its mirror image falls on itself
	if objs := copyPaste(picture.NewImage(100, 60), covering, 1, rand.New(rand.NewPCG(1, 1))); len(objs) != 1 {
		t.Errorf("pasted over an object: %+v", objs)
	}
}

func TestMixShare(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var sum, squares float64
	const n = 20000
	for range n {
		v := mixShare(r)
		sum += v
		squares += (v - .5) * (v - .5)
	}
	// Beta(32, 32) has mean 1/2 and variance 1/(4·65).
	if abs(sum/n-.5) > .002 || abs(squares/n*260-1) > .05 {
		t.Errorf("mean %v, variance %v", sum/n, squares/n)
	}
	img := &picture.Image{Width: 1, Height: 1, Pix: []uint8{100, 0, 255}}
	blend(img, &picture.Image{Width: 1, Height: 1, Pix: []uint8{200, 255, 255}}, .25)
	if [3]uint8(img.Pix) != [3]uint8{175, 191, 255} {
		t.Errorf("blend gives %v", img.Pix)
	}
}

func TestMoveLeavesOut(t *testing.T) {
	cases := []struct {
		name string
		o    object
		m    Matrix
		keep bool
	}{
		{"whole", object{x1: 10, y1: 10, x2: 30, y2: 30}, identity, true},
		{"small", object{x1: 10, y1: 10, x2: 11.9, y2: 30}, identity, false},
		{"mostly outside", object{x1: -95, y1: 10, x2: 10, y2: 30}, identity, false},
		{"outline mostly outside", object{x1: -95, y1: 10, x2: 10, y2: 30,
			polygon: []dataset.Point{{X: -95, Y: 10}, {X: 10, Y: 10}, {X: 10, Y: 30}, {X: -95, Y: 30}}}, identity, true},
		{"outside", object{x1: 110, y1: 10, x2: 130, y2: 30}, identity, false},
		{"outline outside", object{x1: 110, y1: 10, x2: 130, y2: 30,
			polygon: []dataset.Point{{X: 110, Y: 10}, {X: 130, Y: 10}, {X: 130, Y: 30}}}, identity, false},
		{"thread", object{x1: 0, y1: 10, x2: 1000, y2: 13}, Matrix{1, 0, 0, 0, 1, 0, 0, 0, 1}, false},
	}
	for _, c := range cases {
		w := 100
		if c.name == "thread" {
			w = 1000
		}
		if got := c.m.move([]object{c.o}, 1, w, 100); (len(got) == 1) != c.keep {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestLoadHyp(t *testing.T) {
	for name, want := range map[string]float64{"low": .5, "med": .9, "high": .9, "VOC": .75544, "voc": .75544,
		"hyp.scratch-med.yaml": .9, "data/hyps/hyp.VOC.yaml": .75544, "Objects365": .491, "none": 0} {
		if h, err := dataset.LoadHyp(name); err != nil || h.Scale != want || h.AnchorT < 1 {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	cases := []struct{ text, err string }{
		{"lr0: 0.02\nanchors: 3\n", ""},
		{"# only a comment\n", ""},
		{"\ufefflr0: 0.02\n", ""},
		{"lr0: 0.02\nlr1: 5\n", `line 2: unknown field "lr1"`},
		{"lr0: fast\n", `line 1: key lr0: want a number, not "fast"`},
		{"lr0: .nan\n", "lr0 is NaN"},
		{"fliplr: 1.5\n", "fliplr is 1.5, want 0 to 1"},
		{"lr0: 0.02\nlr0: 0.03\n", "lr0"},
		{"- 1\n- 2\n", "line 1"},
		{"lr0: [\n", "line 1"},
	}
	for i, c := range cases {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("hyp%d.yaml", i))
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := dataset.LoadHyp(path)
		if c.err == "" {
			if err != nil || h.Momentum != .937 {
				t.Errorf("%q: %+v, %v", c.text, h, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %q, want %q in one line with the file", c.text, err, c.err)
		}
	}
	if _, err := dataset.LoadHyp("nosuch.yaml"); err == nil || !strings.Contains(err.Error(), "low, med") {
		t.Errorf("missing file: %v", err)
	}
}
