package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestIoU(t *testing.T) {
	cases := []struct {
		name string
		a, b [4]float32
		want float64
	}{
		{"same", [4]float32{0, 0, 10, 10}, [4]float32{0, 0, 10, 10}, 1},
		{"half", [4]float32{0, 0, 10, 10}, [4]float32{0, 0, 10, 5}, .5},
		{"corner", [4]float32{0, 0, 10, 10}, [4]float32{5, 5, 15, 15}, 25. / 175},
		{"apart on both axes", [4]float32{0, 0, 10, 10}, [4]float32{20, 20, 30, 30}, 0},
		{"empty", [4]float32{3, 3, 3, 3}, [4]float32{3, 3, 3, 3}, 0},
	}
	for _, c := range cases {
		if got := IoU(c.a, c.b); math.Abs(float64(got)-c.want) > 1e-6 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNMSOptions(t *testing.T) {
	rows := []float32{ // two classes
		50, 50, 20, 20, .9, .9, .8,
		51, 50, 20, 20, .8, .9, .1, // overlaps the first
		150, 50, 20, 20, .5, .1, .9,
		250, 50, 20, 20, .01, .9, .9, // below the confidence
	}
	base := NMSOptions{Conf: .25, IoU: .45, MaxDet: 300}
	with := func(change func(*NMSOptions)) NMSOptions { o := base; change(&o); return o }
	cases := []struct {
		name string
		o    NMSOptions
		want []int // classes
	}{
		{"best class", base, []int{0, 1}},
		{"multi-label", with(func(o *NMSOptions) { o.MultiLabel = true }), []int{0, 1, 1}},
		{"multi-label, agnostic", with(func(o *NMSOptions) { o.MultiLabel, o.Agnostic = true, true }), []int{0, 1}},
		{"one class", with(func(o *NMSOptions) { o.Classes = []int{1} }), []int{1}},
		{"one detection", with(func(o *NMSOptions) { o.MaxDet = 1 }), []int{0}},
		{"no suppression", with(func(o *NMSOptions) { o.IoU = 1 }), []int{0, 0, 1}},
		{"nothing", with(func(o *NMSOptions) { o.Conf = .95 }), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []int
			for _, d := range NMS(rows, 2, c.o) {
				got = append(got, d.Class)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("classes %v, want %v", got, c.want)
			}
		})
	}
}

// TestNMSAgainstPairs compares the grouped search with the plain definition:
// all candidates in one list, each kept box crossing out the worse ones.
func TestNMSAgainstPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, spread := range []float32{300, 20000} { // the second reaches into other classes' planes
		rows := make([]float32, 0, 400*8)
		for range 400 {
			rows = append(rows, rng.Float32()*spread, rng.Float32()*spread/8, 10+rng.Float32()*spread/6, 10+rng.Float32()*spread/6,
				rng.Float32(), rng.Float32(), rng.Float32(), rng.Float32())
		}
		o := NMSOptions{Conf: .05, IoU: .3, MultiLabel: true}
		got := NMS(rows, 3, o)
		cands := collect(rows, 3, o)
		order := rank(cands)
		var want []Detection
		dropped := make([]bool, len(cands))
		moved := func(c candidate) [4]float32 {
			for k := range c.box {
				c.box[k] += float32(c.class) * classStride
			}
			return c.box
		}
		for n, i := range order {
			if dropped[i] {
				continue
			}
			c := cands[i]
			want = append(want, Detection{c.box[0], c.box[1], c.box[2], c.box[3], c.conf, int(c.class)})
			for _, j := range order[n+1:] {
				dropped[j] = dropped[j] || float64(IoU(moved(c), moved(cands[j]))) > o.IoU
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("spread %v: %d detections, want %d", spread, len(got), len(want))
		}
	}
}

func TestNMSBadRows(t *testing.T) {
	nan := float32(math.NaN())
	rows := []float32{1, 1, 1, 1, nan, 1, nan, nan, nan, nan, .9, .9, 5, 5, 2, 2, .9, .9, 1, 2}
	got := NMS(rows, 1, NMSOptions{Conf: .1, IoU: .5})
	if len(got) != 2 || got[1].X1 != 4 {
		t.Errorf("got %v", got)
	}
}

func TestRestore(t *testing.T) {
	dets := []Detection{{X1: 10, Y1: 30, X2: 330, Y2: 400}}
	Restore(dets, .5, 0, 40, 640, 480)
	if want := (Detection{X1: 20, Y1: 0, X2: 640, Y2: 480}); dets[0] != want {
		t.Errorf("%v, want %v", dets[0], want)
	}
}

func TestMatch(t *testing.T) {
	label := LabelBox{1, 0, 0, 100, 100}
	dets := []Detection{
		{0, 0, 100, 80, .9, 1},  // IoU .8
		{0, 0, 100, 100, .8, 1}, // IoU 1, but the label is taken up to .8
		{0, 0, 100, 100, .7, 0}, // wrong class
	}
	hits := Match(dets, []LabelBox{label}, COCOThresholds())
	for i, want := range []Hits{0b0001111111, 0b1110000000, 0} {
		if hits[i] != want {
			t.Errorf("detection %d: %010b, want %010b", i, hits[i], want)
		}
	}
}

func TestEvaluatorEdges(t *testing.T) {
	if r := NewEvaluator(3).Result(); r.Images != 0 || r.MAP != 0 || r.PerClass != nil {
		t.Errorf("nothing added: %+v", r)
	}
	e := NewEvaluator(3)
	perfect := []Detection{{0, 0, 10, 10, .9, 0}}
	for _, err := range []error{
		e.Add(perfect, []LabelBox{{0, 0, 0, 10, 10}}),
		e.Add(nil, []LabelBox{{2, 0, 0, 10, 10}}),
		e.Add([]Detection{{0, 0, 10, 10, .9, 1}}, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := e.Result()
	if len(r.PerClass) != 2 || math.Abs(r.PerClass[0].AP50-.995) > 1e-9 || r.PerClass[1].AP50 != 0 {
		t.Errorf("per class %+v", r.PerClass)
	}
	c := r.Confusion
	if c.At(0, 0) != 1 || c.At(3, 2) != 1 || c.At(1, 3) != 1 {
		t.Errorf("confusion %v", c.Counts)
	}
	if e.Add([]Detection{{Class: 3}}, nil) == nil || e.Add(nil, []LabelBox{{Class: -1}}) == nil {
		t.Error("classes out of range were accepted")
	}
}

func TestConfusionTakesBestOverlap(t *testing.T) {
	c := newConfusion(2)
	c.add([]Detection{
		{0, 0, 10, 7, .9, 1},  // IoU .7 with the label
		{0, 0, 10, 9, .5, 0},  // IoU .9: this one counts
		{0, 0, 10, 10, .2, 0}, // below the confidence
	}, []LabelBox{{0, 0, 0, 10, 10}})
	if c.At(0, 0) != 1 || c.At(1, 2) != 1 || c.At(2, 0) != 0 {
		t.Errorf("%v", c.Counts)
	}
	if n := c.Normalised(); n[Confused{0, 0}] != 1 {
		t.Errorf("normalised %v", n)
	}
}

// TestConfusionOfManyClasses: memory goes with what is seen, not with the square of the classes.
func TestConfusionOfManyClasses(t *testing.T) {
	const classes = 1 << 20 // squared, 8 TB
	e := NewEvaluator(classes)
	if err := e.Add(nil, []LabelBox{{classes - 1, 0, 0, 10, 10}}); err != nil {
		t.Fatal(err)
	}
	r := e.Result()
	if got := r.Confusion.At(classes, classes-1); got != 1 || len(r.Confusion.Counts) != 1 {
		t.Errorf("confusion %v", r.Confusion.Counts)
	}
}

func BenchmarkNMSValidation(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n, classes = 25200, 80
	rows := make([]float32, n*(5+classes))
	for i := range n {
		r := rows[i*(5+classes):][:5+classes]
		r[0], r[1], r[2], r[3], r[4] = rng.Float32()*640, rng.Float32()*640, rng.Float32()*200, rng.Float32()*200, rng.Float32()*rng.Float32()*.02
		for c := range classes {
			r[5+c] = rng.Float32() * rng.Float32() * .2
		}
	}
	for b.Loop() {
		NMS(rows, classes, NMSOptions{Conf: .001, IoU: .6, MaxDet: 300, MultiLabel: true})
	}
}
