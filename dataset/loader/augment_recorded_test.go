package loader

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"yolofreeze/dataset/picture"
	"yolofreeze/onnx"
	"yolofreeze/onnx/safetensors"
	"yolofreeze/onnx/testkit/shared"
)

// augmentation is a recorded draw with what came of it.
type augmentation struct {
	Case        string
	Border      [2]int
	Draws       []float64
	Gains       []float64 `json:"gains_h_s_v"`
	in, out     *picture.Image
	boxes, want []float64 // class, x1, y1, x2, y2 in pixels
}

func recordedAugmentations(t *testing.T) []augmentation {
	t.Helper()
	f, err := safetensors.Read(shared.Path(t, "golden", "pictures", "augment.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []augmentation
	if err := json.Unmarshal([]byte(f.Metadata["cases"]), &cases); err != nil {
		t.Fatal(err)
	}
	picture := func(name string) *picture.Image {
		x := f.Tensors[name]
		return &picture.Image{Width: int(x.Shape[1]), Height: int(x.Shape[0]), Pix: onnx.Data[uint8](x)}
	}
	for i := range cases {
		c := &cases[i]
		c.in, c.out = picture(c.Case+"/in"), picture(c.Case+"/out")
		if x := f.Tensors[c.Case+"/targets_in"]; x != nil {
			c.boxes, c.want = x.Float64s(), f.Tensors[c.Case+"/targets_out"].Float64s()
		}
	}
	return cases
}

func TestRecordedAugment(t *testing.T) {
	for _, c := range recordedAugmentations(t) {
		t.Run(c.Case, func(t *testing.T) {
			got := &picture.Image{Width: c.out.Width, Height: c.out.Height, Pix: make([]uint8, len(c.out.Pix))}
			if len(c.Draws) == 8 {
				d := c.Draws
				m := Perspective{d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]}.Matrix(c.in.Width, c.in.Height, got.Width, got.Height)
				m.Warp(got, c.in)
				compareBoxes(t, m.move(objectsOf(c.boxes), d[3], got.Width, got.Height), c.want)
			} else {
				copy(got.Pix, c.in.Pix)
				picture.HSVGains{H: c.Gains[0], S: c.Gains[1], V: c.Gains[2]}.Apply(got)
			}
			comparePixels(t, got, c.out)
		})
	}
}

// comparePixels wants 99.5 % of the values within 2 levels.
func comparePixels(t *testing.T, got, want *picture.Image) {
	t.Helper()
	var counts [256]int
	for i, w := range want.Pix {
		counts[int(math.Abs(float64(got.Pix[i])-float64(w)))]++
	}
	n := len(want.Pix)
	t.Logf("of %d values %d differ by one level, %d by two, %d by more", n, counts[1], counts[2], n-counts[0]-counts[1]-counts[2])
	if within := float64(counts[0]+counts[1]+counts[2]) / float64(n); within < .995 {
		t.Errorf("%.3f %% of the values within 2 levels, want 99.5 %%", 100*within)
	}
}

func objectsOf(rows []float64) []object {
	var objs []object
	for r := range slices.Chunk(rows, 5) {
		objs = append(objs, object{class: int(r[0]), x1: r[1], y1: r[2], x2: r[3], y2: r[4]})
	}
	return objs
}

func compareBoxes(t *testing.T, got []object, want []float64) {
	t.Helper()
	if len(got) != len(want)/5 {
		t.Fatalf("%d boxes, want %d", len(got), len(want)/5)
	}
	for i, w := range objectsOf(want) {
		g := got[i]
		if g.class != w.class || max(abs(g.x1-w.x1), abs(g.y1-w.y1), abs(g.x2-w.x2), abs(g.y2-w.y2)) > 1e-3 {
			t.Errorf("box %d: %+v, want %+v", i, g, w)
		}
	}
}
