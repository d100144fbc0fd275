package dataset

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// cocoAnchors are those of YOLOv5's P5 models.
var cocoAnchors = [][2]float64{{10, 13}, {16, 30}, {33, 23}, {30, 61}, {62, 45}, {59, 119}, {116, 90}, {156, 198}, {373, 326}}

func TestBoxSizes(t *testing.T) {
	samples := []Sample{{Width: 200, Height: 100, Labels: []Label{{W: .5, H: .5}}}, {}, {Width: 50, Height: 400, Labels: []Label{{W: 1, H: .25}}}}
	want := [][2]float64{{320, 160}, {80, 160}}
	if got := BoxSizes(samples, SizeOf(640, 0)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAnchorFit(t *testing.T) {
	cases := []struct {
		name           string
		sizes          [][2]float64
		anchors        [][2]float64
		recall, perBox float64
	}{
		{"none", nil, cocoAnchors, 0, 0},
		{"equal", cocoAnchors[:1], cocoAnchors[:1], 1, 1},
		{"just within", [][2]float64{{39.9, 10}}, [][2]float64{{10, 10}, {20, 20}}, 1, 2},
		{"too wide", [][2]float64{{40, 10}}, [][2]float64{{10, 10}}, 0, 0},
		{"too flat", [][2]float64{{10, 2.4}}, [][2]float64{{10, 10}}, 0, 0},
		{"half", [][2]float64{{10, 10}, {100, 100}}, [][2]float64{{10, 10}}, .5, .5},
	}
	for _, c := range cases {
		if recall, perBox := AnchorFit(c.sizes, c.anchors, 4); recall != c.recall || perBox != c.perBox {
			t.Errorf("%s: %g and %g a box, want %g and %g", c.name, recall, perBox, c.recall, c.perBox)
		}
	}
}

// clusters are boxes about three sizes.
func clusters(n int) (sizes [][2]float64, centres [][2]float64) {
	random := rand.New(rand.NewPCG(5, 6))
	centres = [][2]float64{{8, 60}, {90, 12}, {200, 220}}
	for i := range n {
		c := centres[i%3]
		sizes = append(sizes, [2]float64{c[0] * (1 + .05*random.NormFloat64()), c[1] * (1 + .05*random.NormFloat64())})
	}
	return sizes, centres
}

// TestFitAnchors finds the clusters that boxes were drawn from, which the
// anchors of COCO miss.
func TestFitAnchors(t *testing.T) {
	sizes, centres := clusters(600)
	if recall, _ := AnchorFit(sizes, cocoAnchors, 2); recall > .7 {
		t.Fatalf("COCO's anchors already reach %g", recall)
	}
	found := FitAnchors(sizes, 3, 2, 1)
	for i, c := range centres {
		if math.Abs(found[i][0]/c[0]-1) > .05 || math.Abs(found[i][1]/c[1]-1) > .05 {
			t.Errorf("anchor %d is %v, want about %v", i, found[i], c)
		}
	}
	if recall, _ := AnchorFit(sizes, found, 2); recall != 1 {
		t.Errorf("recall %g", recall)
	}
	if again := FitAnchors(sizes, 3, 2, 1); !slices.Equal(found, again) {
		t.Errorf("a second time %v, want %v", again, found)
	}
	random := rand.New(rand.NewPCG(1, 0xa17c))
	if centre := anchorFitness(sizes, kMeans(sizes, 3, random), 4); anchorFitness(sizes, found, 4) < centre {
		t.Errorf("mutations have made it worse than k-means' %g", centre)
	}
}

func TestFitAnchorsOfLittle(t *testing.T) {
	few := [][2]float64{{1, 1}, {10, 10}, {10, 10}, {0, 50}, {3, 1}}
	if got := FitAnchors(few, 4, 4, 0); got != nil {
		t.Errorf("four anchors of three boxes: %v", got)
	}
	got := FitAnchors(few[1:3], 2, 4, 0)
	if len(got) != 2 {
		t.Fatalf("anchors %v", got)
	}
	for _, a := range got {
		if math.IsNaN(a[0]) || a[0] < 2 || a[0] > 40 {
			t.Errorf("anchors of equal boxes %v", got)
		}
	}
	sizes, _ := clusters(mostAnchorSizes + 10)
	if got := FitAnchors(sizes, 0, 4, 0); got != nil {
		t.Errorf("no anchors asked for, got %v", got)
	}
}
